"""Sessions: a signed cookie says who a browser belongs to. The role is always that of the file of users.

A cookie ends after `session_hours`, when its user logs out, and when his password changes or he is removed.
"""

import hashlib
import hmac
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from itsdangerous import BadSignature, URLSafeTimedSerializer
from starlette.requests import HTTPConnection

from cmfm_hmi.security.roles import Role, role_of
from cmfm_hmi.security.users import Users
from cmfm_settings.users import User

HEADER: Final = "X-CSRF-Token"
FIELD: Final = "csrf"

_SALT: Final = "cmfm-hmi session"


@dataclass(frozen=True, slots=True)
class Visitor:
    """Who a request comes from: `name` is "" without login. `csrf` is the token that his forms must carry."""

    name: str
    role: Role
    session_id: str
    csrf: str


class Sessions:
    """Makes and reads cookies. `is_ended` tells whether a session was logged out.

    `cookie_name` has the page's port in it: browsers send the cookies of one port of a host to all others.
    """

    def __init__(
        self,
        secret: bytes,
        users: Users,
        *,
        port: int,
        hours: float,
        anonymous_may_view: bool,
        is_ended: Callable[[str], bool] = lambda _: False,
    ) -> None:
        self.cookie_name = f"cmfm_hmi_{port}"
        self._secret = secret
        self._signer = URLSafeTimedSerializer(secret, salt=_SALT)
        self._users = users
        self._max_age_s = int(hours * 3600)
        self._anonymous = Role.VIEW if anonymous_may_view else Role.NONE
        self._is_ended = is_ended

    def visitor(self, cookie: str) -> Visitor | None:
        """Return whom a cookie belongs to; None for one that is not valid (any more)."""
        try:
            content: Any = self._signer.loads(cookie, max_age=self._max_age_s)
            name, session_id, fingerprint = content
        except (BadSignature, ValueError, TypeError):
            return None
        if self._is_ended(session_id):
            return None
        if not name:
            return self._visitor("", self._anonymous, session_id)
        user = self._users.find(name)
        if user is None or not hmac.compare_digest(fingerprint, _fingerprint(user)):
            return None
        return self._visitor(name, role_of(user.role), session_id)

    def visitor_of_cookies(self, cookies: Mapping[str, str]) -> Visitor | None:
        """Return whom a browser's cookies belong to; None without a valid one."""
        cookie = cookies.get(self.cookie_name, "")
        return self.visitor(cookie) if cookie else None

    def stranger(self) -> Visitor:
        """Return a visitor without login, with a session of its own for its CSRF token."""
        return self._visitor("", self._anonymous, secrets.token_urlsafe(18))

    def begin(self, user: User) -> Visitor:
        """Return a user who has just logged in, with a new session."""
        return self._visitor(user.name, role_of(user.role), secrets.token_urlsafe(18))

    def cookie(self, visitor: Visitor) -> str:
        """Return the cookie's value."""
        user = self._users.find(visitor.name) if visitor.name else None
        return self._signer.dumps((visitor.name, visitor.session_id, _fingerprint(user) if user else ""))

    def _visitor(self, name: str, role: Role, session_id: str) -> Visitor:
        token = hmac.new(self._secret, b"csrf " + session_id.encode(), hashlib.sha256).hexdigest()
        return Visitor(name, role, session_id, token)


def visitor_of(request: HTTPConnection) -> Visitor:
    """Return the visitor of a request."""
    visitor: Visitor = request.state.visitor
    return visitor


def _fingerprint(user: User) -> str:
    """A value that changes with the password; it tells nothing of it."""
    return hashlib.sha256(b"cmfm-hmi" + user.salt + user.hashed).hexdigest()[:16]
