"""A disk of a few MiB that can be really full."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def small_disk(folder: Path, mib: int) -> Iterator[Path]:
    """Mount a tmpfs at `folder`. Skips the test where the machine does not allow it."""
    mount, umount = shutil.which("mount"), shutil.which("umount")
    if os.getuid() != 0 or mount is None or umount is None:
        pytest.skip("needs root and mount(8)")
    command = [mount, "-t", "tmpfs", "-o", f"size={mib}m", "tmpfs", str(folder)]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("needs a machine that allows mount(8)")
    try:
        yield folder
    finally:
        subprocess.run([umount, str(folder)], check=True)


def fill(folder: Path, *, leave_bytes: int = 0) -> Path:
    """Write a file that takes all the space of a disk but `leave_bytes`; returns it."""
    filler = folder / "filler"
    filler.write_bytes(bytes(max(shutil.disk_usage(folder).free - leave_bytes, 0)))
    return filler
