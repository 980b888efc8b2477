"""Logins: names and passwords, checked in a thread, few at a time, and slowed down after wrong ones."""

import asyncio
from typing import Final

from cmfm_hmi.security.users import Users
from cmfm_settings.users import MAX_PASSWORD, LoginLimit, User, make_user

CHECKS_AT_ONCE: Final = 2
"""Each check takes 16 MB and some 40 ms of a core."""


class Logins:
    """Checks passwords. Five wrong ones of an address, or for a name, close the door to it for half a minute."""

    def __init__(self, users: Users, limit: LoginLimit | None = None) -> None:
        self._users = users
        self._limit = limit or LoginLimit()
        self._checks = asyncio.Semaphore(CHECKS_AT_ONCE)
        self._nobody = make_user("nobody", "view", "no such user")

    def allows(self, name: str, peer: str) -> bool:
        """Tell whether a try of this name from this address is checked now."""
        return self._limit.allows(("peer", peer)) and self._limit.allows(("name", name))

    async def check(self, name: str, password: str, peer: str) -> User | None:
        """Return the user with this name and password, else None. An unknown name takes as long as a known one."""
        async with self._checks:
            if not self.allows(name, peer):
                return None
            user = self._users.find(name) or self._nobody
            right = await asyncio.to_thread(user.has_password, password[:MAX_PASSWORD])
            right = right and user is not self._nobody
            self._limit.note(("peer", peer), right=right)
            self._limit.note(("name", name), right=right)
        return user if right else None
