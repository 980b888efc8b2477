"""A number stands for one part: what comes again is compared, and nothing readable is thrown away."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import pytest
from structlog.testing import capture_logs
from tests.unit.line.intake.test_admission import CAMERA, HEADER, START_NS, TOLD, Intake, message, tell
from tests.unit.line.intake.test_contradictions import Station
from tests.unit.made.book import of_type
from tests.unit.made.verdicts import PASS

from cmfm_protocol.clock import NS_PER_MS
from cmfm_protocol.wire.frame import UNATTRIBUTED_STREAM
from cmfm_protocol.wire.verdict import Reason, Verdict
from cmfm_worker.line.messages import TriggerKey
from cmfm_worker.line.verdicts.actions import LogError

OTHER_CAMERA = "tcp://other:5555"


@pytest.fixture
def errors() -> Iterator[list[dict[str, Any]]]:
    """The log lines; those of level error are looked at."""
    with capture_logs() as lines:
        yield lines  # type: ignore[misc]


def events_of(lines: Sequence[dict[str, Any]]) -> list[str]:
    return [line["event"] for line in lines if line["log_level"] == "error"]


def fire(intake: Intake, seq: int, part: str, camera: str = CAMERA, picture: int | None = None) -> None:
    """Send a part that is triggered now."""
    fired_ns = START_NS + intake.clock.ns
    header = replace(HEADER, seq=seq, part_id=part, trigger_ns=fired_ns)
    intake.send(message(header, picture=picture), camera)


def play(intake: Intake, numbers: Sequence[int], boot: str = "a", every_ms: float = 20) -> None:
    for index, seq in enumerate(numbers):
        fire(intake, seq, f"{boot}{index}", picture=len(intake.posted))
        intake.wait(every_ms)
        slot = intake.ring.take(timeout_s=0)
        if slot is not None:
            intake.ring.release(slot.index)


def parts(boot: str, count: int) -> set[str]:
    return {f"{boot}{index}" for index in range(count)}


CHANGES = [{"picture": 9}, {"recipe": ""}, {"calib_id": "other"}]


@pytest.mark.parametrize("change", CHANGES)
def test_same_part_sent_again_otherwise_is_a_fault(change: dict[str, Any]) -> None:
    """Same stream, number, time and part, other bytes, recipe or calibration: nobody knows which of the two holds."""
    station = Station()
    picture = change.pop("picture", 0)
    station.intake.send(message())
    station.intake.send(message(replace(HEADER, **change), picture=picture))
    (result,) = station.decide(PASS)
    assert (result.verdict, result.reason, result.part_id) == (Verdict.FAULT, Reason.MALFORMED, "part0")
    assert station.book.totals.noticed["contradiction"] == 1


def test_same_part_sent_again_otherwise_after_its_verdict_is_an_error() -> None:
    """The verdict stands; it is logged and counted."""
    station = Station()
    station.intake.send(message())
    station.decide(PASS)
    station.intake.send(message(picture=9, checksums=False))
    assert [result.verdict for result in station.decide()] == [Verdict.PASS]
    assert [error.event for error in of_type(LogError, station.actions)] == ["contradiction_after_verdict"]


def test_damaged_copy_contradicts_nothing() -> None:
    """A frame whose second copy arrives damaged is inspected."""
    station = Station()
    station.intake.send(message())
    damaged = message()
    damaged[2] = bytes(len(damaged[2]) - 1)
    station.intake.send(damaged)
    assert [result.verdict for result in station.decide(PASS)] == [Verdict.PASS]


def test_camera_that_keeps_its_stream_id_over_a_reboot(errors: list[dict[str, Any]]) -> None:
    """Every part of the second boot has a result, with its name, and one error names the stream."""
    intake = Intake()
    play(intake, range(4), "a")
    play(intake, range(7), "b")
    assert set(intake.readable) == parts("a", 4) | parts("b", 7)
    keys = [key for key, _ in intake.readable.values()]
    assert len(set(keys)) == 11
    assert {part for part, (key, _) in intake.readable.items() if key.stream_uuid == UNATTRIBUTED_STREAM} == {
        "b0",
        "b1",
        "b2",
        "b3",
    }
    assert events_of(errors) == ["stream_uuid_reused"]
    assert next(line for line in errors if line["log_level"] == "error")["stream_uuid"] == "cam"


def test_camera_and_worker_restart_and_the_camera_keeps_its_stream_id() -> None:
    """Parts that were triggered after the verdicts in the ledger are other parts. A frame sent again is not."""
    verdict_ns = -1000 * NS_PER_MS
    intake = Intake(resume={"cam": dict.fromkeys(range(5), verdict_ns)})
    intake.send(message(replace(HEADER, seq=3, part_id="again", trigger_ns=START_NS - 1100 * NS_PER_MS)))
    assert intake.noticed == ["late"]
    play(intake, range(7), "b")
    assert set(intake.readable) == parts("b", 7)
    assert {key.seq for key, _ in intake.readable.values() if key.stream_uuid == "cam"} == {5, 6}


def test_lost_number_that_another_part_uses_later() -> None:
    """Its FAULT is out; the part that was triggered after it has a result of its own."""
    intake = Intake()
    play(intake, [0, 2, 3])
    intake.wait(300)
    assert intake.faults == {TriggerKey("cam", 1): Reason.LOST}
    intake.wait(1)
    fire(intake, 1, "another", picture=200)
    assert intake.readable["another"] == (TriggerKey(UNATTRIBUTED_STREAM, 0), Reason.MALFORMED)


def test_two_cameras_with_one_stream_id(errors: list[dict[str, Any]]) -> None:
    """Six parts, six results, although both name the same photo-eye's trigger. One error names both cameras."""
    intake = Intake(slots=10)
    for seq in range(3):
        fire(intake, seq, f"part{seq}", picture=seq)
        fire(intake, seq, f"part{seq}", OTHER_CAMERA, picture=100 + seq)
        intake.wait(20)
    assert intake.ring.waiting == 3
    assert list(intake.faults.values()) == [Reason.MALFORMED] * 3
    assert events_of(errors) == ["stream_uuid_reused"]
    detail = next(line for line in errors if line["log_level"] == "error")["detail"]
    assert "camera1" in detail
    assert OTHER_CAMERA in detail


def test_second_camera_moves_no_numbers_of_the_first() -> None:
    """A camera far ahead under the stream id of another writes off none of its parts."""
    intake = Intake(slots=10)
    for seq in range(3):
        fire(intake, seq, f"a{seq}", picture=seq)
        fire(intake, 50 + seq, f"b{seq}", OTHER_CAMERA, picture=100 + seq)
    intake.wait(20_000)
    assert set(intake.faults) == {TriggerKey(UNATTRIBUTED_STREAM, number) for number in range(3)}


def test_frames_sent_again_from_far_back(errors: list[dict[str, Any]]) -> None:
    """Two in order from beyond what is remembered: no jump down, no second verdict, nothing lost."""
    intake = Intake(max_gap=10)
    play(intake, range(300))
    for seq in (100, 101, 102, 103):
        header = replace(HEADER, seq=seq, part_id=f"a{seq}", trigger_ns=START_NS + seq * 20 * NS_PER_MS)
        intake.send(message(header))
    play(intake, range(300, 305), "b")
    intake.wait(20_000)
    assert intake.faults == {}
    assert intake.noticed == ["late"] * 4
    assert set(intake.readable) == parts("a", 300) | parts("b", 5)


def test_numbers_of_the_ledger_are_not_answered_again() -> None:
    """Also those far below the newest that the ledger gives back."""
    intake = Intake(max_gap=10, resume={"cam": dict.fromkeys(range(990, 1000), -1)})
    play(intake, range(100, 110), "b")
    assert {key.stream_uuid for key, _ in intake.readable.values()} == {UNATTRIBUTED_STREAM}
    assert set(intake.readable) == parts("b", 10)


@pytest.mark.parametrize(("bits", "before"), [(8, 30), (16, 40), (32, 40)])
@pytest.mark.parametrize("lost", [0, 2])
def test_counter_that_wraps_is_an_error(
    bits: int, before: int, lost: int, errors: list[dict[str, Any]]
) -> None:
    """It is said once. Each part has one result, and no number has two."""
    intake = Intake()
    first = (1 << bits) - before
    numbers = list(range(first, (1 << bits) - lost))
    play(intake, numbers, "a")
    play(intake, range(20), "b")
    intake.wait(20_000)
    assert parts("b", 20) <= set(intake.readable)
    assert parts("a", before - lost) <= set(intake.readable)
    assert intake.faults  # also checks that no number was opened twice
    assert [event for event in events_of(errors) if event == "seq_wrapped"] == ["seq_wrapped"]
    assert f"{bits} bits" in next(line for line in errors if line["event"] == "seq_wrapped")["detail"]


def test_used_numbers_after_a_wrap_have_no_second_verdict() -> None:
    """A stream that began at 0: each part after the wrap is a FAULT under its own name."""
    intake = Intake(max_gap=300)
    play(intake, [*range(256), *range(10)])
    wrapped = [intake.readable[f"a{index}"] for index in range(256, 266)]
    assert {key.stream_uuid for key, _ in wrapped} == {UNATTRIBUTED_STREAM}
    assert {reason for _, reason in wrapped} == {Reason.MALFORMED}


def test_first_part_after_a_jump_keeps_its_name() -> None:
    """The part that was not believed at once has its FAULT under its own number and name."""
    intake = Intake()
    play(intake, [0, 1, 5000, 5001, 5002])
    for _ in range(200):
        intake.wait(50)
    assert intake.readable["a2"] == (TriggerKey("cam", 5000), Reason.MALFORMED)
    assert set(intake.readable) == parts("a", 5)


def test_first_part_after_a_jump_does_not_wait_for_the_numbers_passed_over() -> None:
    """Its frame has come, so its FAULT goes ahead of theirs."""
    intake = Intake()
    play(intake, [0, 1, 30_000, 30_001, 30_002])
    intake.wait(50)
    assert intake.readable["a2"] == (TriggerKey("cam", 30_000), Reason.MALFORMED)
    assert len(intake.faults) < 100


def test_number_that_was_damaged_keeps_the_name_of_its_part() -> None:
    """The FAULT stands for the missing number and says which part it was."""
    intake = Intake()
    play(intake, [0, 1, 1 << 20, 3, 4])
    intake.wait(1000)
    assert intake.readable["a2"] == (TriggerKey("cam", 2), Reason.MALFORMED)


@pytest.mark.parametrize("outlier", [9, 10, 100, 500, 999])
@pytest.mark.parametrize("every_ms", [20, 1000])
def test_one_number_ahead_costs_no_other_part(outlier: int, every_ms: float) -> None:
    """One frame numbered far ahead, then the camera goes on: its parts are inspected, on a slow line too."""
    intake = Intake(max_gap=1000)
    play(intake, [0, 1, 2, outlier, 4, 5, 6, 7], every_ms=every_ms)
    intake.wait(20_000)
    assert intake.faults == {TriggerKey("cam", 3): Reason.LOST}  # the number that the outlier should have had
    assert set(intake.readable) == parts("a", 8)


def test_first_frame_of_a_stream_may_be_the_one_that_is_wrong() -> None:
    """A sealed first frame numbered 900 writes off nothing of a stream that begins at 0."""
    intake = Intake(max_gap=1000)
    play(intake, [900, *range(6)])
    intake.wait(20_000)
    assert intake.faults == {}
    assert set(intake.readable) == parts("a", 7)


def test_one_heartbeat_ahead_costs_no_part() -> None:
    """A heartbeat that claims 900 numbers more than were sent, and those after it that do not."""
    intake = Intake(max_gap=1000, slots=20)
    play(intake, range(3))
    intake.beat(903)
    for seq in range(3, 8):
        intake.wait(1000)
        intake.beat(seq)
        fire(intake, seq, f"b{seq}", picture=100 + seq)
        intake.beat(seq + 1)
    intake.wait(20_000)
    assert intake.faults == {}


def test_one_trigger_message_ahead_costs_no_part() -> None:
    """It opens its own number only."""
    intake = Intake(max_gap=1000)
    play(intake, range(3))
    tell(intake, replace(TOLD, seq=500, part_id="ahead"))
    play(intake, range(3, 8), "b")
    intake.wait(20_000)
    assert intake.faults == {}
    assert set(intake.readable) == parts("a", 3) | parts("b", 5) | {"ahead"}


@pytest.mark.parametrize("confirm", ["frame", "heartbeat", "twice", "silence"])
def test_gap_that_a_second_message_confirms_is_lost(confirm: str) -> None:
    """The next frame, the camera's count, or silence: each number that was skipped has its FAULT."""
    intake = Intake(max_gap=1000)
    play(intake, [0])
    if confirm == "twice":
        intake.beat(501)
        intake.wait(1000)
        intake.beat(501)
    else:
        fire(intake, 500, "far", picture=99)
    if confirm == "frame":
        fire(intake, 501, "further", picture=98)
    if confirm == "heartbeat":
        intake.beat(501)
    for _ in range(40):
        intake.wait(1000 if confirm == "silence" else 50)
    lost = set(range(1, 501 if confirm == "twice" else 500))
    assert {key.seq for key in intake.faults} == lost


def test_drain_answers_a_gap_that_nothing_has_confirmed() -> None:
    """What may have been fired is answered: nothing stays open."""
    intake = Intake(max_gap=1000)
    play(intake, [0, 500])
    intake.admission.finish()
    assert {key.seq for key in intake.faults} == set(range(1, 500))


def test_frames_that_overtake_each_other_after_a_gap() -> None:
    """A real gap, and the frames after it out of order: all of them are inspected, the skipped ones lost."""
    intake = Intake(max_gap=1000)
    play(intake, [0, 52, 50, 51, 53, 55, 54])
    for _ in range(20):
        intake.wait(50)
    assert {key.seq for key in intake.faults} == set(range(1, 50))
    assert set(intake.readable) == parts("a", 7)


def test_faults_in_bulk_wait_for_the_verdict_thread() -> None:
    """While it has work, no further FAULT of a skipped number is posted; damage and real parts are."""
    backlog = [1000]
    intake = Intake(backlog=lambda: backlog[0])
    play(intake, [0, 5000, 5001, 5002])
    for _ in range(50):
        intake.wait(50)
    assert {key.seq for key in intake.faults} == set()
    assert not intake.admission.finish_some()
    backlog[0] = 0
    while not intake.admission.finish_some():
        pass
    assert {key.seq for key in intake.faults} == set(range(1, 5001))


def test_parts_without_names_and_times_after_a_reboot_have_results() -> None:
    """A camera that sends neither part ids nor times keeps its stream id over a reboot: each part has a FAULT."""
    intake = Intake(slots=20)
    for boot in range(2):
        for seq in range(3):
            told = replace(HEADER, seq=seq, part_id="", trigger_ns=0, clock="none")
            intake.send(message(told, picture=10 * boot + seq))
        intake.wait(1000)
    assert {key.stream_uuid for key in intake.faults} == {UNATTRIBUTED_STREAM}
    assert list(intake.faults.values()) == [Reason.MALFORMED] * 3
    assert intake.noticed.count("changed") == 3
