"""The ledger: one durable row for every trigger (SQLite in WAL mode), written by its own thread.

The desk hands rows over and never waits for the disk. Rows are committed every `flush_ms`; a killed process
loses at most those of the last interval. A disk that fails or fills up is logged and counted, and the line
goes on: the verdicts are on the wire all the same.
"""

import queue
import sqlite3
import threading
import time
from pathlib import Path
from typing import Final

import structlog

from cmfm_protocol.result import Result
from cmfm_worker.errors import StartupError

MAX_PENDING: Final = 200_000
"""Rows waiting for the disk, about 100 MB: some hours of a fast line."""

MAX_COMMIT_ROWS: Final = 1000
"""Rows of one commit."""

COLUMNS: Final = {
    "boot_id": "TEXT NOT NULL",
    "result_id": "INTEGER NOT NULL",
    "stream_uuid": "TEXT NOT NULL",
    "seq": "INTEGER NOT NULL",
    "part_id": "TEXT NOT NULL",
    "verdict": "TEXT NOT NULL",
    "reason": "TEXT NOT NULL",
    "detail": "TEXT NOT NULL",
    "score": "REAL",
    "threshold": "REAL",
    "coverage": "REAL",
    "recipe": "TEXT NOT NULL",
    "model_sha": "TEXT NOT NULL",
    "calib_id": "TEXT NOT NULL",
    "trigger_ns": "INTEGER NOT NULL",
    "received_ns": "INTEGER",
    "done_ns": "INTEGER NOT NULL",
    "latency_us": "INTEGER NOT NULL",
    "deadline_met": "INTEGER NOT NULL",
    "simulated": "INTEGER NOT NULL",
}

CREATE: Final = (
    f"CREATE TABLE IF NOT EXISTS triggers ({', '.join(f'{n} {t}' for n, t in COLUMNS.items())}, "
    "PRIMARY KEY (boot_id, result_id)) WITHOUT ROWID"
)
CREATE_INDEX: Final = "CREATE INDEX IF NOT EXISTS by_stream ON triggers (stream_uuid, seq)"
INSERT: Final = f"INSERT INTO triggers VALUES ({', '.join('?' * len(COLUMNS))})"  # noqa: S608 (column names are ours)
LAST_SEQ: Final = "SELECT stream_uuid, MAX(seq) FROM triggers WHERE done_ns > ? GROUP BY stream_uuid"
RESUME_NS: Final = 24 * 3600 * 1_000_000_000
"""A stream silent for a day is not resumed."""


def row(result: Result) -> tuple[object, ...]:
    """A result as the values of one row, in the order of COLUMNS."""
    return tuple(getattr(result, name) for name in COLUMNS)


class Ledger:
    """Writer thread over one SQLite file."""

    def __init__(self, path: Path, *, flush_ms: float) -> None:
        self.rows_lost = 0
        self._path = path
        self._flush_s = flush_ms / 1e3
        self._rows: queue.Queue[tuple[object, ...] | None] = queue.Queue(MAX_PENDING)
        self._thread = threading.Thread(target=self._run, name="ledger", daemon=True)
        self._log = structlog.get_logger("ledger")
        self._create()
        self._thread.start()

    def append(self, result: Result) -> None:
        """Hand over a row; never blocks. A row that finds no room is counted as lost."""
        try:
            self._rows.put_nowait(row(result))
        except queue.Full:
            self.rows_lost += 1

    def close(self, *, timeout_s: float = 10.0) -> None:
        """Write what is pending and end the thread."""
        if self._thread.is_alive():
            self._rows.put(None)
            self._thread.join(timeout_s)

    def next_seqs(self, now_ns: int) -> dict[str, int]:
        """For each stream of the last day, the seq that was to come next when this ledger was last written."""
        with sqlite3.connect(self._path) as connection:
            rows = connection.execute(LAST_SEQ, (now_ns - RESUME_NS,)).fetchall()
        connection.close()
        return {stream: seq + 1 for stream, seq in rows}

    def _create(self) -> None:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            connection = sqlite3.connect(self._path)
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute(CREATE)
            connection.execute(CREATE_INDEX)
            connection.commit()
            connection.close()
        except (OSError, sqlite3.Error) as error:
            raise StartupError(f"ledger {self._path}: {error}") from error

    def _run(self) -> None:
        connection = sqlite3.connect(self._path)
        connection.execute("PRAGMA synchronous=NORMAL")
        ending = False
        while not ending:
            batch, ending = self._gather()
            if batch:
                self._write(connection, batch)
        connection.close()

    def _gather(self) -> tuple[list[tuple[object, ...]], bool]:
        """Rows of one flush interval; True when it is the last."""
        first = self._rows.get()
        if first is None:
            return [], True
        batch = [first]
        until_s = time.monotonic() + self._flush_s
        while len(batch) < MAX_COMMIT_ROWS:
            try:
                item = self._rows.get(timeout=max(until_s - time.monotonic(), 0))
            except queue.Empty:
                break
            if item is None:
                return batch, True
            batch.append(item)
        return batch, False

    def _write(self, connection: sqlite3.Connection, batch: list[tuple[object, ...]]) -> None:
        try:
            with connection:
                connection.executemany(INSERT, batch)
        except sqlite3.Error as error:
            self.rows_lost += len(batch)
            self._log.error("ledger_write_failed", rows=len(batch), error=str(error))
