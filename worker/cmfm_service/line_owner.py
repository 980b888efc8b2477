"""The file by which the gateway tells other programs of the line whether a PLC owns it."""

import json
import time
from enum import StrEnum
from pathlib import Path
from typing import Final

import structlog

PERIOD_S: Final = 1.0
"""The file is written again so often: a reader sees that the gateway runs."""

STALE_S: Final = 5.0
"""A file that was not written for so long says nothing any more."""


class LineOwner(StrEnum):
    """Who owns the line. `UNKNOWN`: the gateway does not say."""

    NOBODY = "nobody"
    PLC = "plc"
    UNKNOWN = "unknown"


class OwnerFile:
    """Writes the file: at each change, and every `PERIOD_S`. A disk that refuses it is logged once."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._told: bool | None = None
        self._written_s = 0.0
        self._failed = False
        self._log = structlog.get_logger("line_owner")

    def tell(self, *, plc: bool) -> None:
        """Say whether a PLC owns the line."""
        now_s = time.monotonic()
        if plc is self._told and now_s - self._written_s < PERIOD_S:
            return
        if plc is not self._told:
            self._log.info("line_owner", plc=plc)
        self._told, self._written_s = plc, now_s
        new = self._path.with_name(self._path.name + ".new")
        try:
            new.write_text(json.dumps({"plc": plc}) + "\n", encoding="utf-8")
            new.replace(self._path)
            self._failed = False
        except OSError as error:
            if not self._failed:
                self._log.error("line_owner_unwritable", file=str(self._path), error=str(error))
            self._failed = True


def read_owner(path: Path) -> LineOwner:
    """Return what the file says; UNKNOWN if it is missing, damaged, or was not written for `STALE_S`."""
    try:
        age_s = time.time() - path.stat().st_mtime
    except OSError:
        return LineOwner.UNKNOWN
    return said_last(path) if abs(age_s) <= STALE_S else LineOwner.UNKNOWN


def said_last(path: Path) -> LineOwner:
    """Return what the file says, however old it is; UNKNOWN if it is missing or damaged."""
    try:
        plc = json.loads(path.read_text(encoding="utf-8"))["plc"]
    except (OSError, ValueError, KeyError, TypeError):
        return LineOwner.UNKNOWN
    if not isinstance(plc, bool):
        return LineOwner.UNKNOWN
    return LineOwner.PLC if plc else LineOwner.NOBODY
