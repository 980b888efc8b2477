"""Seeded extractor weights, written once into a cache outside the repository."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path


def seeded_weights_dir(shared: Path) -> Path:
    """Return the folder of everything that `shared/golden/make_checkpoints.py` writes (470 MB); made on first use.

    It is under `CMFM_TEST_CACHE`, else `~/.cache/cmfm-tests`, and is named by the script's hash. It appears whole
    or not at all: an incomplete folder of an earlier run is deleted.
    """
    script = shared / "golden" / "make_checkpoints.py"
    cache = Path(os.environ.get("CMFM_TEST_CACHE") or Path.home() / ".cache" / "cmfm-tests")
    cache.mkdir(parents=True, exist_ok=True)
    folder = cache / f"seeded-{hashlib.sha256(script.read_bytes()).hexdigest()[:16]}"
    with (cache / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two test runs at once write it once
        if not folder.is_dir():
            partial = cache / "seeded.part"
            shutil.rmtree(partial, ignore_errors=True)
            subprocess.run([sys.executable, script, partial], check=True)
            partial.rename(folder)
    return folder
