"""A ledger whose disk refused rows: what the journal holds is added, the rest is counted and never answered again."""

from dataclasses import replace
from pathlib import Path

from structlog.testing import capture_logs
from tests.unit.line.records.test_ledger import rows
from tests.unit.made.verdicts import result

from cmfm_worker.line.intake.sequence import SequenceTracker
from cmfm_worker.line.intake.stream import Fingerprint, Sighting
from cmfm_worker.line.messages import TriggerKey
from cmfm_worker.line.records.journal import SLOT_BYTES
from cmfm_worker.line.records.ledger.writer import Ledger, row

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
        ledger._insert(
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


def test_triggers_whose_verdict_is_not_known_are_not_answered_again(tmp_path: Path) -> None:
    """Neither at once nor by the next frame, nor after a further restart."""
    path = tmp_path / "ledger.sqlite"
    killed_on_a_full_disk(path)
    for _ in range(2):
        following = Ledger(path, flush_ms=10, journal_rows=JOURNAL)
        resume, incomplete = following.answered(NOW_NS, 1000), following.incomplete(NOW_NS)
        following.close()
        assert incomplete == {"a"}
        tracker = SequenceTracker(max_gap=1000, window_ns=100, resume=resume, incomplete=incomplete)
        assert tracker.expire(10**12) == []
        newest = max(resume["a"])
        sighting = tracker.frame("c", TriggerKey("a", newest + 3), Fingerprint(1, "p"), 10**12)
        assert sighting is Sighting.NEW
        assert tracker.expire(10**15) == []
        assert tracker.frame("c", TriggerKey("a", 50), Fingerprint(1, "p"), 10**15) is not Sighting.NEW
        tracker.frame("c", TriggerKey("a", newest + 5), Fingerprint(2, "p"), 10**15)
        tracker.frame("c", TriggerKey("a", newest + 6), Fingerprint(3, "p"), 10**15)
        assert [key.seq for key, _ in tracker.expire(10**16)] == [newest + 4]  # lost after the restart


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
    assert path.with_name("ledger.sqlite.journal").stat().st_size == 2 * JOURNAL * SLOT_BYTES
