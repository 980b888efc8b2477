"""Writer of the ledger: one durable row for every trigger (SQLite in WAL mode), by a thread of its own.

Rows go through a queue, and no caller waits for the disk. They are committed and synced every `flush_ms`: a power cut
loses at most those of the last interval, and the next start logs after which row. Rows that a killed process had not
committed are taken from the journal, without the hash of their frame. While the disk refuses rows (it is full) they
are held and tried again; those that find no more room in the queue are counted.
"""

import itertools
import queue
import sqlite3
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Final

import structlog

from cmfm_protocol.wire.frame import UNATTRIBUTED_STREAM
from cmfm_protocol.wire.record_requests import AuditRequest
from cmfm_protocol.wire.result import Result
from cmfm_records.ledger_schema import SchemaError, prepare_file
from cmfm_worker.errors import StartupError
from cmfm_worker.line.records.journal import SLOTS, Journal
from cmfm_worker.line.records.ledger.items import AuditRow, Done, Item, audit_rows, insert_items, row
from cmfm_worker.line.records.ledger.resume import answered_of, complete_killed, note_lost, past_of
from cmfm_worker.line.records.ledger.retention import Retention

MAX_PENDING: Final = 200_000
"""Rows waiting for the disk, about 150 MB: some hours of a fast line."""

MAX_COMMIT_ROWS: Final = 1000
"""Rows of one commit."""

RETRY_S: Final = 1.0
"""Pause before rows that the disk refused are tried again."""

LOG_EVERY: Final = 60
"""Attempts between two log lines about a disk that refuses."""

TRIM_S: Final = 60.0
"""Time between two looks at age and size."""

JOURNAL_SUFFIX: Final = ".journal"
"""Of the journal's file, after the ledger's name."""


class Ledger:
    """Writer thread over one SQLite file.

    Raises StartupError if the file cannot be written or is not a ledger of this version.
    """

    def __init__(
        self,
        path: Path,
        *,
        flush_ms: float,
        retention: Retention | None = None,
        journal_rows: int = SLOTS,
    ) -> None:
        self.rows_lost = 0
        self._lost_noted = 0  # of them in the table of boots
        self.failure: BaseException | None = None
        self._path = path
        self._flush_s = flush_ms / 1e3
        self._boot_id = ""
        self._retention = retention or Retention()
        self._rows: queue.Queue[Item | None] = queue.Queue(MAX_PENDING)
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="ledger", daemon=True)
        self._log = structlog.get_logger("ledger")
        self._gave_up = False
        self._journal = self._create(journal_rows)
        self._thread.start()

    def begin(self, boot_id: str) -> None:
        """Enter this boot as running, so that the next start can tell that it was killed.

        Raises StartupError if that cannot be written.
        """
        self._boot_id = boot_id
        try:
            with self._connected() as connection:
                values = (boot_id, time.time_ns(), self._flush_s * 1e3, "running", 0)
                connection.execute("INSERT INTO boots VALUES (?, ?, ?, ?, ?)", values)
        except sqlite3.Error as error:
            raise StartupError(f"ledger {self._path}: {error}") from error

    def note(self, result: Result, *, recipe_sha: str) -> None:
        """Write a verdict into the journal before it is sent; by the thread that sends it. Waits for no disk."""
        if result.stream_uuid != UNATTRIBUTED_STREAM:
            self._journal.marks.note(result.stream_uuid, result.seq, result.done_ns)
        self._journal.note(row(result, recipe_sha=recipe_sha))

    def append(self, result: Result, *, frame_sha256: str | None = None, recipe_sha: str = "") -> None:
        """Queue a row; never blocks. A row that finds no room is counted as lost."""
        try:
            self._rows.put_nowait(row(result, frame_sha256=frame_sha256, recipe_sha=recipe_sha))
        except queue.Full:
            self.rows_lost += 1

    def audit(self, entry: AuditRequest, done: Done) -> None:
        """Queue an audit entry; never blocks. `done` hears of it, from the ledger's thread or at once."""
        try:
            self._rows.put_nowait(AuditRow.of(entry, self._boot_id, done))
        except queue.Full:
            done("the disk of the ledger does not keep up")

    def close(self, *, timeout_s: float = 10.0) -> None:
        """Write what is pending, record that this boot ended cleanly, and end the thread."""
        self._closing.set()  # from now on rows that the disk refuses are given up
        if self._thread.is_alive():
            self._rows.put(None)
            self._thread.join(timeout_s)
        self._journal.close()

    @property
    def waiting(self) -> int:
        """Rows not yet handed to the disk."""
        return self._rows.qsize()

    @property
    def running(self) -> bool:
        """Whether rows are being written."""
        return self._thread.is_alive()

    def answered(self, now_ns: int, newest: int) -> dict[str, dict[int, int]]:
        """Return the `newest` numbers of each stream that have had their verdict, sorted, and when (`resume`)."""
        with self._connected() as connection:
            return answered_of(connection, now_ns, newest)

    def past(self) -> dict[str, tuple[int, int]]:
        """Return every stream with its newest number that may have had its verdict, and when (`resume`)."""
        with self._connected() as connection:
            return past_of(connection)

    @contextmanager
    def _connected(self) -> Iterator[sqlite3.Connection]:
        connection = sqlite3.connect(self._path, isolation_level=None)
        try:
            # A commit is on the disk when it is done: at most one sync a flush interval, off the hot path.
            connection.execute("PRAGMA synchronous = FULL")
            yield connection
        finally:
            connection.close()

    def _create(self, journal_rows: int) -> Journal:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with self._connected() as connection:
                prepare_file(connection)
                journal = Journal(self._path.with_name(self._path.name + JOURNAL_SUFFIX), journal_rows)
                for killed in complete_killed(connection, journal):
                    log = self._log.error if killed.rows_missing else self._log.warning
                    log("ledger_after_kill", **asdict(killed), detail=str(killed))
                journal.resize(journal_rows)
                return journal
        except SchemaError as error:
            raise StartupError(f"ledger {self._path} {error}; set another [ledger] path") from error
        except (OSError, sqlite3.Error) as error:
            raise StartupError(f"ledger {self._path}: {error}") from error

    def _end_boot(self, connection: sqlite3.Connection) -> None:
        try:
            self._note_lost(connection)
            connection.execute("UPDATE boots SET ending = 'clean' WHERE boot_id = ?", (self._boot_id,))
        except sqlite3.Error as error:
            self._log.error("ledger_end_not_noted", error=str(error))

    def _note_lost(self, connection: sqlite3.Connection) -> None:
        """Record rows that were lost since the last call."""
        lost = self.rows_lost - self._lost_noted
        note_lost(connection, self._journal, self._boot_id, lost)
        self._lost_noted += lost

    def _run(self) -> None:
        try:
            with self._connected() as connection:
                self._serve(connection)
                if not self._gave_up:  # else the next start adds what the journal holds, as after a kill
                    self._end_boot(connection)
        except BaseException as error:  # the service ends: a line must not go on without its ledger
            self.failure = error
            raise

    def _serve(self, connection: sqlite3.Connection) -> None:
        next_trim_s, ending = time.monotonic(), False
        while not ending:
            batch, ending = self._gather(next_trim_s)
            if batch:
                self._write(connection, batch)
            if time.monotonic() >= next_trim_s and not ending:
                done = self._trim(connection)
                next_trim_s = time.monotonic() + (TRIM_S if done else 0)

    def _gather(self, until_s: float) -> tuple[list[Item], bool]:
        """The rows of one flush interval, none if none came before `until_s`; True with the last rows."""
        batch: list[Item] = []
        while len(batch) < MAX_COMMIT_ROWS:
            try:
                item = self._rows.get(timeout=max(until_s - time.monotonic(), 0))
            except queue.Empty:
                break
            if item is None:
                return batch, True
            if not batch:
                until_s = time.monotonic() + self._flush_s
            batch.append(item)
        return batch, False

    def _write(self, connection: sqlite3.Connection, batch: Sequence[Item]) -> None:
        """Commit rows; while the disk refuses, hold them (and those behind them) and try again."""
        for attempt in itertools.count():
            try:
                self.rows_lost += insert_items(connection, batch)
            except sqlite3.Error as error:
                if attempt % LOG_EVERY == 0:
                    waiting = len(batch) + self.waiting
                    self._log.error("ledger_write_failed", rows=waiting, error=str(error), retry_s=RETRY_S)
                if self._closing.wait(RETRY_S):
                    self._give_up(batch, error)
                    return
            else:
                for entry in audit_rows(batch):
                    entry.done(None)
                with suppress(sqlite3.Error):  # else with the next rows
                    self._note_lost(connection)
                if attempt:
                    self._log.info("ledger_writes_again", rows_lost=self.rows_lost)
                return

    def _give_up(self, batch: Sequence[Item], error: sqlite3.Error) -> None:
        entries = audit_rows(batch)
        lost = len(batch) - len(entries)
        self.rows_lost += lost
        self._gave_up = True
        for entry in entries:
            entry.done(f"the ledger cannot be written ({error})")
        self._log.error("ledger_rows_lost", rows=lost, error=str(error))

    def _trim(self, connection: sqlite3.Connection) -> bool:
        """Delete one chunk of rows; True when there is nothing left to delete."""
        try:
            old, many = self._retention.trim(connection, now_ns=time.time_ns(), boot_id=self._boot_id)
        except sqlite3.Error as error:
            self._log.error("ledger_retention_failed", error=str(error))
            return True
        if old or many:
            self._log.info("ledger_trimmed", rows_too_old=old, rows_too_many=many)
        return not (old or many)
