"""Processes of this machine as `/proc` shows them: names, limits, open files, and who listens on a port."""

import contextlib
import os
import re
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

PROC: Final = Path("/proc")
_LISTENING: Final = "0A"
_OURS: Final = re.compile(r"(?:from )?cmfm[-_](worker|gateway|hmi|sim|cameras)\b")
"""A script of ours, `-m` of one of our modules, or a program text (`-c`) that imports one."""

_LOCK_TEXT: Final = re.compile(r"pid (\d+) on (.+)")


@dataclass(frozen=True, slots=True)
class Process:
    """One process. `name` is the kernel's, of at most 15 characters; `command` its arguments."""

    pid: int
    parent: int
    name: str
    command: tuple[str, ...]

    @property
    def program(self) -> str:
        """Return `cmfm-worker`, `cmfm-gateway` and so on, or the name of another program."""
        for word in self.command[:4]:
            if match := _OURS.match(word.rsplit("/", 1)[-1]):
                return f"cmfm-{match[1]}"
        return self.name


def processes() -> list[Process]:
    """Return all processes that can be seen."""
    found = [process_of(int(entry.name)) for entry in PROC.iterdir() if entry.name.isdigit()]
    return [process for process in found if process is not None]


def process_of(pid: int) -> Process | None:
    """Return a process, or None if it has ended."""
    folder = PROC / str(pid)
    try:
        command = (folder / "cmdline").read_bytes().split(b"\0")
        name, _, rest = (folder / "stat").read_text(errors="replace").partition("(")[2].rpartition(")")
    except OSError:
        return None
    arguments = tuple(word.decode(errors="replace") for word in command if word)
    return Process(pid, int(rest.split()[1]), name, arguments)


def niceness(pid: int) -> int:
    """Return the niceness of a process. Raises ProcessLookupError."""
    return os.getpriority(os.PRIO_PROCESS, pid)


def user_of(pid: int) -> tuple[int, int]:
    """Return user and group id of a process. Raises OSError."""
    status = (PROC / str(pid)).stat()
    return status.st_uid, status.st_gid


def limits_of(pid: int | str = "self") -> dict[str, tuple[int | None, int | None]]:
    """Return the soft and hard limits of a process by the kernel's names; None is unlimited. Raises OSError."""
    limits: dict[str, tuple[int | None, int | None]] = {}
    for line in (PROC / str(pid) / "limits").read_text().splitlines()[1:]:
        name, values = line[:26].strip(), line[26:].split()
        soft, hard = (None if value == "unlimited" else int(value) for value in values[:2])
        limits[name] = soft, hard
    return limits


@dataclass(frozen=True, slots=True)
class LockHolder:
    """The process that holds a lock file. `pid` is None if it runs on another host, or in another container."""

    pid: int | None
    text: str


def lock_holder(path: Path) -> LockHolder | None:
    """Return who holds the lock file of a worker; None if nobody does. The lock itself is not touched."""
    try:
        text = path.read_text(errors="replace")
    except OSError:
        return None
    match = _LOCK_TEXT.fullmatch(text)
    if match is None:
        return None
    if match[2] != socket.gethostname():
        return LockHolder(None, text)
    pid = int(match[1])
    holder = process_of(pid)
    if holder is None:
        return None
    try:
        held = str(path.resolve()) in open_files(pid)
    except PermissionError:
        held = holder.program == "cmfm-worker"
    return LockHolder(pid, text) if held else None


def open_files(pid: int) -> set[str]:
    """Return what the descriptors of a process lead to. Raises PermissionError for another user's."""
    found = set()
    try:
        for link in (PROC / str(pid) / "fd").iterdir():
            with contextlib.suppress(FileNotFoundError):
                found.add(str(link.readlink()))
    except (FileNotFoundError, ProcessLookupError):
        return set()
    return found


def listeners(port: int) -> dict[str, int | None]:
    """Return the sockets that listen on a TCP port, as descriptors show them, each with its process if that is seen."""
    sockets: dict[str, int | None] = {
        f"socket:[{inode}]": None for number, inode in _listening() if number == port
    }
    for entry in PROC.iterdir() if sockets else ():
        if entry.name.isdigit():
            with contextlib.suppress(PermissionError):
                sockets |= dict.fromkeys(open_files(int(entry.name)) & sockets.keys(), int(entry.name))
    return sockets


def _listening() -> Iterator[tuple[int, str]]:
    """Yield port and inode of each TCP socket that listens."""
    for table in ("tcp", "tcp6"):
        with contextlib.suppress(FileNotFoundError):
            for line in (PROC / "net" / table).read_text().splitlines()[1:]:
                fields = line.split()
                if fields[3] == _LISTENING:
                    yield int(fields[1].rpartition(":")[2], 16), fields[9]
