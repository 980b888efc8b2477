"""Resuming after a restart: completes the rows of a killed worker, and lists the numbers that had their verdict."""

import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from cmfm_protocol.wire.frame import UNATTRIBUTED_STREAM
from cmfm_worker.line.records.journal import Journal, Row
from cmfm_worker.line.records.ledger.schema import COLUMNS, INSERT_IF_ABSENT, key_of, transaction
from cmfm_worker.line.records.time_text import utc_text

KILLED: Final = "SELECT boot_id, started_ns, flush_ms FROM boots WHERE ending = 'running'"
LAST_ROW: Final = "SELECT result_id, done_ns FROM triggers WHERE boot_id = ? ORDER BY result_id DESC LIMIT 1"
RECENT_STREAMS: Final = (
    "SELECT stream_uuid, MAX(seq) FROM triggers WHERE done_ns > ? AND stream_uuid <> ? "
    "GROUP BY stream_uuid ORDER BY MAX(done_ns) DESC LIMIT ?"
)
ANSWERED: Final = "SELECT seq, done_ns FROM triggers WHERE stream_uuid = ? AND seq > ? ORDER BY seq, done_ns"

ROWS_LOST: Final = "UPDATE boots SET rows_lost = rows_lost + ? WHERE boot_id = ?"
INCOMPLETE: Final = (
    "SELECT DISTINCT stream_uuid FROM triggers WHERE done_ns > ? AND stream_uuid <> ? "
    "AND boot_id IN (SELECT boot_id FROM boots WHERE rows_lost > 0)"
)

RESUME_NS: Final = 24 * 3600 * 1_000_000_000
"""A stream silent for a day is not resumed."""

RESUME_STREAMS: Final = 64
"""Streams that are resumed, the newest: as many as the intake remembers at once."""


@dataclass(frozen=True, slots=True)
class KilledBoot:
    """The state of the ledger for a boot that did not end by itself, and how many rows the journal added."""

    boot_id: str
    last_result_id: int
    last_done_ns: int
    from_journal: int
    rows_missing: int  # verdicts that were given and are neither in the ledger nor in the journal
    flush_ms: float

    def __str__(self) -> str:
        missing = (
            f"; {self.rows_missing} verdicts before those are missing, because the disk refused rows for longer than "
            "ledger.journal_rows lasts; numbers of which that is not known get no second verdict"
            if self.rows_missing
            else ""
        )
        return (
            f"the former worker was killed: its last row is of {utc_text(self.last_done_ns)}, and {self.from_journal} "
            f"later verdicts came from the journal; after a power cut verdicts of its last {self.flush_ms:g} ms may be "
            f"missing{missing}"
        )


def complete_killed(connection: sqlite3.Connection, journal: Journal) -> Iterator[KilledBoot]:
    """Add the verdicts that killed boots had journaled but not written; yields each boot once. Raises sqlite3.Error.

    The journal can be cleared afterwards.
    """
    killed = connection.execute(KILLED).fetchall()
    journaled = [row for row in journal.rows() if len(row) == len(COLUMNS)] if killed else []
    for boot_id, started_ns, flush_ms in killed:
        result_id, done_ns = connection.execute(LAST_ROW, (boot_id,)).fetchone() or (0, started_ns)
        rows = [row for row in journaled if key_of(row)[0] == boot_id]
        oldest_id = min((int(str(key_of(row)[1])) for row in rows), default=result_id + 1)
        missing = max(oldest_id - result_id - 1, 0)
        added = _complete(connection, rows)
        connection.execute(ROWS_LOST, (missing, boot_id))
        yield KilledBoot(boot_id, result_id, done_ns, added, missing, flush_ms)
    connection.execute("UPDATE boots SET ending = 'killed' WHERE ending = 'running'")


def answered_of(connection: sqlite3.Connection, now_ns: int, newest: int) -> dict[str, dict[int, int]]:
    """Return the `newest` numbers of each stream of the last day that have had their verdict, sorted, and its time.

    `now_ns` and the times of the verdicts are CLOCK_REALTIME.
    """
    since = (now_ns - RESUME_NS, UNATTRIBUTED_STREAM, RESUME_STREAMS)
    streams = connection.execute(RECENT_STREAMS, since).fetchall()
    return {
        stream: dict(connection.execute(ANSWERED, (stream, last - newest)).fetchall())
        for stream, last in reversed(streams)
    }


def incomplete_of(connection: sqlite3.Connection, now_ns: int) -> set[str]:
    """Return the streams of the last day of which verdicts may be missing in the ledger."""
    since = (now_ns - RESUME_NS, UNATTRIBUTED_STREAM)
    return {stream_uuid for (stream_uuid,) in connection.execute(INCOMPLETE, since)}


def _complete(connection: sqlite3.Connection, journaled: Sequence[Row]) -> int:
    """Insert the rows that are not there yet, the later of two with one id; returns how many."""
    before = connection.total_changes
    with transaction(connection):
        connection.executemany(INSERT_IF_ABSENT, list(reversed(journaled)))
    return connection.total_changes - before
