"""The line's rate: parts a second in the last hour that the ledger has."""

import itertools
from pathlib import Path
from typing import Final

from cmfm_protocol.clock import NS_PER_S
from cmfm_records.ledger import Question, open_ledger
from cmfm_records.time_text import utc_text
from cmfm_settings.errors import InputError
from cmfm_worker.settings.model import Settings

HOUR_NS: Final = 3600 * NS_PER_S
LEAST_SPAN_S: Final = 10.0
"""A shorter run of parts counts as this long, so that three parts in a second are no rate of three a second."""

STILL_S: Final = 60.0
"""A longer pause between two parts means that the line stood still; it does not count as working time."""


def rate_of(settings: Settings, given_hz: float | None) -> tuple[float | None, str]:
    """Return the rate in parts a second, and in words where it comes from. None if it is not known."""
    if given_hz is not None:
        return given_hz, "--rate"
    if settings.ledger.path is None:
        return None, "the line keeps no ledger"
    try:
        return ledger_rate(settings.ledger.path)
    except InputError as error:
        return None, str(error)


def ledger_rate(path: Path) -> tuple[float | None, str]:
    """Return the rate within the hour before the newest row, without the time that the line stood still.

    Raises InputError.
    """
    with open_ledger(path) as reader:
        newest = list(reader.rows(Question(limit=1)))
        if not newest:
            return None, "the ledger has no row yet"
        until_ns = _ns(newest[0]["done_ns"])
        rows = reader.rows(Question(since_ns=until_ns - HOUR_NS))
        times_ns = sorted(_ns(row["trigger_ns"]) for row in rows)
    return busy_rate(times_ns), f"the ledger's hour until {utc_text(until_ns)[:16]}"


def busy_rate(times_ns: list[int]) -> float | None:
    """Return triggers a second while the line ran. None for fewer than two."""
    if len(times_ns) < 2:
        return None
    gaps_s = [(later - earlier) / NS_PER_S for earlier, later in itertools.pairwise(times_ns)]
    working_s = sum(gap_s for gap_s in gaps_s if gap_s <= STILL_S)
    return len(times_ns) / max(working_s, LEAST_SPAN_S)


def rate_in_words(rate_hz: float) -> str:
    """Return a rate for people: parts a second, or a minute where they are few."""
    return f"{rate_hz:.2g} parts a second" if rate_hz >= 1 else f"{rate_hz * 60:.2g} parts a minute"


def _ns(value: object) -> int:
    return int(str(value))
