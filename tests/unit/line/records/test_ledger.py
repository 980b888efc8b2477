"""The ledger: one row a trigger on disk, and the line waits for none."""

import sqlite3
import time
from dataclasses import replace
from pathlib import Path

import pytest
from tests.unit.made.verdicts import BASE_NS, RESULT, result

from cmfm_protocol.wire.verdict import Verdict
from cmfm_records.ledger_schema import INSERT
from cmfm_worker.errors import StartupError
from cmfm_worker.line.records.ledger.items import row
from cmfm_worker.line.records.ledger.retention import Retention
from cmfm_worker.line.records.ledger.writer import Ledger


def rows(path: Path) -> list[tuple[object, ...]]:
    connection = sqlite3.connect(path)
    found = connection.execute(
        "SELECT result_id, seq, verdict, score FROM triggers ORDER BY result_id"
    ).fetchall()
    connection.close()
    return found


def test_every_result_is_a_row_after_close(tmp_path: Path) -> None:
    """Closing writes what is pending; nothing is dropped."""
    path = tmp_path / "ledger.sqlite"
    ledger = Ledger(path, flush_ms=50)
    for i in range(2500):
        ledger.append(replace(RESULT, result_id=i + 1, seq=i))
    ledger.close()
    found = rows(path)
    assert len(found) == 2500
    assert found[7] == (8, 7, "PASS", 0.5)
    assert ledger.rows_lost == 0


def test_rows_reach_the_disk_within_the_flush_interval(tmp_path: Path) -> None:
    """A killed process loses at most the last interval."""
    path = tmp_path / "ledger.sqlite"
    ledger = Ledger(path, flush_ms=50)
    ledger.append(RESULT)
    give_up = time.monotonic() + 10
    while not rows(path) and time.monotonic() < give_up:
        time.sleep(0.02)
    assert len(rows(path)) == 1
    ledger.close()


def test_a_restarted_worker_learns_where_each_stream_stood(tmp_path: Path) -> None:
    """The numbers that had their verdict are known for each recent stream, the newest for each of long ago."""
    path = tmp_path / "ledger.sqlite"
    ledger = Ledger(path, flush_ms=10)
    now_ns = 10 * 24 * 3600 * 10**9
    ledger.append(replace(RESULT, result_id=1, seq=41, done_ns=now_ns - 1))
    ledger.append(replace(RESULT, result_id=2, seq=40, done_ns=now_ns - 1))
    ledger.append(replace(RESULT, result_id=3, stream_uuid="old", seq=9, done_ns=1))
    ledger.close()
    following = Ledger(path, flush_ms=10)
    found = following.answered(now_ns, 1000)
    assert {stream: [*numbers] for stream, numbers in found.items()} == {"a": [40, 41]}
    assert following.past() == {"a": (41, now_ns - 1), "old": (9, 1)}
    following.close()


def test_a_row_that_cannot_be_written_is_counted(tmp_path: Path) -> None:
    """A row that the database refuses is counted, and the next rows are written."""
    path = tmp_path / "ledger.sqlite"
    ledger = Ledger(path, flush_ms=10)
    ledger.append(RESULT)
    time.sleep(0.3)
    ledger.append(RESULT)  # the same key again: the database refuses it
    time.sleep(0.3)
    ledger.append(replace(RESULT, result_id=2))
    ledger.close()
    assert ledger.rows_lost == 1
    assert len(rows(path)) == 2


def test_ledger_that_cannot_be_opened_stops_the_start(tmp_path: Path) -> None:
    """A line that could not record anything does not start."""
    (tmp_path / "folder").mkdir()
    with pytest.raises(StartupError, match="folder"):
        Ledger(tmp_path / "folder", flush_ms=10)


def test_row_says_which_frame_and_recipe(tmp_path: Path) -> None:
    """A row names its frame's bytes and its recipe by their hashes; without a frame it has NULL."""
    path = tmp_path / "ledger.sqlite"
    ledger = Ledger(path, flush_ms=10)
    ledger.append(result(1, Verdict.FAIL), frame_sha256="f" * 64, recipe_sha="c" * 64)
    ledger.append(result(2, Verdict.FAULT))
    ledger.close()
    assert hashes(path) == [("f" * 64, "c" * 64), (None, None)]


def test_start_after_a_kill_logs_what_may_be_missing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The next start logs the last row and the flush interval, once; a clean end logs nothing."""
    path = tmp_path / "ledger.sqlite"
    ledger = Ledger(path, flush_ms=50)
    ledger.begin("killed-boot")
    ledger.append(result(7, boot_id="killed-boot"))
    wait_for_rows(path, 1)  # and then nothing ends it: as after kill -9
    following = Ledger(path, flush_ms=10)
    said = capsys.readouterr().out
    for word in ("ledger_after_kill", "killed-boot", "2026-02-02T02:40:07.000Z", "50 ms"):
        assert word in said
    following.begin("clean-boot")
    following.close()
    Ledger(path, flush_ms=10).close()
    assert "ledger_after_kill" not in capsys.readouterr().out
    ledger.close()


def test_full_disk_costs_no_row(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Rows that the disk refuses are held, logged as an error, and written when it takes them again."""
    path = tmp_path / "ledger.sqlite"
    ledger = Ledger(path, flush_ms=10)
    with sqlite3.connect(path) as connection:  # stands for a disk that refuses
        connection.execute("ALTER TABLE triggers RENAME TO out_of_reach")
    for i in range(1, 6):
        ledger.append(result(i))
    give_up = time.monotonic() + 10
    said = ""
    while "ledger_write_failed" not in said and time.monotonic() < give_up:
        time.sleep(0.02)
        said += capsys.readouterr().out
    with connection:
        connection.execute("ALTER TABLE out_of_reach RENAME TO triggers")
    connection.close()
    wait_for_rows(path, 5)
    ledger.close()
    assert "ledger_write_failed" in said
    assert ledger.rows_lost == 0


def test_end_does_not_wait_for_a_full_disk(tmp_path: Path) -> None:
    """A worker that ends counts what it could not write."""
    path = tmp_path / "ledger.sqlite"
    ledger = Ledger(path, flush_ms=10)
    with sqlite3.connect(path) as connection:
        connection.execute("ALTER TABLE triggers RENAME TO out_of_reach")
    connection.close()
    for i in range(1, 6):
        ledger.append(result(i))
    started = time.monotonic()
    ledger.close()
    assert time.monotonic() - started < 5
    assert ledger.rows_lost == 5


def test_only_old_rows_are_deleted(tmp_path: Path) -> None:
    """Rows past their age are deleted when the worker starts, newer ones stay."""
    path = tmp_path / "ledger.sqlite"
    ledger = Ledger(path, flush_ms=10)
    now_ns = time.time_ns()
    for i in range(1, 11):
        ledger.append(result(i, done_ns=now_ns - (10 - i) * 86_400 * 10**9))
    ledger.close()
    following = Ledger(path, flush_ms=10, retention=Retention(keep_days=4.5))
    give_up = time.monotonic() + 10
    while len(rows(path)) > 5 and time.monotonic() < give_up:
        time.sleep(0.02)
    following.close()
    assert [row[0] for row in rows(path)] == [6, 7, 8, 9, 10]


def test_file_stays_within_its_size(tmp_path: Path) -> None:
    """Beyond max_mb the oldest rows go, and the file gives its space back."""
    path = tmp_path / "ledger.sqlite"
    ledger = Ledger(path, flush_ms=10)
    for i in range(1, 8001):
        ledger.append(result(i, detail="x" * 200))
    ledger.close()
    assert path.stat().st_size > 2e6
    following = Ledger(path, flush_ms=10, retention=Retention(max_mb=1.5))
    give_up = time.monotonic() + 10
    while len(rows(path)) == 8000 and time.monotonic() < give_up:
        time.sleep(0.05)
    following.close()
    left = [row[0] for row in rows(path)]
    assert left == list(range(8000 - len(left) + 1, 8001))
    assert 1000 < len(left) < 8000
    assert path.stat().st_size < 1.6e6


def test_rows_of_this_boot_are_never_too_old(tmp_path: Path) -> None:
    """A machine that starts with a clock of 1970, and is then set, does not delete what it has just written."""
    path = tmp_path / "ledger.sqlite"
    Ledger(path, flush_ms=10).close()
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute(INSERT, row(result(1, boot_id="now", done_ns=5)))
    retention = Retention(keep_days=1)
    assert retention.trim(connection, now_ns=BASE_NS, boot_id="now") == (0, 0)
    assert retention.trim(connection, now_ns=BASE_NS, boot_id="another") == (1, 0)
    connection.close()


def test_columns_are_those_that_scripts_read(tmp_path: Path) -> None:
    """Names and types of the columns, and which may be NULL; all but the two hashes are fields of the result."""
    path = tmp_path / "ledger.sqlite"
    Ledger(path, flush_ms=10).close()
    connection = sqlite3.connect(path)
    found = {row[1]: (row[2], bool(row[3])) for row in connection.execute("PRAGMA table_info(triggers)")}
    connection.close()
    texts = "boot_id stream_uuid part_id verdict reason detail recipe model_sha calib_id camera"
    integers = "result_id seq trigger_ns done_ns latency_us deadline_met simulated"
    nullable = {"received_ns": "INTEGER", "score": "REAL", "threshold": "REAL", "coverage": "REAL"}
    nullable |= {"recipe_sha": "TEXT", "frame_sha256": "TEXT"}
    assert found == (
        dict.fromkeys(texts.split(), ("TEXT", True))
        | dict.fromkeys(integers.split(), ("INTEGER", True))
        | {name: (kind, False) for name, kind in nullable.items()}
    )


@pytest.mark.parametrize(
    ("statement", "words"),
    [
        ("PRAGMA user_version = 99", "version 99, written by a newer cmfm; this one reads version 5"),
        ("PRAGMA user_version = 0", "version 1, older than any release; this cmfm reads version 5"),
        ("PRAGMA application_id = 7", "not a ledger: its application_id is 0x7"),
        ("ALTER TABLE triggers RENAME TO something", "no table `triggers`"),
        ("ALTER TABLE triggers DROP COLUMN score", "lacks score"),
    ],
)
def test_file_that_cannot_be_used_is_refused_untouched(tmp_path: Path, statement: str, words: str) -> None:
    """A newer or older ledger, or another program's file, stops the start with a message and is left unchanged."""
    path = tmp_path / "ledger.sqlite"
    Ledger(path, flush_ms=10).close()
    connection = sqlite3.connect(path)
    connection.execute(statement)
    connection.commit()
    connection.close()
    before = path.read_bytes()
    with pytest.raises(StartupError, match=words):
        Ledger(path, flush_ms=10)
    assert path.read_bytes() == before


def hashes(path: Path) -> list[tuple[object, ...]]:
    connection = sqlite3.connect(path)
    found = connection.execute("SELECT frame_sha256, recipe_sha FROM triggers ORDER BY result_id").fetchall()
    connection.close()
    return found


def wait_for_rows(path: Path, count: int) -> None:
    give_up = time.monotonic() + 10
    while time.monotonic() < give_up:
        try:
            if len(rows(path)) >= count:
                return
        except sqlite3.OperationalError:  # the table is out of reach
            pass
        time.sleep(0.02)
    raise AssertionError(f"no {count} rows in 10 s")
