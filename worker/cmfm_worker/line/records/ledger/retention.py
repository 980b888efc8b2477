"""Retention: rows up to an age, and a file up to a size; the oldest rows are deleted first.

Audit entries have the same age; for size they are deleted only when no verdict is left to delete. One call deletes at
most `CHUNK_ROWS` of each, so that rows that arrive meanwhile do not wait long.
"""

import sqlite3
from dataclasses import dataclass
from typing import Final

from cmfm_service.sqlite import transaction

CHUNK_ROWS: Final = 5000
FREED_PAGES: Final = 2000
"""Pages (8 MB) given back to the disk at a time; those not given back yet are used again."""

NS_PER_DAY: Final = 24 * 3600 * 10**9

OLDEST: Final = (
    "(boot_id, result_id) IN (SELECT boot_id, result_id FROM triggers {} ORDER BY done_ns LIMIT ?)"
)
TOO_OLD: Final = f"DELETE FROM triggers WHERE {OLDEST.format('WHERE done_ns < ? AND boot_id <> ?')}"  # noqa: S608
TOO_MANY: Final = f"DELETE FROM triggers WHERE {OLDEST.format('')}"  # noqa: S608 (nothing in either comes from outside)
OLDEST_AUDIT: Final = "entry_id IN (SELECT entry_id FROM audit {} ORDER BY at_ns LIMIT ?)"
AUDIT_TOO_OLD: Final = f"DELETE FROM audit WHERE {OLDEST_AUDIT.format('WHERE at_ns < ? AND boot_id <> ?')}"  # noqa: S608
AUDIT_TOO_MANY: Final = f"DELETE FROM audit WHERE {OLDEST_AUDIT.format('')}"  # noqa: S608


@dataclass(frozen=True, slots=True)
class Retention:
    """`keep_days` and `max_mb` (10^6 bytes), 0 for no limit."""

    keep_days: float = 0
    max_mb: float = 0

    def trim(self, connection: sqlite3.Connection, *, now_ns: int, boot_id: str) -> tuple[int, int]:
        """Delete at most `CHUNK_ROWS`; returns how many were too old and how many were too many.

        Rows of this boot are never too old: a machine that starts with a wrong clock and is put right must not
        delete what it has just written. Raises sqlite3.Error.
        """
        if self.keep_days:
            before_ns = now_ns - int(self.keep_days * NS_PER_DAY)
            too_old = _delete(connection, TOO_OLD, (before_ns, boot_id, CHUNK_ROWS))
            too_old += _delete(connection, AUDIT_TOO_OLD, (before_ns, boot_id, CHUNK_ROWS))
            if too_old:
                return too_old, 0
        if self.max_mb and used_bytes(connection) > self.max_mb * 1e6:
            verdicts = _delete(connection, TOO_MANY, (CHUNK_ROWS,))
            return 0, verdicts or _delete(connection, AUDIT_TOO_MANY, (CHUNK_ROWS,))
        return 0, 0


def used_bytes(connection: sqlite3.Connection) -> int:
    """Bytes of the file that are in use."""
    pages, free, size = (
        int(connection.execute(f"PRAGMA {name}").fetchone()[0])
        for name in ("page_count", "freelist_count", "page_size")
    )
    return (pages - free) * size


def _delete(connection: sqlite3.Connection, statement: str, values: tuple[object, ...]) -> int:
    with transaction(connection):
        deleted = connection.execute(statement, values).rowcount
    if deleted:
        # As a script: `execute` ends a statement that has no columns after its first step, which is one page.
        connection.executescript(f"PRAGMA incremental_vacuum({FREED_PAGES})")
    return deleted
