"""Entries for the ledger's thread: rows of verdicts, and audit entries with whom to tell when they are on the disk."""

import sqlite3
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Final

import structlog

from cmfm_protocol.wire.record_requests import AuditRequest
from cmfm_protocol.wire.result import Result
from cmfm_records.audit import INSERT_AUDIT
from cmfm_records.ledger_schema import INSERT, RESULT_COLUMNS, key_of
from cmfm_service.sqlite import transaction
from cmfm_worker.line.records.journal import Row

ROW_ERRORS: Final = (sqlite3.IntegrityError, sqlite3.ProgrammingError, sqlite3.InterfaceError, OverflowError)
"""Errors that are about a row and not about the disk."""

Done = Callable[[str | None], None]
"""Takes the error, or None once the entry is on the disk. Any thread may call it."""

_result_values: Final = attrgetter(*(column.name for column in RESULT_COLUMNS))


@dataclass(frozen=True, slots=True)
class AuditRow:
    """The values of one row of the table `audit`, and who waits for it."""

    values: tuple[str | int, ...]
    done: Done

    @classmethod
    def of(cls, entry: AuditRequest, boot_id: str, done: Done) -> "AuditRow":
        """Make the row of a request."""
        change = (entry.who, entry.what, entry.subject, entry.before, entry.after)
        return cls((entry.entry_id, entry.at_ns, *change, boot_id, time.time_ns()), done)


Item = Row | AuditRow


def row(result: Result, *, frame_sha256: str | None = None, recipe_sha: str = "") -> Row:
    """A result as the values of one row, in the order of COLUMNS."""
    return (*_result_values(result), recipe_sha or None, frame_sha256)


def audit_rows(batch: Sequence[Item]) -> list[AuditRow]:
    """The audit entries among the items of a batch."""
    return [item for item in batch if isinstance(item, AuditRow)]


def insert_items(connection: sqlite3.Connection, batch: Sequence[Item]) -> int:
    """Commit items; returns how many verdicts were refused for their values, which does not affect the others.

    An audit entry that is there already, by its id, stays as it is. Raises sqlite3.Error if nothing was written.
    """
    refused = 0
    with transaction(connection):
        for item in batch:
            if isinstance(item, AuditRow):
                connection.execute(INSERT_AUDIT, item.values)
                continue
            try:
                connection.execute(INSERT, item)
            except ROW_ERRORS as error:
                refused += 1
                structlog.get_logger("ledger").error("ledger_row_refused", key=key_of(item), error=str(error))
    return refused
