"""A ledger whose disk refused rows: what the journal holds is added, the rest is counted and never answered again."""

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from structlog.testing import capture_logs
from tests.unit.line.records.test_ledger import rows
from tests.unit.made.verdicts import result

from cmfm_worker.line.intake.sequence import SequenceTracker
from cmfm_worker.line.intake.used_numbers import Fingerprint, PastNumbers, Sighting
from cmfm_worker.line.messages import TriggerKey
from cmfm_worker.line.records.journal import file_bytes
from cmfm_worker.line.records.ledger.items import insert_items, row
from cmfm_worker.line.records.ledger.writer import Ledger

JOURNAL = 256
WRITTEN = 10
GIVEN = 400
NOW_NS = result(1).done_ns


def killed_on_a_full_disk(path: Path) -> None:
    """Leave the files of a worker that gave 400 verdicts, of which the disk took 10 and the journal holds 256."""
    ledger = Ledger(path, flush_ms=60_000, journal_rows=JOURNAL)
    ledger.begin("b")
    for number in range(1, GIVEN + 1):
        ledger.note(replace(result(number), done_ns=NOW_NS), recipe_sha="")
    with ledger._connected() as connection:
        insert_items(
            connection, [row(replace(result(number), done_ns=NOW_NS)) for number in range(1, WRITTEN + 1)]
        )


def test_log_says_how_many_rows_are_missing(tmp_path: Path) -> None:
    """The start after the kill adds what the journal holds and counts what is in neither."""
    path = tmp_path / "ledger.sqlite"
    killed_on_a_full_disk(path)
    with capture_logs() as lines:
        following = Ledger(path, flush_ms=10, journal_rows=JOURNAL)
    (line,) = (line for line in lines if line["event"] == "ledger_after_kill")
    missing = GIVEN - WRITTEN - JOURNAL
    assert (line["rows_missing"], line["from_journal"], line["log_level"]) == (missing, JOURNAL, "error")
    assert f"{missing} verdicts" in line["detail"]
    assert len(rows(path)) == WRITTEN + JOURNAL
    following.close()


def following_tracker(path: Path) -> SequenceTracker:
    """The rules as the next worker begins with them."""
    ledger = Ledger(path, flush_ms=10, journal_rows=JOURNAL)
    resume, past = ledger.answered(NOW_NS, 1000), ledger.past()
    ledger.close()
    known = {stream: PastNumbers.up_to(newest, at_ns) for stream, (newest, at_ns) in past.items()}
    return SequenceTracker(max_gap=1000, window_ns=100, resume=resume, past=known)


def test_triggers_whose_verdict_is_not_known_are_not_answered_again(tmp_path: Path) -> None:
    """Neither at once nor when they are sent again, nor after a further restart; later ones are."""
    path = tmp_path / "ledger.sqlite"
    killed_on_a_full_disk(path)
    for _ in range(2):
        tracker = following_tracker(path)
        assert tracker.expire(10**12) == []
        for seq in (WRITTEN - 1, WRITTEN, 50, GIVEN - 1):
            sighting = tracker.frame("c", TriggerKey("a", seq), Fingerprint(1, "p"), 10**12)
            assert sighting is not Sighting.NEW
        assert tracker.frame("c", TriggerKey("a", GIVEN), Fingerprint(2, "p"), 10**12) is Sighting.NEW
        assert tracker.expire(10**15) == []


def test_stream_that_is_known_from_missing_rows_alone_is_not_answered_again(tmp_path: Path) -> None:
    """Another stream has pushed its last row out of the journal before the kill."""
    path = tmp_path / "ledger.sqlite"
    ledger = Ledger(path, flush_ms=60_000, journal_rows=JOURNAL)
    ledger.begin("b")
    for number in range(1, GIVEN + 1):
        stream = "gone" if number <= WRITTEN else "a"
        ledger.note(replace(result(number), stream_uuid=stream, done_ns=NOW_NS), recipe_sha="")
    for _ in range(2):
        tracker = following_tracker(path)
        for seq in range(WRITTEN):
            assert tracker.frame("c", TriggerKey("gone", seq), Fingerprint(1, "p"), 1) is not Sighting.NEW
        assert tracker.frame("c", TriggerKey("gone", WRITTEN), Fingerprint(2, "p"), 1) is Sighting.NEW
        assert tracker.expire(10**15) == []


@pytest.mark.parametrize("end", ["clean", "killed"])
def test_rows_that_are_lost_while_the_worker_runs_leave_their_streams_known(tmp_path: Path, end: str) -> None:
    """A row that the database refuses is lost: its number gets no second verdict, however the worker ends."""
    path = tmp_path / "ledger.sqlite"
    ledger = Ledger(path, flush_ms=10, journal_rows=JOURNAL)
    ledger.begin("b")
    refused = replace(result(1), stream_uuid="gone", seq=7)
    ledger.append(result(1))
    ledger.note(refused, recipe_sha="")
    ledger.append(refused)  # the id of a row that is there
    wait_until(lambda: ledger.rows_lost == 1)
    if end == "clean":
        ledger.close()
    else:
        wait_until(lambda: "gone" in ledger.past())
    assert (
        following_tracker(path).frame("c", TriggerKey("gone", 7), Fingerprint(1, "p"), 1) is not Sighting.NEW
    )


def wait_until(holds: Callable[[], bool]) -> None:
    give_up_s = time.monotonic() + 10
    while not holds():
        assert time.monotonic() < give_up_s
        time.sleep(0.01)


def test_stop_on_a_full_disk_loses_nothing_that_the_journal_holds(tmp_path: Path) -> None:
    """SIGTERM while the disk refuses rows: the next start adds them."""
    path = tmp_path / "ledger.sqlite"
    ledger = Ledger(path, flush_ms=10, journal_rows=JOURNAL)
    ledger.begin("b")
    with ledger._connected() as connection:  # refuses the writer's rows, as a full disk does
        connection.execute("ALTER TABLE triggers RENAME TO away")
    for number in range(1, 6):
        ledger.note(result(number), recipe_sha="")
        ledger.append(result(number))
    ledger.close()
    assert ledger.rows_lost == 5
    with ledger._connected() as connection:
        connection.execute("ALTER TABLE away RENAME TO triggers")
    Ledger(path, flush_ms=10, journal_rows=JOURNAL).close()
    assert [found[0] for found in rows(path)] == [1, 2, 3, 4, 5]


def test_other_capacity_keeps_the_rows_of_a_killed_worker(tmp_path: Path) -> None:
    """The setting changes the journal's size only after its rows are in the ledger."""
    path = tmp_path / "ledger.sqlite"
    ledger = Ledger(path, flush_ms=60_000, journal_rows=JOURNAL)
    ledger.begin("b")
    for number in range(1, 6):
        ledger.note(result(number), recipe_sha="")
    Ledger(path, flush_ms=10, journal_rows=2 * JOURNAL).close()
    assert [found[0] for found in rows(path)] == [1, 2, 3, 4, 5]
    assert path.with_name("ledger.sqlite.journal").stat().st_size == file_bytes(2 * JOURNAL)
