"""Outputs are tried before any work: a folder or file that cannot be written is an error at once, not after hours.

Nothing stays behind: what a try creates is removed again, and a file that is there already keeps its bytes.
"""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

TRIED_BYTES: Final = 4096
"""Written in a try: a full disk accepts an empty file."""


class OutputError(Exception):
    """An output cannot be written; the message names it and the reason."""


def require_writable_files(*files: Path | None) -> None:
    """Try every file that is asked for (None: not asked for). Its folder must exist. Raises OutputError."""
    for file in files:
        if file is not None:
            with _refused(file):
                _try_file(file)


def require_writable_with_folder(*files: Path | None) -> None:
    """Try every file that is asked for, with its folder, which need not exist yet. Raises OutputError."""
    for file in files:
        if file is not None and file.parent.is_dir():
            require_writable_files(file)
        elif file is not None:
            require_writable_folder(file.parent)


def require_writable_folder(folder: Path) -> None:
    """Try a folder, which need not exist yet. Raises OutputError."""
    with _refused(folder):
        made = _make(folder)
        try:
            _try_inside(folder)
        finally:
            for path in reversed(made):
                path.rmdir()


@contextmanager
def _refused(path: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError) as error:  # ValueError: a null byte in the name
        why = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise OutputError(f"{path}: cannot be written ({why})") from error


def _try_file(file: Path) -> None:
    if file.is_dir():
        raise IsADirectoryError(None, "it is a folder")
    if not file.parent.is_dir():
        raise FileNotFoundError(None, "its folder does not exist")
    if file.exists():
        if file.is_file():
            file.open("ab").close()
            _require_space(file.parent)
        elif file.is_char_device() and not _is_terminal(file):  # /dev/null, /dev/full
            with file.open("wb") as device:
                device.write(b"\n")
        elif file.is_block_device() or file.is_socket():
            raise OSError(None, "it is no file")
        return  # of a terminal or a pipe only the writing itself can tell
    with file.open("xb") as tried:
        try:
            tried.write(bytes(TRIED_BYTES))
            tried.flush()
        finally:
            file.unlink()


def _is_terminal(device: Path) -> bool:
    descriptor = os.open(device, os.O_WRONLY | os.O_NOCTTY)
    try:
        return os.isatty(descriptor)
    finally:
        os.close(descriptor)


def _make(folder: Path) -> list[Path]:
    """Create a folder and those above it. Return those that were created, outermost first."""
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    made: list[Path] = []
    try:
        for path in reversed(missing):
            path.mkdir()
            made.append(path)
    except OSError:
        for path in reversed(made):
            path.rmdir()
        raise
    return made


def _try_inside(folder: Path) -> None:
    if not folder.is_dir():
        raise NotADirectoryError(None, "it is a file")
    with tempfile.NamedTemporaryFile(prefix=".tried.", dir=folder) as tried:
        tried.write(bytes(TRIED_BYTES))
        tried.flush()


def _require_space(folder: Path) -> None:
    if os.statvfs(folder).f_bavail == 0:
        raise OSError(None, "no space left on the disk")
