"""Resuming after a restart: completes the rows of a killed worker, and lists the numbers that had their verdict.

Both questions are look-ups in the index (stream_uuid, seq), a few for each stream and none for each row.
"""

import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from cmfm_protocol.wire.frame import UNATTRIBUTED_STREAM
from cmfm_records.ledger_schema import COLUMNS, INSERT_IF_ABSENT, key_of
from cmfm_records.time_text import utc_text
from cmfm_service.sqlite import transaction
from cmfm_worker.line.records.journal import Journal, Row

KILLED: Final = "SELECT boot_id, started_ns, flush_ms FROM boots WHERE ending = 'running'"
LAST_ROW: Final = "SELECT result_id, done_ns FROM triggers WHERE boot_id = ? ORDER BY result_id DESC LIMIT 1"
RECENT_STREAMS: Final = (
    "SELECT stream_uuid, MAX(seq) FROM triggers WHERE done_ns > ? AND stream_uuid <> ? "
    "GROUP BY stream_uuid ORDER BY MAX(done_ns) DESC LIMIT ?"
)
ANSWERED: Final = "SELECT seq, done_ns FROM triggers WHERE stream_uuid = ? AND seq > ? ORDER BY seq, done_ns"

STREAMS: Final = """
WITH RECURSIVE streams (stream_uuid) AS (
    SELECT MIN(stream_uuid) FROM triggers
    UNION ALL
    SELECT (SELECT MIN(stream_uuid) FROM triggers WHERE stream_uuid > streams.stream_uuid)
    FROM streams WHERE stream_uuid IS NOT NULL
)
SELECT stream_uuid, (SELECT MAX(seq) FROM triggers WHERE stream_uuid = streams.stream_uuid)
FROM streams WHERE stream_uuid IS NOT NULL
"""
"""Each stream and its newest number, by steps in the index from one stream to the next."""

DONE: Final = "SELECT MAX(done_ns) FROM triggers WHERE stream_uuid = ? AND seq = ?"
UNRECORDED: Final = "SELECT stream_uuid, newest_seq, done_ns FROM unrecorded"
NOTE_UNRECORDED: Final = (
    "INSERT INTO unrecorded VALUES (?, ?, ?) ON CONFLICT (stream_uuid) DO UPDATE SET "
    "newest_seq = MAX(newest_seq, excluded.newest_seq), done_ns = MAX(done_ns, excluded.done_ns)"
)
ROWS_LOST: Final = "UPDATE boots SET rows_lost = rows_lost + ? WHERE boot_id = ?"

RESUME_NS: Final = 24 * 3600 * 1_000_000_000
"""Of a stream silent for a day, numbers that were left out get no FAULT any more."""

RESUME_STREAMS: Final = 64
"""Streams that are resumed, the newest: as many as the intake tracks at once."""


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
        note_lost(connection, journal, boot_id, missing)
        yield KilledBoot(boot_id, result_id, done_ns, added, missing, flush_ms)
    connection.execute("UPDATE boots SET ending = 'killed' WHERE ending = 'running'")


def note_lost(connection: sqlite3.Connection, journal: Journal, boot_id: str, rows: int) -> None:
    """Record that so many further rows of a boot were lost, and which streams that concerns. Raises sqlite3.Error."""
    if rows:
        with transaction(connection):
            connection.execute(ROWS_LOST, (rows, boot_id))
            connection.executemany(NOTE_UNRECORDED, journal.marks.read())


def answered_of(connection: sqlite3.Connection, now_ns: int, newest: int) -> dict[str, dict[int, int]]:
    """Return the `newest` numbers of each stream of the last day that have had their verdict, sorted, and its time.

    Streams with lost rows among those numbers are left out: which of them had a verdict is not known. `now_ns` and the
    times of the verdicts are CLOCK_REALTIME.
    """
    since = (now_ns - RESUME_NS, UNATTRIBUTED_STREAM, RESUME_STREAMS)
    streams = connection.execute(RECENT_STREAMS, since).fetchall()
    lost = {stream: seq for stream, seq, _ in connection.execute(UNRECORDED)}
    return {
        stream: dict(connection.execute(ANSWERED, (stream, last - newest)).fetchall())
        for stream, last in reversed(streams)
        if stream not in lost or lost[stream] <= last - newest
    }


def past_of(connection: sqlite3.Connection) -> dict[str, tuple[int, int]]:
    """Return every stream with the newest number that has, or may have, had its verdict, and when (CLOCK_REALTIME)."""
    past = {
        stream: (last, connection.execute(DONE, (stream, last)).fetchone()[0])
        for stream, last in connection.execute(STREAMS).fetchall()
        if stream != UNATTRIBUTED_STREAM
    }
    for stream, last, done_ns in connection.execute(UNRECORDED):
        known, known_ns = past.get(stream, (-1, 0))
        past[stream] = max(known, last), max(known_ns, done_ns)
    past.pop(UNATTRIBUTED_STREAM, None)
    return past


def _complete(connection: sqlite3.Connection, journaled: Sequence[Row]) -> int:
    """Insert the rows that are not there yet, the later of two with one id; returns how many."""
    before = connection.total_changes
    with transaction(connection):
        connection.executemany(INSERT_IF_ABSENT, list(reversed(journaled)))
    return connection.total_changes - before
