"""One row of the index of archived parts, how it is read from a part's folder, and the filter over rows."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Self

from cmfm_records.archived_part import NAME, read_result
from cmfm_records.time_text import EPOCH, utc_text
from cmfm_settings.errors import InputError

COLUMNS: Final[Mapping[str, str]] = {
    "name": "name TEXT NOT NULL",
    "done_ns": "done_ns INTEGER NOT NULL",
    "boot_id": "boot_id TEXT NOT NULL",
    "result_id": "result_id INTEGER NOT NULL",
    "part_id": "part_id TEXT NOT NULL",
    "camera": "camera TEXT NOT NULL",
    "recipe": "recipe TEXT NOT NULL",
    "verdict": "verdict TEXT NOT NULL",
    "reason": "reason TEXT NOT NULL",
    "score": "score REAL",
    "threshold": "threshold REAL",
    "coverage": "coverage REAL",
    "regions": "regions INTEGER NOT NULL",
    "has_maps": "has_maps INTEGER NOT NULL",
    "problem": "problem TEXT NOT NULL",
}
"""The columns of the index, in the order of `ArchivedRow`."""

_LAST_NS: Final = 253_402_300_799 * 10**9  # the year 9999, the last one that a name can have
_MAX_INTEGER: Final = 2**63 - 1
_PSI: Final = "psi.npy"


@dataclass(frozen=True, slots=True)
class ArchivedRow:
    """An archived part in a list. `problem` says why its result.json cannot be used; the other fields are then empty,
    except the name and what the name says.
    """

    name: str
    done_ns: int
    boot_id: str
    result_id: int
    part_id: str = ""
    camera: str = ""
    recipe: str = ""
    verdict: str = ""
    reason: str = ""
    score: float | None = None
    threshold: float | None = None
    coverage: float | None = None
    regions: int = 0
    has_maps: bool = False
    problem: str = ""

    @classmethod
    def read(cls, folder: Path) -> Self | None:
        """Read a part's folder; None if it is gone. A folder that cannot be used gives a row with its problem."""
        matched = NAME.fullmatch(folder.name)
        if matched is None:
            raise ValueError(f"{folder.name!r} is not the name of an archived part")
        torn = cls(folder.name, name_time_ns(folder.name), matched[1], min(int(matched[2]), _MAX_INTEGER))
        try:
            result = read_result(folder)
        except InputError as error:
            return replace(torn, problem=str(error)) if folder.is_dir() else None
        return replace(
            torn,
            boot_id=result.boot_id,
            result_id=result.result_id,
            part_id=result.part_id,
            camera=result.camera,
            recipe=result.recipe,
            verdict=str(result.verdict),
            reason=str(result.reason),
            score=result.score,
            threshold=result.threshold,
            coverage=result.coverage,
            regions=len(result.regions),
            has_maps=(folder / _PSI).is_file(),
        )

    @classmethod
    def of(cls, columns: tuple[Any, ...]) -> Self:
        """The row of the columns that SQLite returns."""
        row = dict(zip(COLUMNS, columns, strict=True))
        return cls(**{**row, "has_maps": bool(row["has_maps"])})

    def columns(self) -> tuple[object, ...]:
        """The values for SQLite, in the order of COLUMNS."""
        return tuple(getattr(self, name) for name in COLUMNS)


@dataclass(frozen=True, slots=True)
class PartFilter:
    """A filter of archived parts; None does not filter. Times are compared in milliseconds, as names have them.

    `part` is a piece of the part id. `has_maps` True keeps the parts whose maps were archived.
    """

    since_ns: int | None = None
    until_ns: int | None = None
    verdict: str | None = None
    recipe: str | None = None
    reason: str | None = None
    camera: str | None = None
    part: str | None = None
    has_maps: bool | None = None

    def where(self) -> tuple[str, tuple[object, ...]]:
        """The SQL condition and its values."""
        terms = {
            "name >= ?": None if self.since_ns is None else time_name(self.since_ns),
            "name < ?": None if self.until_ns is None else time_name(self.until_ns),
            "verdict = ?": self.verdict,
            "recipe = ?": self.recipe,
            "reason = ?": self.reason,
            "camera = ?": self.camera,
            "instr(part_id, ?) > 0": self.part,
            "has_maps = ?": self.has_maps,
        }
        asked = {term: value for term, value in terms.items() if value is not None}
        return " AND ".join(asked) or "1", tuple(asked.values())


def time_name(time_ns: int) -> str:
    """The beginning of the name of a part whose verdict was given at `time_ns` (UTC, milliseconds)."""
    return re.sub(r"[-:.]", "", utc_text(min(max(time_ns, 0), _LAST_NS)))


def name_time_ns(name: str) -> int:
    """The time of the verdict in a part's name, nanoseconds since the epoch; 0 for one that is no time."""
    try:
        seconds = datetime.strptime(name[:15], "%Y%m%dT%H%M%S").replace(tzinfo=UTC) - EPOCH
    except ValueError:
        return 0
    return (seconds.days * 86_400 + seconds.seconds) * 10**9 + int(name[15:18]) * 10**6
