"""Users of a program: a file with a line each, passwords as scrypt hashes, written by a command of that program.

A line is `name:role:n:r:p:salt:hash`, the last two in base64. Each program has roles of its own.
"""

import base64
import hashlib
import hmac
import re
import secrets
import time
from collections.abc import Callable, Collection, Hashable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cmfm_settings.errors import InputError
from cmfm_settings.private_file import write_private

COST: Final = (2**14, 8, 1)
"""scrypt's n, r and p: 16 MB and some 40 ms a try (OWASP's minimum for interactive logins is in this order)."""

MAX_COST_MB: Final = 64
SALT_BYTES: Final = 16
MIN_PASSWORD: Final = 8
MAX_PASSWORD: Final = 256

_NAME: Final = re.compile(r"[A-Za-z0-9_.@-]{1,64}")


@dataclass(frozen=True, slots=True)
class User:
    """A line of the file."""

    name: str
    role: str
    cost: tuple[int, int, int]
    salt: bytes
    hashed: bytes

    @property
    def line(self) -> str:
        """The user as the file has it."""
        cost = ":".join(str(number) for number in self.cost)
        salt, hashed = (base64.b64encode(value).decode() for value in (self.salt, self.hashed))
        return f"{self.name}:{self.role}:{cost}:{salt}:{hashed}"

    def has_password(self, password: str) -> bool:
        """Tell whether the password is the user's; takes some 40 ms."""
        return hmac.compare_digest(_hash(password, self.salt, self.cost), self.hashed)


def make_user(name: str, role: str, password: str) -> User:
    """Return a user with a new salt. Raises InputError for a name or password that cannot be used."""
    if not _NAME.fullmatch(name):
        raise InputError(f"{name!r}: a user's name is 1 to 64 letters, digits, '_', '-', '.' or '@'")
    if not MIN_PASSWORD <= len(password) <= MAX_PASSWORD:
        raise InputError(f"a password has {MIN_PASSWORD} to {MAX_PASSWORD} characters")
    salt = secrets.token_bytes(SALT_BYTES)
    return User(name, role, COST, salt, _hash(password, salt, COST))


def read_users(path: Path, roles: Collection[str], command: str) -> dict[str, User]:
    """Read the file; no file is no user. `command` writes such files. Raises InputError naming file and line."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read: {error}") from error
    users = {}
    for number, line in enumerate(lines, 1):
        if line.strip() and not line.startswith("#"):
            user = _read_line(line, f"{path}, line {number}", roles, command)
            users[user.name] = user
    return users


def write_users(path: Path, users: dict[str, User]) -> None:
    """Replace the file by one with these users, readable by its owner alone."""
    new = path.with_name(path.name + ".new")
    write_private(new, "".join(f"{user.line}\n" for user in users.values()).encode())
    new.replace(path)


class LoginLimit:
    """Slows guessing: after `FAILURES` wrong passwords a client's tries are refused for `PAUSE_S`, without hashing.

    It remembers the newest `CLIENTS` clients, so that many addresses cost no memory.
    """

    FAILURES: Final = 5
    PAUSE_S: Final = 30.0
    CLIENTS: Final = 10_000

    def __init__(self, clock_s: Callable[[], float] = time.monotonic) -> None:
        self._clock_s = clock_s
        self._failed: dict[Hashable, tuple[int, float]] = {}

    def allows(self, client: Hashable) -> bool:
        """Tell whether the client may try now."""
        failures, last_s = self._failed.get(client, (0, 0.0))
        if failures and self._clock_s() - last_s > self.PAUSE_S:
            del self._failed[client]
            return True
        return failures < self.FAILURES

    def note(self, client: Hashable, *, right: bool) -> None:
        """Note the outcome of a try."""
        failures, _ = self._failed.pop(client, (0, 0.0))
        if not right:
            self._failed[client] = (failures + 1, self._clock_s())
            while len(self._failed) > self.CLIENTS:
                del self._failed[next(iter(self._failed))]


def _hash(password: str, salt: bytes, cost: tuple[int, int, int]) -> bytes:
    n, r, p = cost
    return hashlib.scrypt(password.encode(), salt=salt, n=n, r=r, p=p, maxmem=MAX_COST_MB * 2**20)


def _read_line(line: str, where: str, roles: Collection[str], command: str) -> User:
    parts = line.strip().split(":")
    if len(parts) != 7 or parts[1] not in roles:
        raise InputError(f"{where}: not name:role:n:r:p:salt:hash; write it with {command}")
    try:
        cost = (int(parts[2]), int(parts[3]), int(parts[4]))
        salt, hashed = (base64.b64decode(part, validate=True) for part in parts[5:])
        _hash("", salt, cost)
    except ValueError as error:
        raise InputError(f"{where}: {error}") from error
    return User(parts[0], parts[1], cost, salt, hashed)
