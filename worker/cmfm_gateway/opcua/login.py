"""Who a client is: name and password from the file of users, or nobody, if the settings let nobody read."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from asyncua.crypto.permission_rules import User as LibraryUser
from asyncua.crypto.permission_rules import UserRole

from cmfm_gateway.errors import InputError
from cmfm_gateway.opcua.serving.refusals import Refusals
from cmfm_gateway.opcua.users import LoginLimit, User, make_user, read_users

ANONYMOUS = "anonymous"


@dataclass
class SessionUser(LibraryUser):
    """The user of a session, never an administrator of the library."""

    may_control: bool = False


class Login:
    """The library's user manager. The file is read for each try, so that a change takes effect at once."""

    def __init__(self, users: Path, refusals: Refusals, *, anonymous_may_read: bool) -> None:
        self._path = users
        self._refusals = refusals
        self._anonymous_may_read = anonymous_may_read
        self._limit = LoginLimit()
        self._nobody = make_user("nobody", "view", "no such user")

    def get_user(
        self,
        _iserver: Any,
        username: str | None = None,
        password: str | None = None,
        certificate: bytes | None = None,
    ) -> SessionUser | None:
        """Return the user, None if name or password is wrong. The library calls it at each activation."""
        if username is None:
            return SessionUser(UserRole.User, ANONYMOUS) if self._anonymous_may_read else None
        client = certificate or b""
        if not self._limit.allows(client):
            self._refusals.note("wrong_password", username[:64], "too many tries, wait 30 s")
            return None
        user = self._users().get(username, self._nobody)
        right = user.has_password((password or "")[:256]) and user is not self._nobody
        self._limit.note(client, right=right)
        if not right:
            self._refusals.note("wrong_password", username[:64])
            return None
        return SessionUser(UserRole.User, user.name, may_control=user.role == "control")

    def _users(self) -> dict[str, User]:
        try:
            return read_users(self._path)
        except InputError as error:
            self._refusals.note("wrong_password", "users", str(error))
            return {}
