"""The audit table: entries that are on the disk when acknowledged, once each, and ledgers from before it."""

from __future__ import annotations

import sqlite3
import threading
import time
from dataclasses import replace
from pathlib import Path

from tests.unit.made.verdicts import BASE_NS, result

from cmfm_protocol.wire.record_requests import AuditRequest
from cmfm_records.audit import AuditEntry
from cmfm_records.ledger import Question, open_ledger
from cmfm_worker.line.records.ledger.retention import Retention
from cmfm_worker.line.records.ledger.writer import Ledger

LIMIT_S = 30
ENTRY = AuditRequest("1", "e1", BASE_NS, "ann", "recipe.threshold", "cap", "0.5", "0.75")


def write(ledger: Ledger, entry: AuditRequest) -> str | None:
    """Write an entry and wait for its acknowledgement; returns the error."""
    heard: list[str | None] = []
    told = threading.Event()

    def done(error: str | None) -> None:
        heard.append(error)
        told.set()

    ledger.audit(entry, done)
    assert told.wait(LIMIT_S)
    return heard[0]


def entries(
    path: Path, since_ns: int | None = None, until_ns: int | None = None, limit: int | None = None
) -> list[AuditEntry]:
    with open_ledger(path) as reader:
        return list(reader.audit(since_ns, until_ns, limit))


def as_version_4(path: Path) -> None:
    """Take the audit table from a ledger, as the version before left it."""
    with sqlite3.connect(path) as connection:
        connection.execute("DROP TABLE audit")
        connection.execute("PRAGMA user_version = 4")
    connection.close()


def test_acknowledged_entry_is_on_the_disk(tmp_path: Path) -> None:
    """Another process reads it as soon as it is acknowledged, with the worker's boot and time."""
    path = tmp_path / "ledger.sqlite"
    ledger = Ledger(path, flush_ms=10)
    ledger.begin("boot")
    before_ns = time.time_ns()
    assert write(ledger, ENTRY) is None
    (entry,) = entries(path)
    ledger.close()
    assert (entry.who, entry.what, entry.subject, entry.before, entry.after) == (
        "ann",
        "recipe.threshold",
        "cap",
        "0.5",
        "0.75",
    )
    assert (entry.at_utc, entry.boot_id) == ("2026-02-02T02:40:00.000Z", "boot")
    assert entry.written_ns >= before_ns


def test_entry_sent_again_is_there_once(tmp_path: Path) -> None:
    """Also after a restart, and the first content stays."""
    path = tmp_path / "ledger.sqlite"
    for _ in range(2):
        ledger = Ledger(path, flush_ms=10)
        assert write(ledger, ENTRY) is None
        assert write(ledger, replace(ENTRY, after="9")) is None
        ledger.close()
    assert [entry.after for entry in entries(path)] == ["0.75"]


def test_entries_are_selected_by_time_and_number(tmp_path: Path) -> None:
    """The newest are given, oldest first."""
    path = tmp_path / "ledger.sqlite"
    ledger = Ledger(path, flush_ms=10)
    for number in (3, 1, 2, 4):
        write(ledger, replace(ENTRY, entry_id=f"e{number}", at_ns=number))
    ledger.close()
    assert [entry.at_ns for entry in entries(path)] == [1, 2, 3, 4]
    assert [entry.at_ns for entry in entries(path, limit=2)] == [3, 4]
    assert [entry.at_ns for entry in entries(path, since_ns=2, until_ns=4)] == [2, 3]


def test_ledger_of_version_4_is_read_and_gets_the_table(tmp_path: Path) -> None:
    """It reads as one without entries; the next worker adds the table and keeps the rows."""
    path = tmp_path / "ledger.sqlite"
    ledger = Ledger(path, flush_ms=10)
    ledger.append(result(1))
    ledger.close()
    as_version_4(path)
    assert entries(path) == []
    with open_ledger(path) as reader:
        assert [row["result_id"] for row in reader.rows(Question())] == [1]
    ledger = Ledger(path, flush_ms=10)
    assert write(ledger, ENTRY) is None
    ledger.close()
    with open_ledger(path) as reader:
        assert [row["result_id"] for row in reader.rows(Question())] == [1]
        assert len(list(reader.audit())) == 1


def test_entry_waits_for_a_disk_that_refuses(tmp_path: Path) -> None:
    """It is not acknowledged while the disk refuses, is not counted as a lost verdict, and is written afterwards."""
    path = tmp_path / "ledger.sqlite"
    ledger = Ledger(path, flush_ms=10)
    with sqlite3.connect(path) as connection:  # stands for a disk that refuses
        connection.execute("ALTER TABLE audit RENAME TO out_of_reach")
    told: list[str | None] = []
    ledger.audit(ENTRY, told.append)
    give_up = time.monotonic() + LIMIT_S
    while ledger.waiting and time.monotonic() < give_up:
        time.sleep(0.01)
    time.sleep(0.1)
    assert told == []
    with connection:
        connection.execute("ALTER TABLE out_of_reach RENAME TO audit")
    connection.close()
    while not told and time.monotonic() < give_up:
        time.sleep(0.01)
    ledger.close()
    assert told == [None]
    assert ledger.rows_lost == 0
    assert len(entries(path)) == 1


def test_entry_that_is_given_up_says_so(tmp_path: Path) -> None:
    """A worker that ends while the disk refuses tells whoever waits, and counts no verdict as lost."""
    path = tmp_path / "ledger.sqlite"
    ledger = Ledger(path, flush_ms=10)
    with sqlite3.connect(path) as connection:
        connection.execute("DROP TABLE audit")
    connection.close()
    told: list[str | None] = []
    ledger.audit(ENTRY, told.append)
    ledger.close()
    assert len(told) == 1
    assert "cannot be written" in str(told[0])
    assert ledger.rows_lost == 0


def test_entries_are_as_old_as_verdicts_may_be(tmp_path: Path) -> None:
    """Old entries go after `keep_days`, not those of this boot; for size only when no verdict is left."""
    path = tmp_path / "ledger.sqlite"
    ledger = Ledger(path, flush_ms=10)
    ledger.begin("b")
    for number in (1, 2):
        write(ledger, replace(ENTRY, entry_id=f"e{number}", at_ns=number))
    ledger.append(result(1))
    ledger.close()
    connection = sqlite3.connect(path, isolation_level=None)
    now_ns = 10 * 24 * 3600 * 10**9
    assert Retention(keep_days=1).trim(connection, now_ns=now_ns, boot_id="b") == (0, 0)
    assert Retention(max_mb=0.000001).trim(connection, now_ns=now_ns, boot_id="b") == (0, 1)
    assert len(entries(path)) == 2
    assert Retention(keep_days=1).trim(connection, now_ns=now_ns, boot_id="c") == (2, 0)
    connection.close()
    assert entries(path) == []
