"""Trace of changes: who, when, what, from, to.

Each entry is stored durably by the page first, then sent to the worker, which writes it into its ledger. An entry is
sent again until the worker confirms it; its id makes that harmless.
"""

import asyncio
import contextlib
import sqlite3
import time
import uuid
from collections.abc import Callable
from dataclasses import asdict
from typing import Final

import structlog

from cmfm_client import ClientError
from cmfm_hmi.errors import PageError
from cmfm_hmi.store import PageStore
from cmfm_protocol.wire.control import Request
from cmfm_protocol.wire.record_requests import AuditRequest
from cmfm_protocol.wire.result import fit_text
from cmfm_records.audit import Change

RETRY_S: Final = 2.0
"""Pause after a worker that did not confirm."""

SENT_AT_ONCE: Final = 50
SHOWN_ROWS: Final = 500
_FIELDS: Final = "entry_id, at_ns, who, what, subject, before, after"


class AuditLog:
    """Writes entries, and forwards them by `send`, which blocks and raises ClientError if it was not confirmed."""

    def __init__(self, store: PageStore, send: Callable[[Request], object]) -> None:
        self._store = store
        self._send = send
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._log = structlog.get_logger("audit")

    def start(self) -> None:
        """Start to forward, in the running loop."""
        self._task = asyncio.create_task(self._forward(), name="audit")

    async def close(self) -> None:
        """Stop to forward; what was not sent is sent after the next start."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})

    async def write(self, who: str, what: str, subject: str = "", before: str = "", after: str = "") -> None:
        """Store an entry durably, before or after the change that it names. Raises PageError: then change nothing."""
        texts = tuple(fit_text(text) for text in (who, what, subject, before, after))
        entry = Change(uuid.uuid4().hex, time.time_ns(), *texts)
        values = (entry.entry_id, entry.at_ns, *texts)
        insert = f"INSERT INTO audit ({_FIELDS}) VALUES (?, ?, ?, ?, ?, ?, ?)"  # noqa: S608 (names are ours)
        try:
            await asyncio.to_thread(self._store.change, insert, values)
        except sqlite3.Error as error:
            self._log.error("audit_failed", error=str(error))
            raise PageError("audit_failed", 503, error=error) from error
        self._log.info("audit", who=who, what=what, subject=subject, before=before, after=after)
        self._wake.set()

    def newest(self, limit: int = SHOWN_ROWS) -> list[Change]:
        """Return the newest entries of this page, newest first. Raises sqlite3.Error."""
        select = f"SELECT {_FIELDS} FROM audit ORDER BY at_ns DESC LIMIT ?"  # noqa: S608
        return [_entry(row) for row in self._store.rows(select, (limit,))]

    def waiting(self, for_s: float = 0.0) -> list[str]:
        """Return the ids of the entries that have not reached the ledger for so long. Raises sqlite3.Error."""
        until_ns = time.time_ns() - int(for_s * 1e9)
        rows = self._store.rows("SELECT entry_id FROM audit WHERE sent = 0 AND at_ns <= ?", (until_ns,))
        return [str(row[0]) for row in rows]

    async def _forward(self) -> None:
        while True:
            self._wake.clear()
            if await asyncio.to_thread(self._send_waiting):
                await self._wake.wait()
            else:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(RETRY_S):
                        await asyncio.Event().wait()

    def _send_waiting(self) -> bool:
        """Send what waits, oldest first; True if nothing is left."""
        select = f"SELECT {_FIELDS} FROM audit WHERE sent = 0 ORDER BY at_ns LIMIT ?"  # noqa: S608
        try:
            while waiting := [_entry(row) for row in self._store.rows(select, (SENT_AT_ONCE,))]:
                for entry in waiting:
                    self._send(AuditRequest(uuid.uuid4().hex, **asdict(entry)))
                    self._store.change("UPDATE audit SET sent = 1 WHERE entry_id = ?", (entry.entry_id,))
        except (ClientError, sqlite3.Error) as error:
            self._log.warning("audit_waits", error=str(error))
            return False
        return True


def _entry(row: tuple[object, ...]) -> Change:
    entry_id, at_ns, *texts = row
    who, what, subject, before, after = map(str, texts)
    return Change(str(entry_id), int(str(at_ns)), who, what, subject, before, after)
