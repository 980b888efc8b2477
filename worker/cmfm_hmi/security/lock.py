"""The read-only line: while a PLC owns it, the page changes nothing until somebody takes over.

Who took over stands in a file. The gateway looks at it and tells the PLC that the line is not ready.
"""

import json
import time
from dataclasses import dataclass
from pathlib import Path

from cmfm_hmi.errors import PageError
from cmfm_hmi.settings.access import AccessSection
from cmfm_service.line_owner import LineOwner, read_owner


@dataclass(frozen=True, slots=True)
class TakeOver:
    """Who took the line over from the PLC, and when (CLOCK_REALTIME)."""

    who: str
    since_ns: int


class LineLock:
    """Tells whether the page may change anything. A restart of the page changes nothing of that."""

    def __init__(self, section: AccessSection) -> None:
        self._plc_owns_line = section.plc_owns_line
        self._owner_file = section.owner
        self._file = section.takeover

    @property
    def owner(self) -> LineOwner:
        """The owner by the settings, else by the gateway: UNKNOWN while that is silent."""
        if self._plc_owns_line:
            return LineOwner.PLC
        return read_owner(self._owner_file) if self._owner_file is not None else LineOwner.NOBODY

    @property
    def plc_owns_line(self) -> bool:
        """True if a PLC owns the line, or may own it because the gateway is silent."""
        return self.owner is not LineOwner.NOBODY

    @property
    def can_be_taken_over(self) -> bool:
        """True if there is a file by which the gateway learns of it."""
        return self.plc_owns_line and self._file is not None

    @property
    def is_read_only(self) -> bool:
        """True while the PLC owns the line and nobody has taken over."""
        return self.plc_owns_line and self.taken_over() is None

    @property
    def state(self) -> str:
        """What a page says of it: "free", "plc", "unknown", or "taken" by an operator."""
        owner = self.owner
        if owner is LineOwner.NOBODY:
            return "free"
        return str(owner) if self.taken_over() is None else "taken"

    def require_free(self) -> None:
        """Raises PageError (423) while the page is read-only."""
        if self.is_read_only:
            raise PageError("gateway_silent" if self.owner is LineOwner.UNKNOWN else "read_only", 423)

    def taken_over(self) -> TakeOver | None:
        """Return who has the line from the PLC; None if nobody has."""
        return read_takeover(self._file) if self._file is not None else None

    def take_over(self, who: str) -> TakeOver:
        """Take the line from the PLC; the gateway is not ready from then on. Raises PageError."""
        if self._file is None or not self.plc_owns_line:
            raise PageError("no_takeover", 409)
        taken = TakeOver(who, time.time_ns())
        new = self._file.with_name(self._file.name + ".new")
        try:
            new.write_text(json.dumps({"who": who, "since_ns": taken.since_ns}) + "\n", encoding="utf-8")
            new.replace(self._file)
        except OSError as error:
            raise PageError("takeover_failed", 503, error=error) from error
        return taken

    def give_back(self) -> None:
        """Give the line back to the PLC. Raises PageError."""
        try:
            if self._file is not None:
                self._file.unlink(missing_ok=True)
        except OSError as error:
            raise PageError("takeover_failed", 503, error=error) from error


def read_takeover(path: Path) -> TakeOver | None:
    """Return what the file says; None without a file. A damaged file means that somebody has taken over."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return TakeOver(str(content["who"]), int(content["since_ns"]))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError):
        return TakeOver("?", 0)
