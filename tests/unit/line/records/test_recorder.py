"""The recorder: every verdict's row, with the hash of its frame, without the line waiting."""

from __future__ import annotations

import hashlib
import threading

import pytest
from tests.unit.made.verdicts import evidence, frame, result

from cmfm_protocol.wire.result import Result
from cmfm_protocol.wire.verdict import Verdict
from cmfm_worker.line.records.recorder import Evidence, Recorder


class Rows:
    """A ledger that remembers its rows; `append` blocks until `may_go_on` is set."""

    def __init__(self) -> None:
        self.rows: list[tuple[int, str | None, str]] = []
        self.may_go_on = threading.Event()
        self.may_go_on.set()

    def append(self, result: Result, *, frame_sha256: str | None = None, recipe_sha: str = "") -> None:
        self.may_go_on.wait(10)
        self.rows.append((result.result_id, frame_sha256, recipe_sha))


def test_every_verdict_becomes_a_row_in_order() -> None:
    """Rows come in the order of the verdicts; those with a frame have the SHA-256 of rgb and xyz as received."""
    rows = Rows()
    recorder = Recorder(ledger=rows, keep=None)
    for i in range(1, 20):
        recorder.record(evidence(i) if i % 2 else Evidence(result(i, Verdict.FAULT)))
    recorder.close()
    assert [row[0] for row in rows.rows] == list(range(1, 20))
    received = frame(1)
    expected = hashlib.sha256(received.rgb.tobytes() + received.xyz.tobytes()).hexdigest()
    assert rows.rows[0] == (1, expected, "c" * 64)
    assert rows.rows[1] == (2, None, "")


def test_only_parts_with_a_frame_are_offered_for_keeping() -> None:
    """A verdict without a frame is not offered to the archive."""
    offered: list[int] = []
    recorder = Recorder(ledger=None, keep=lambda part, _sha256: offered.append(part.result.result_id))
    recorder.record(evidence(1))
    recorder.record(Evidence(result(2, Verdict.FAULT)))
    recorder.record(evidence(3))
    recorder.close()
    assert offered == [1, 3]


def test_waiting_frames_are_bounded_and_no_row_is_lost(capsys: pytest.CaptureFixture[str]) -> None:
    """When frames pile up, rows are written without a hash, counted and logged; memory stays bounded."""
    rows = Rows()
    rows.may_go_on.clear()
    size = frame(1).rgb.nbytes + frame(1).xyz.nbytes
    recorder = Recorder(ledger=rows, keep=None, max_pending_bytes=3 * size)
    for i in range(1, 9):
        recorder.record(evidence(i))
    rows.may_go_on.set()
    recorder.close()
    assert [row[0] for row in rows.rows] == list(range(1, 9))
    unhashed = sum(row[1] is None for row in rows.rows)
    assert unhashed == recorder.frames_unhashed
    assert 4 <= unhashed <= 5  # one may be in hand beside the three
    assert "frame_not_hashed" in capsys.readouterr().out


def test_failure_is_reported() -> None:
    """A recorder that dies keeps its error for the service: a line must not go on without a record."""

    def broken(_part: Evidence, _sha256: str) -> None:
        raise ValueError("broken")

    previous, threading.excepthook = threading.excepthook, lambda _: None
    try:
        recorder = Recorder(ledger=None, keep=broken)
        recorder.record(evidence(1))
        recorder.close()
    finally:
        threading.excepthook = previous
    assert isinstance(recorder.failure, ValueError)
    assert not recorder.running
