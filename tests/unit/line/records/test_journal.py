"""The journal: the next worker knows every verdict of a killed one, also those that its ledger had not written."""

import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

from tests.unit.line.records.test_ledger import hashes, rows
from tests.unit.made.verdicts import result

from cmfm_protocol.wire.verdict import Verdict
from cmfm_worker.line.records.journal import SLOT_BYTES, SLOTS, Journal, file_bytes
from cmfm_worker.line.records.ledger.items import row
from cmfm_worker.line.records.ledger.writer import Ledger
from cmfm_worker.line.records.stream_marks import HEAD_BYTES, MARK_BYTES, STREAMS, Mark

NOTES_AND_DIES = """
import os, signal, sys
from pathlib import Path
from cmfm_worker.line.records.journal import Journal
journal = Journal(Path(sys.argv[1]))
for seq in range(7):
    journal.note(["boot", seq])
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_rows_outlive_kill_9(tmp_path: Path) -> None:
    """Rows written before the kill are there after it, in order."""
    ended = subprocess.run([sys.executable, "-c", NOTES_AND_DIES, str(tmp_path / "j")], check=False)
    assert ended.returncode == -signal.SIGKILL
    journal = Journal(tmp_path / "j")
    assert journal.rows() == [("boot", seq) for seq in range(7)]
    journal.clear()
    assert journal.rows() == []
    journal.close()


def test_the_oldest_rows_make_room(tmp_path: Path) -> None:
    """The file keeps its size and holds the newest rows."""
    journal = Journal(tmp_path / "j")
    for seq in range(SLOTS + 3):
        journal.note([seq])
    assert journal.rows() == [(seq,) for seq in range(3, SLOTS + 3)]
    assert (tmp_path / "j").stat().st_size == file_bytes(SLOTS)
    journal.close()


def test_a_row_too_long_for_a_slot_harms_no_other(tmp_path: Path) -> None:
    """A row that does not fit its slot is skipped; every row in the full ring is read back unchanged."""
    journal = Journal(tmp_path / "j")
    for seq in range(SLOTS):
        journal.note([seq])
    journal.note([SLOTS, "x" * SLOT_BYTES])
    assert journal.rows() == [(seq,) for seq in range(SLOTS)]
    journal.close()


def test_a_torn_row_is_skipped(tmp_path: Path) -> None:
    """A row that was being written when the process was killed is skipped, the others are read."""
    journal = Journal(tmp_path / "j")
    for seq in range(3):
        journal.note([seq, "x" * 100])
    journal.close()
    data = bytearray((tmp_path / "j").read_bytes())
    data[HEAD_BYTES + SLOT_BYTES + 60] ^= 1
    (tmp_path / "j").write_bytes(data)
    journal = Journal(tmp_path / "j")
    assert [found[0] for found in journal.rows()] == [0, 2]
    journal.close()


def test_the_longest_row_of_the_wire_fits(tmp_path: Path) -> None:
    """No text of the wire is too long for a slot."""
    text = "ä" * 128  # 256 bytes
    longest = replace(result(1), part_id=text, stream_uuid=text, calib_id=text, recipe=text, detail=text)
    journal = Journal(tmp_path / "j")
    journal.note(row(replace(longest, model_sha="f" * 64), recipe_sha="c" * 64))
    assert len(journal.rows()) == 1
    journal.close()


def test_ledger_is_complete_after_a_kill(tmp_path: Path) -> None:
    """Verdicts given within the last flush interval are in the ledger after the next start, each once."""
    path = tmp_path / "ledger.sqlite"
    killed = Ledger(path, flush_ms=60_000)
    killed.begin("b")
    for number in range(1, 4):
        killed.note(result(number), recipe_sha="c" * 64)
    killed.note(result(4), recipe_sha="")  # could not be sent, so it became a FAULT
    killed.note(result(4, Verdict.FAULT), recipe_sha="")
    killed.append(result(1), frame_sha256="f" * 64, recipe_sha="c" * 64)  # nothing ends it: as after kill -9
    following = Ledger(path, flush_ms=10)
    assert [(found[0], found[2]) for found in rows(path)] == [
        (1, "PASS"),
        (2, "PASS"),
        (3, "PASS"),
        (4, "FAULT"),
    ]
    assert hashes(path)[1] == (None, "c" * 64)
    assert [*following.answered(result(4).done_ns, 1000)["a"]] == [0, 1, 2, 3]
    following.close()


def test_a_clean_end_leaves_nothing_to_add(tmp_path: Path) -> None:
    """Rows that retention has deleted do not come back from the journal."""
    path = tmp_path / "ledger.sqlite"
    ledger = Ledger(path, flush_ms=10)
    ledger.begin("b")
    ledger.note(result(1), recipe_sha="")
    ledger.close()
    Ledger(path, flush_ms=10).close()
    assert rows(path) == []


def test_marks_hold_the_newest_number_of_each_stream(tmp_path: Path) -> None:
    """Also after the number went down, and after a kill while a mark was being written."""
    journal = Journal(tmp_path / "j", 256)
    for seq in (5, 9, 7):  # two cameras in turn
        journal.marks.note("a", seq, seq)
        journal.marks.note("b", 1, 1)
    assert sorted(journal.marks.read()) == [Mark("a", 9, 7), Mark("b", 1, 1)]
    journal.close()
    data = bytearray((tmp_path / "j").read_bytes())
    data[MARK_BYTES + 18] ^= 1  # the newer mark of "a": its three went to the slots 1, 0 and 1
    (tmp_path / "j").write_bytes(data)
    journal = Journal(tmp_path / "j", 256)
    assert sorted(journal.marks.read()) == [Mark("a", 9, 9), Mark("b", 1, 1)]
    journal.clear()
    assert journal.marks.read() == []
    journal.close()


def test_marks_of_the_newest_streams_stay(tmp_path: Path) -> None:
    """The stream that has been silent longest makes room."""
    journal = Journal(tmp_path / "j", 256)
    for number in range(STREAMS):
        journal.marks.note(f"s{number}", number, 0)
    journal.marks.note("s0", 100, 0)
    journal.marks.note("new", 1, 0)
    found = {mark.stream_uuid: mark.newest_seq for mark in journal.marks.read()}
    assert len(found) == STREAMS
    assert (found["s0"], found["new"], "s1" in found) == (100, 1, False)
    journal.close()
