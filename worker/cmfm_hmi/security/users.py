"""Users of the page (`cmfm_settings.users`), written by `cmfm-hmi user`; the file is read again when it has changed."""

from pathlib import Path
from typing import Final

import structlog

from cmfm_hmi.errors import InputError
from cmfm_hmi.security.roles import USER_ROLES
from cmfm_settings.users import User, read_users

COMMAND: Final = "cmfm-hmi user add"


def read_page_users(path: Path) -> dict[str, User]:
    """Read the file; no file is no user. Raises InputError naming file and line."""
    return read_users(path, USER_ROLES, COMMAND)


class Users:
    """The users of a file at this moment. A damaged file has no users, and the log says so once."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stamp: tuple[int, ...] | None = None
        self._users: dict[str, User] = {}
        self._log = structlog.get_logger("users")

    def find(self, name: str) -> User | None:
        """Return the user of that name, or None."""
        self._refresh()
        return self._users.get(name)

    def __len__(self) -> int:
        """Count the users."""
        self._refresh()
        return len(self._users)

    def _refresh(self) -> None:
        stamp = _stamp(self._path)
        if stamp == self._stamp:
            return
        self._stamp = stamp
        try:
            self._users = read_page_users(self._path)
        except InputError as error:
            self._users = {}
            self._log.error("users_unreadable", error=str(error))


def _stamp(path: Path) -> tuple[int, ...]:
    try:
        status = path.stat()
    except OSError:
        return ()
    return status.st_mtime_ns, status.st_size, status.st_ino
