"""An exclusive lock on what one worker alone may write. The kernel releases it when the process ends, in any way."""

import errno
import fcntl
import os
import socket
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

from cmfm_worker.errors import StartupError

SUFFIX: Final = ".lock"
MAX_HOLDER_BYTES: Final = 200


def lock(path: Path, what: str) -> Callable[[], None]:
    """Lock the file at `path`, made if need be, and write into it who holds it. Returns a function that unlocks.

    Raises StartupError that names `what` and the holder if another process, or another part of this one, holds it.
    """
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise StartupError(f"{what}: {error}") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        holder = _holder(descriptor)
        os.close(descriptor)
        if error.errno != errno.EWOULDBLOCK:
            raise StartupError(f"{what}: cannot lock {path}: {error}") from error
        raise StartupError(
            f"{what} is in use by {holder}; two workers must not write to it, set another path or end that one"
        ) from error
    with suppress(OSError):  # a full disk: the lock holds without a name in it
        os.truncate(descriptor, 0)
        os.pwrite(descriptor, f"pid {os.getpid()} on {socket.gethostname()}".encode(), 0)
    return lambda: os.close(descriptor)


def _holder(descriptor: int) -> str:
    text = os.pread(descriptor, MAX_HOLDER_BYTES, 0).decode(errors="replace")
    return text if text.isprintable() and text else "another process"
