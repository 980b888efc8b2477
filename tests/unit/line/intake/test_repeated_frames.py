"""Frames with the bytes of others: a frozen frame grabber passes no part."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from tests.unit.line.intake.test_admission import FRAME, HEADER, Intake, message
from tests.unit.made.book import new_book, sent
from tests.unit.made.verdicts import PASS

from cmfm_protocol.wire.frame import encode_frame
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


def test_each_camera_is_compared_with_itself() -> None:
    """Two cameras whose frames arrive in turn: the frozen one is found, the other inspected."""
    intake = Intake(slots=10)
    for seq in range(3):
        intake.send(frame(seq, 7, "frozen"), "tcp://left:1")
        intake.send(frame(seq, seq, "good"), "tcp://right:1")
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


def sensed(seq: int, rgb: int, xyz: int, *, part: str = "", stream: str = "cam", **header: Any) -> list[Any]:
    """A frame of arrays with noise, numbered: no two numbers have a pixel in common, and none is uniform."""
    told = replace(
        HEADER,
        stream_uuid=stream,
        seq=seq,
        part_id=part or f"{stream}{seq}",
        trigger_ns=HEADER.trigger_ns + seq,
        **header,
    )
    colours = np.random.default_rng(rgb).integers(0, 256, (20, 20, 3), np.uint8)
    points = np.random.default_rng(xyz).uniform(0.4, 0.6, (20, 20, 3)).astype(np.float32)
    return encode_frame(FRAME, told, colours, points)


def repeats(intake: Intake) -> Mapping[tuple[str, int], str]:
    """The details of the repeated frames, by their stream and number."""
    opened = [event for event in intake.events if isinstance(event, Opened) and event.decision is not None]
    assert {event.decision.reason for event in opened if event.decision} <= {Reason.REPEATED_FRAME}
    return {event.trigger.key: event.decision.detail for event in opened if event.decision}


def test_buffers_in_turn_are_found() -> None:
    """A grabber that gives its four old buffers in turn, and one that gives an old one only now and then."""
    intake = Intake(slots=100)
    for seq in range(4):
        intake.send(sensed(seq, seq, 100 + seq))
    for seq in range(4, 12):
        intake.send(sensed(seq, seq % 4, 100 + seq % 4))
    assert repeats(intake) == {("cam", seq): f"the same bytes as seq {seq - 4}" for seq in range(4, 12)}


@pytest.mark.parametrize("frozen", ["rgb", "xyz"])
@pytest.mark.parametrize("buffers", [1, 3])
def test_frozen_half_of_the_sensor_is_found(frozen: str, buffers: int) -> None:
    """Colours stand still and points live, or the reverse: the part that is shown is another one."""
    intake = Intake(slots=100)
    for seq in range(3 + buffers):
        old, new = seq % buffers, seq
        intake.send(sensed(seq, old, 100 + new) if frozen == "rgb" else sensed(seq, new, 100 + old))
    found = repeats(intake)
    assert set(found) == {("cam", seq) for seq in range(buffers, 3 + buffers)}
    assert set(found.values()) <= {f"the same {frozen} as seq {seq}" for seq in range(3)}


@pytest.mark.parametrize("fill", [0.0, np.nan])
def test_uniform_arrays_are_not_compared_alone(fill: float) -> None:
    """Nothing measured, or no light: that has reasons of its own."""
    intake = Intake(slots=10)
    for seq in range(3):
        told = replace(HEADER, seq=seq, part_id=f"p{seq}", trigger_ns=HEADER.trigger_ns + seq)
        rgb = np.full((20, 20, 3), seq, np.uint8)
        intake.send(encode_frame(FRAME, told, rgb, np.full((20, 20, 3), fill, np.float32)))
    assert intake.faults == {}


def test_old_recording_with_new_numbers_is_found() -> None:
    """The frames of before again, under another stream, as after a reboot."""
    intake = Intake(slots=200)
    for seq in range(50):
        intake.send(sensed(seq, seq, 100 + seq))
    for seq in range(50):
        intake.send(sensed(seq, seq, 100 + seq, stream="again"))
    assert len(repeats(intake)) == 50
    assert repeats(intake)[TriggerKey("again", 7)] == "the same bytes as seq 7 of stream cam"


def test_memory_is_as_long_as_the_setting_says() -> None:
    """With `repeated_frames = 3` the fourth frame back is not remembered, but its arrays are."""
    intake = Intake(slots=200, repeated_frames=3)
    for seq in range(20):
        intake.send(sensed(seq, seq, 100 + seq))
    intake.send(sensed(20, 17, 117))
    intake.send(sensed(21, 0, 100))
    assert set(repeats(intake)) == {("cam", 20)}


def test_channels_that_are_mixed_up_are_found() -> None:
    """Two cameras with one picture show two parts; under one part id it is one part, taken by both."""
    intake = Intake(slots=10)
    intake.send(sensed(0, 1, 2, part="a", stream="left"), "tcp://left:1")
    intake.send(sensed(0, 1, 2, part="b", stream="right"), "tcp://right:1")
    assert set(repeats(intake)) == {("right", 0)}
    intake.send(sensed(1, 3, 4, part="c", stream="left"), "tcp://left:1")
    intake.send(sensed(1, 3, 4, part="c", stream="right"), "tcp://right:1")
    assert set(repeats(intake)) == {("right", 0)}


def test_simulators_may_play_their_parts_again() -> None:
    """A simulated frame is compared with the one before alone: a conveyor that goes round is no fault."""
    intake = Intake(slots=100)
    for seq in range(12):
        intake.send(sensed(seq, seq % 3, 100 + seq % 3, simulated=True))
    intake.send(sensed(12, 2, 102, simulated=True))
    assert set(repeats(intake)) == {("cam", 12)}


def test_picture_of_a_frame_that_was_refused_is_remembered() -> None:
    """A frame whose number nobody believes, then its picture again as the next part: it shows the refused one."""
    intake = Intake(slots=10, max_gap=10)
    intake.send(sensed(0, 0, 100))
    intake.send(sensed(5000, 1, 101))  # a jump
    intake.send(sensed(1, 1, 101))
    assert repeats(intake)[TriggerKey("cam", 1)] == "the same bytes as seq 5000"


def test_frame_sent_again_after_others_is_still_a_duplicate() -> None:
    """Its own bytes are no repetition of another part."""
    intake = Intake(slots=10)
    for seq in (0, 1, 0, 1, 2):
        intake.send(sensed(seq, seq, 100 + seq))
    assert intake.noticed == ["duplicate"] * 2
    assert intake.faults == {}


def test_simulators_with_one_stream_are_compared_with_themselves() -> None:
    """A second camera under the stream of the first is refused for that; its pictures repeat nothing of the first."""
    intake = Intake(slots=10)
    intake.send(sensed(0, 5, 105, simulated=True), "tcp://left:1")
    intake.send(sensed(0, 6, 106, simulated=True, part="other"), "tcp://right:1")
    intake.send(sensed(1, 6, 106, simulated=True), "tcp://left:1")
    assert list(intake.faults.values()) == [Reason.MALFORMED]
