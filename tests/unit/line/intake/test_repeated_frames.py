"""Frames with the bytes of the frame before them: a frozen frame grabber passes no part."""

from dataclasses import replace
from typing import Any

import pytest
from tests.unit.line.intake.test_admission import HEADER, Intake, message
from tests.unit.made.book import new_book, sent
from tests.unit.made.verdicts import PASS

from cmfm_protocol.wire.verdict import Reason, Verdict
from cmfm_worker.line.messages import Closed, Opened, TriggerKey
from cmfm_worker.line.verdicts.actions import Now


def frame(seq: int, picture: int, stream: str = "cam", **options: Any) -> list[bytes | memoryview]:
    header = replace(
        HEADER, stream_uuid=stream, seq=seq, part_id=f"part{seq}", trigger_ns=HEADER.trigger_ns + seq
    )
    return message(header, picture=picture, **options)


@pytest.mark.parametrize("checksums", [True, False])
def test_frame_with_the_bytes_of_the_one_before_is_a_fault(checksums: bool) -> None:
    """It has a new number and a new part; its pictures are those of another part, which was inspected."""
    intake = Intake()
    for seq, picture in enumerate([7, 7, 7, 8]):
        intake.send(frame(seq, picture, checksums=checksums))
    assert intake.faults == {TriggerKey("cam", seq): Reason.REPEATED_FRAME for seq in (1, 2)}
    assert intake.noticed == ["repeated_frame"] * 2
    assert intake.ring.waiting == 2


def test_sealed_and_unsealed_frames_are_compared() -> None:
    """Whether the camera or the worker computed the checksums makes no difference."""
    intake = Intake()
    intake.send(frame(0, 7))
    intake.send(frame(1, 7, checksums=False))
    assert intake.faults == {TriggerKey("cam", 1): Reason.REPEATED_FRAME}


def test_each_stream_is_compared_with_itself() -> None:
    """Two cameras whose frames arrive in turn: the frozen one is found, the other inspected."""
    intake = Intake(slots=10)
    for seq in range(3):
        intake.send(frame(seq, 7, "frozen"), "tcp://frozen:1")
        intake.send(frame(seq, seq, "good"), "tcp://good:1")
    assert intake.faults == {TriggerKey("frozen", seq): Reason.REPEATED_FRAME for seq in (1, 2)}


def test_frame_sent_again_is_a_duplicate() -> None:
    """The same number twice is one part, whatever its bytes."""
    intake = Intake()
    for _ in range(2):
        intake.send(frame(0, 7))
    assert (intake.faults, intake.noticed) == ({}, ["duplicate"])


def test_warning_is_in_the_detail_of_the_result() -> None:
    """With `repeated = "warn"` the part is inspected, and its result says which frame it repeats."""
    intake, book = Intake(repeated="warn"), new_book()
    for seq in range(2):
        intake.send(frame(seq, 7))
    now = Now(0, HEADER.trigger_ns, 3)
    for event in intake.events:
        book.handle(event, now)
    results = [sent(book.handle(Closed(TriggerKey("cam", seq), PASS), now))[0] for seq in range(2)]
    assert [result.verdict for result in results] == [Verdict.PASS] * 2
    assert [result.detail for result in results] == ["", "the same bytes as seq 0"]
    assert intake.noticed == ["repeated_frame"]
    assert len([event for event in intake.events if isinstance(event, Opened)]) == 2
