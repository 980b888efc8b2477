"""What a start takes from the ledger: the verdicts of a killed worker made complete, and what has been answered."""

import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from cmfm_protocol.wire.frame import UNATTRIBUTED_STREAM
from cmfm_worker.line.records.journal import Journal, Row
from cmfm_worker.line.records.ledger.schema import COLUMNS, transaction
from cmfm_worker.line.records.time_text import utc_text

COMPLETE: Final = (
    f"INSERT OR IGNORE INTO triggers ({', '.join(COLUMNS)}) VALUES ({', '.join('?' * len(COLUMNS))})"  # noqa: S608 (column names are ours)
)
KILLED: Final = "SELECT boot_id, started_ns, flush_ms FROM boots WHERE ending = 'running'"
LAST_ROW: Final = "SELECT result_id, done_ns FROM triggers WHERE boot_id = ? ORDER BY result_id DESC LIMIT 1"
RECENT_STREAMS: Final = (
    "SELECT stream_uuid, MAX(seq) FROM triggers WHERE done_ns > ? AND stream_uuid <> ? "
    "GROUP BY stream_uuid ORDER BY MAX(done_ns) DESC LIMIT ?"
)
ANSWERED: Final = "SELECT seq FROM triggers WHERE stream_uuid = ? AND seq > ?"

RESUME_NS: Final = 24 * 3600 * 1_000_000_000
"""A stream silent for a day is not resumed."""

RESUME_STREAMS: Final = 64
"""Streams resumed, the newest: as many as are remembered at once."""


@dataclass(frozen=True, slots=True)
class KilledBoot:
    """How the ledger of a boot that did not end by itself stood, and how many rows the journal added."""

    boot_id: str
    last_result_id: int
    last_done_ns: int
    from_journal: int
    flush_ms: float

    def __str__(self) -> str:
        return (
            f"the former worker was killed: of the verdicts it gave after {utc_text(self.last_done_ns)}, "
            f"{self.from_journal} were in the journal; after a power cut those of at most {self.flush_ms:g} ms before "
            "it may be missing"
        )


def complete_killed(connection: sqlite3.Connection, journal: Journal) -> Iterator[KilledBoot]:
    """Add what killed boots had given but not written; each is told of once. Raises sqlite3.Error."""
    killed = connection.execute(KILLED).fetchall()
    noted = journal.rows() if killed else []
    for boot_id, started_ns, flush_ms in killed:
        result_id, done_ns = connection.execute(LAST_ROW, (boot_id,)).fetchone() or (0, started_ns)
        added = _complete(connection, [row for row in noted if row[0] == boot_id])
        yield KilledBoot(boot_id, result_id, done_ns, added, flush_ms)
    connection.execute("UPDATE boots SET ending = 'killed' WHERE ending = 'running'")
    journal.clear()


def answered_of(connection: sqlite3.Connection, now_ns: int, newest: int) -> dict[str, list[int]]:
    """For each stream of the last day, which of its `newest` numbers have had their verdict, in order."""
    since = (now_ns - RESUME_NS, UNATTRIBUTED_STREAM, RESUME_STREAMS)
    streams = connection.execute(RECENT_STREAMS, since).fetchall()
    return {
        stream: sorted(seq for (seq,) in connection.execute(ANSWERED, (stream, last - newest)))
        for stream, last in reversed(streams)
    }


def _complete(connection: sqlite3.Connection, noted: Sequence[Row]) -> int:
    """Insert the rows that are not there yet, of two with one id the later; returns how many."""
    before = connection.total_changes
    with transaction(connection):
        connection.executemany(COMPLETE, [row for row in reversed(noted) if len(row) == len(COLUMNS)])
    return connection.total_changes - before
