"""Allow-lists: the public keys in a folder, read again while the line runs."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import structlog

from cmfm_protocol.files.key_files import KeyFileError, read_allowed

FRESH_S: Final = 1.0
"""The folder is read at most once in this time, so that many connections do not cause many reads."""


class AllowList:
    """The public keys in a folder. A file that is added or removed counts from the next connection on.

    A file that cannot be read admits nobody. Raises KeyFileError if a file is wrong at the start.
    """

    def __init__(self, folder: Path, *, clock_s: Callable[[], float] = time.monotonic) -> None:
        self._folder = folder
        self._clock_s = clock_s
        self._log = structlog.get_logger("security")
        self._names, self._problems = read_allowed(folder)
        self._read_s = clock_s()
        if self._problems:
            raise KeyFileError("\n".join(self._problems))

    def __len__(self) -> int:
        return len(self._names)

    def name_of(self, key: bytes) -> str | None:
        """Return the name of the file that holds a key (Z85), or None if the key may not connect."""
        if self._clock_s() - self._read_s >= FRESH_S:
            self._read_again()
        return self._names.get(key)

    def _read_again(self) -> None:
        try:
            names, problems = read_allowed(self._folder)
        except KeyFileError as error:
            names, problems = {}, [str(error)]
        if problems != self._problems:
            for problem in problems:
                self._log.error("key_not_usable", detail=problem)
        self._names, self._problems, self._read_s = names, problems, self._clock_s()
