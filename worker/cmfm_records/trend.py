"""Trends of a ledger: rows counted in slots of equal length, and a bounded sample of their measures.

One call reads the rows of one span of time for the counts, which are exact, and fetches about `SAMPLE_ROWS` of them at
most for medians. Memory does not grow with the rows; time does, by 3 or 4 µs a row, so long times are asked in spans.
"""

import sqlite3
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from cmfm_protocol.wire.verdict import Verdict

VERDICTS: Final = tuple(Verdict)
MEASURES: Final = ("score", "coverage", "latency_us")

SAMPLE_ROWS: Final = 2000
"""Rows fetched for the medians of one span, about: a median of so many is known to 1 or 2 % of the ranks."""

_HASH: Final = 2_654_435_761
_HASHES: Final = 2**32
"""A row is sampled by the high bits of its result id times the golden ratio (Knuth, 6.4). The sample is even, also
where two cameras take turns."""

_COUNTED: Final = ", ".join(
    [
        *(f"SUM(verdict = '{verdict}')" for verdict in VERDICTS),
        *(f"MIN({measure}) FILTER (WHERE verdict <> 'FAULT')" for measure in MEASURES),
        *(f"MAX({measure}) FILTER (WHERE verdict <> 'FAULT')" for measure in MEASURES),
        "MAX(threshold)",
    ]
)


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """Measures of inspected parts: of each its slot (n,) int64, score, coverage and latency (n,) float64, its model.

    A measure that a part lacks is NaN. `of_model` (n,) bool is True for parts of the model asked for.
    """

    slot: NDArray[np.int64]
    score: NDArray[np.float64]
    coverage: NDArray[np.float64]
    latency_us: NDArray[np.float64]
    of_model: NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class Slots:
    """Rows of consecutive slots. FAULTs are counted; the measures are those of inspected parts.

    `counts` (slots, 4) int64 by verdict as in `VERDICTS`; `least`, `greatest` (slots, 3) float64 as in `MEASURES`;
    `threshold` (slots,) float64, the highest. What a slot lacks is NaN.
    """

    counts: NDArray[np.int64]
    least: NDArray[np.float64]
    greatest: NDArray[np.float64]
    threshold: NDArray[np.float64]
    sample: Sample


def read_slots(
    connection: sqlite3.Connection,
    where: tuple[str, tuple[object, ...]],
    *,
    start_ns: int,
    slot_ns: int,
    slots: int,
    model: str,
) -> Slots:
    """Count the rows of `slots` slots from `start_ns` on that meet a condition. Raises sqlite3.Error."""
    condition, values = where
    inside = f"done_ns >= ? AND done_ns < ? AND ({condition})"
    span = (start_ns, start_ns + slots * slot_ns, *values)
    rows = connection.execute(
        f"SELECT (done_ns - ?) / ? AS slot, {_COUNTED} FROM triggers WHERE {inside} GROUP BY slot",  # noqa: S608
        (start_ns, slot_ns, *span),
    ).fetchall()
    table = np.full((slots, len(VERDICTS) + 2 * len(MEASURES) + 1), np.nan)
    table[:, : len(VERDICTS)] = 0
    for slot, *cells in rows:
        table[slot] = [np.nan if cell is None else cell for cell in cells]
    counts, least, greatest, threshold = np.split(table, np.cumsum([len(VERDICTS), 3, 3]), axis=1)
    inspected = int(counts.sum() - counts[:, VERDICTS.index(Verdict.FAULT)].sum())
    share = min(1.0, SAMPLE_ROWS / max(inspected, 1))
    sampled = connection.execute(
        "SELECT (done_ns - ?) / ?, score, coverage, latency_us, model_sha = ? FROM triggers "  # noqa: S608
        f"WHERE {inside} AND verdict <> 'FAULT' AND (result_id * {_HASH} & {_HASHES - 1}) < ?",
        (start_ns, slot_ns, model, *span, int(share * _HASHES)),
    ).fetchall()
    return Slots(counts.astype(np.int64), least, greatest, threshold[:, 0], _sample(sampled))


def _sample(rows: list[tuple[object, ...]]) -> Sample:
    table = np.array(rows, dtype=np.float64).reshape(len(rows), 5)  # None becomes NaN
    slot, score, coverage, latency_us, of_model = table.T
    return Sample(slot.astype(np.int64), score, coverage, latency_us, of_model == 1)
