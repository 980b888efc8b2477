"""A disk that can be filled: a tmpfs if this process may mount one, else a limit on the size of the worker's files.

On the tmpfs writes fail with ENOSPC as on any full disk. The stand-in (RLIMIT_FSIZE, set on the running worker from
outside) lets no file grow: the writes fail as well, with EFBIG.
"""

import contextlib
import errno
import os
import resource
import subprocess
from pathlib import Path
from typing import Final, Protocol

FILLER: Final = "filler"
CHUNK_BYTES: Final = 1 << 20


class Disk(Protocol):
    """The disk of a folder, which can be full for a while."""

    how: str

    def fill(self, pid: int) -> None:
        """Let every write of the process fail."""
        ...

    def free(self, pid: int | None) -> None:
        """Let writes of the process succeed again; None if it has ended."""
        ...

    def close(self) -> None:
        """Restore the state from before."""
        ...


def small_disk(folder: Path, *, size_mb: int | None) -> Disk:
    """Make `folder` and a disk for it; `size_mb` None takes the folder's own disk with the stand-in."""
    folder.mkdir(parents=True, exist_ok=True)
    if size_mb is not None and os.geteuid() == 0:
        command = ["mount", "-t", "tmpfs", "-o", f"size={size_mb}m,mode=0700", "tmpfs", str(folder)]
        with contextlib.suppress(FileNotFoundError):
            if subprocess.run(command, capture_output=True, check=False).returncode == 0:
                return Tmpfs(folder, size_mb)
    return FileLimit()


class Tmpfs:
    """A mounted tmpfs."""

    def __init__(self, folder: Path, size_mb: int) -> None:
        self.how = f"a tmpfs of {size_mb} MB"
        self._folder = folder

    def fill(self, pid: int) -> None:  # noqa: ARG002 (the disk is full for everybody)
        """Write until the disk is full."""
        with (self._folder / FILLER).open("ab", buffering=0) as file:
            for size in (CHUNK_BYTES, 4096, 1):
                try:
                    while True:
                        file.write(bytes(size))
                except OSError as error:
                    if error.errno != errno.ENOSPC:
                        raise

    def free(self, pid: int | None) -> None:  # noqa: ARG002 (as above)
        """Free the space."""
        (self._folder / FILLER).unlink(missing_ok=True)

    def close(self) -> None:
        """Unmount it, also if it is in use."""
        subprocess.run(["umount", "-l", str(self._folder)], check=True)  # noqa: S607 (found as `mount` was)


class FileLimit:
    """Lets no file of the process grow."""

    how = "RLIMIT_FSIZE on the folder's own disk"

    def fill(self, pid: int) -> None:
        """Let no write go beyond the first byte of a file."""
        self._limit(pid, 1)

    def free(self, pid: int | None) -> None:
        """Lift the limit."""
        if pid is not None:
            self._limit(pid, resource.RLIM_INFINITY)

    def close(self) -> None:
        """Nothing is left behind."""

    def _limit(self, pid: int, soft: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)[1]
            resource.prlimit(
                pid,
                resource.RLIMIT_FSIZE,
                (soft if hard == resource.RLIM_INFINITY else min(soft, hard), hard),
            )
