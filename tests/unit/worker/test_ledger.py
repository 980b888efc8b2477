"""The ledger: one row a trigger on disk, none of them waiting for the line."""

import sqlite3
import time
from dataclasses import replace
from pathlib import Path

import pytest

from cmfm_protocol.result import Result
from cmfm_protocol.verdict import Reason, Verdict
from cmfm_worker.errors import StartupError
from cmfm_worker.ledger import Ledger

RESULT = Result(
    result_id=1,
    boot_id="b",
    stream_uuid="a",
    seq=0,
    part_id="p0",
    verdict=Verdict.PASS,
    reason=Reason.BELOW_THRESHOLD,
    detail="",
    score=0.5,
    threshold=1.0,
    recipe="r",
    model_sha="m",
    calib_id="",
    trigger_ns=1,
    received_ns=2,
    done_ns=3,
    latency_us=1,
    deadline_met=True,
    simulated=True,
    queue_free=1,
    drops_total=0,
    coverage=1.0,
    peak_px=None,
    peak_xyz_m=None,
    regions=(),
    map_ref="",
)


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
    """The next number of each recent stream is known; streams of long ago are forgotten."""
    path = tmp_path / "ledger.sqlite"
    ledger = Ledger(path, flush_ms=10)
    now_ns = 10 * 24 * 3600 * 10**9
    ledger.append(replace(RESULT, result_id=1, seq=41, done_ns=now_ns - 1))
    ledger.append(replace(RESULT, result_id=2, seq=40, done_ns=now_ns - 1))
    ledger.append(replace(RESULT, result_id=3, stream_uuid="old", seq=9, done_ns=1))
    ledger.close()
    assert Ledger(path, flush_ms=10).next_seqs(now_ns) == {"a": 42}


def test_a_row_that_cannot_be_written_is_counted(tmp_path: Path) -> None:
    """A failing disk is loud, and the next rows are tried again."""
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
