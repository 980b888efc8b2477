"""Secrets of a line: the texts that must never leave it, and their removal from what is packed for support."""

import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

REMOVED: Final = "(secret removed)"
MAX_FILE_BYTES: Final = 1 << 20
LEAST_CHARS: Final = 4
"""Shorter texts would be found everywhere, and are no secrets worth the name."""

LEAST_FIELD_CHARS: Final = 12
"""Least length of a field within a line, such as a hash, that is removed by itself."""

_CURVE_KEY: Final = re.compile(r"""secret-key\s*=\s*["']?([^"'\s]+)["']?""")
"""The secret in a CURVE certificate, whose other lines are words that stand everywhere."""

_FIELDS: Final = re.compile(r"[:\s,;]+")


def texts_in_file(path: Path) -> Iterator[str]:
    """Yield the secret texts of a key, password or user file.

    Of a CURVE certificate it is its secret key, of other files the lines and their long fields. A file that cannot be
    read has no text that could be packed.
    """
    try:
        with path.open("rb") as file:
            text = file.read(MAX_FILE_BYTES).decode("utf-8", "replace")
    except OSError:
        return
    lines = [line for line in map(str.strip, text.splitlines()) if not line.startswith(("#", "-----"))]
    if values := [match[1] for line in lines if (match := _CURVE_KEY.fullmatch(line))]:
        yield from values
        return
    for line in lines:
        yield line
        yield from (field for field in _FIELDS.split(line) if len(field) >= LEAST_FIELD_CHARS)


def passwords_in(table: Mapping[str, Any]) -> Iterator[str]:
    """Yield the values of keys that hold a password itself, in a table of settings or in the environment."""
    for key, value in table.items():
        if isinstance(value, Mapping):
            yield from passwords_in(value)
        elif isinstance(value, str) and is_password(key):
            yield value


def is_password(key: str) -> bool:
    """Tell by its name whether a key holds a password or token itself, and not the file of one."""
    name = key.lower()
    return any(word in name for word in ("password", "passphrase", "token")) and not name.endswith("file")


def passwords_in_file(path: Path) -> list[str]:
    """Return the passwords that a TOML file holds itself; none if it cannot be read."""
    try:
        return list(passwords_in(tomllib.loads(path.read_text(encoding="utf-8-sig"))))
    except (OSError, ValueError, RecursionError):
        return []


class Scrubber:
    """Removes secret texts from what is packed, the longest first."""

    def __init__(self, secrets: Iterable[str]) -> None:
        known = {secret for secret in secrets if len(secret) >= LEAST_CHARS}
        longest_first = sorted(known, key=len, reverse=True)
        self._pattern = re.compile("|".join(map(re.escape, longest_first))) if longest_first else None

    def clean(self, text: str) -> str:
        """Return the text without secrets."""
        return text if self._pattern is None else self._pattern.sub(REMOVED, text)
