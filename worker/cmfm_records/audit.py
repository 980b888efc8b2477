"""The audit table of a ledger: who changed what, when, from which value to which. Rows are only ever added.

A ledger of version 4 has no such table; it is read as one without entries, and gets the table from the next worker.
"""

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Final

from cmfm_records.time_text import utc_text

CREATE_AUDIT: Final = (
    "CREATE TABLE audit (entry_id TEXT PRIMARY KEY, at_ns INTEGER NOT NULL, who TEXT NOT NULL, what TEXT NOT NULL, "
    "subject TEXT NOT NULL, before TEXT NOT NULL, after TEXT NOT NULL, boot_id TEXT NOT NULL, "
    "written_ns INTEGER NOT NULL) WITHOUT ROWID",
    "CREATE INDEX audit_by_time ON audit (at_ns)",
)
"""`boot_id` and `written_ns`: the worker that wrote the row, and when by its clock. `at_ns` is the sender's."""


@dataclass(frozen=True, slots=True)
class Change:
    """One change. `at_ns` is CLOCK_REALTIME of its sender; the other fields are one line of text each."""

    entry_id: str
    at_ns: int
    who: str
    what: str
    subject: str
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class AuditEntry(Change):
    """One row of the audit table; its fields are the table's columns."""

    boot_id: str
    written_ns: int

    @property
    def at_utc(self) -> str:
        """The time of the change, ISO 8601 in UTC."""
        return utc_text(self.at_ns)


AUDIT_COLUMNS: Final = tuple(field.name for field in fields(AuditEntry))
INSERT_AUDIT: Final = (
    f"INSERT OR IGNORE INTO audit ({', '.join(AUDIT_COLUMNS)}) "  # noqa: S608 (our own names)
    f"VALUES ({', '.join('?' * len(AUDIT_COLUMNS))})"
)
"""An entry that is there, by its `entry_id`, stays as it is."""

_SELECT: Final = (
    f"SELECT {', '.join(AUDIT_COLUMNS)} FROM audit WHERE at_ns >= ? AND at_ns < ? "  # noqa: S608 (our own names)
    "ORDER BY at_ns DESC, entry_id DESC LIMIT ?"
)
_END_OF_TIME_NS: Final = (1 << 63) - 1


def read_audit(
    connection: sqlite3.Connection, since_ns: int | None, until_ns: int | None, limit: int | None
) -> Iterator[AuditEntry]:
    """Yield the newest `limit` entries of a time (all if None), oldest first. Raises sqlite3.Error."""
    if not has_audit(connection):
        return
    until = _END_OF_TIME_NS if until_ns is None else until_ns
    rows = connection.execute(_SELECT, (since_ns or 0, until, -1 if limit is None else limit)).fetchall()
    yield from (AuditEntry(*row) for row in reversed(rows))


def has_audit(connection: sqlite3.Connection) -> bool:
    """Return True if the file has the table."""
    return bool(connection.execute("SELECT 1 FROM sqlite_schema WHERE name = 'audit'").fetchone())
