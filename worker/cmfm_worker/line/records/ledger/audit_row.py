"""An audit entry on its way to the disk, and whom to tell when it is there."""

import sqlite3
import time
from collections.abc import Callable
from dataclasses import dataclass

from cmfm_protocol.wire.record_requests import AuditRequest
from cmfm_records.audit import INSERT_AUDIT

Done = Callable[[str | None], None]
"""Takes the error, or None once the entry is on the disk. Any thread may call it."""


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

    def insert(self, connection: sqlite3.Connection) -> None:
        """Insert the row, unless an entry with its id is there. Raises sqlite3.Error."""
        connection.execute(INSERT_AUDIT, self.values)
