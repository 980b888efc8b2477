"""Frame and trigger messages about one number are compared until the verdict is out, in whatever order they come."""

from dataclasses import replace
from typing import Any

import pytest
from tests.unit.line.intake.test_admission import HEADER, TOLD, Intake, message, tell
from tests.unit.made.book import closed, new_book, of_type, sent
from tests.unit.made.verdicts import PASS, trigger

from cmfm_protocol.clock import NS_PER_MS
from cmfm_protocol.wire.frame import FrameHeader
from cmfm_protocol.wire.result import Result
from cmfm_protocol.wire.trigger import TriggerMessage
from cmfm_protocol.wire.verdict import Reason, Verdict
from cmfm_worker.line.messages import Amended, Closed, Decision, Opened, TriggerKey
from cmfm_worker.line.verdicts.actions import Action, LogError, Now

KEY = TriggerKey("cam", 0)
OTHER_CALIBRATION = replace(PASS, verdict=Verdict.UNDECIDED, reason=Reason.OTHER_CALIBRATION)


class Station:
    """Admission and verdict book together: what a subscriber gets for the messages of a test."""

    def __init__(self) -> None:
        self.intake = Intake()
        self.book = new_book()
        self.actions: list[Action] = []

    def send_both(self, frame: FrameHeader, told: TriggerMessage, *, frame_first: bool) -> None:
        """Send a frame and a trigger message in one of the two orders."""
        if frame_first:
            self.intake.send(message(frame))
        tell(self.intake, told)
        if not frame_first:
            self.intake.send(message(frame))

    def decide(self, decision: Decision | None = None, ms: float = 0) -> list[Result]:
        """Hand the events over, then the decision on part 0, then let so many milliseconds pass."""
        for event in self.intake.events:
            self.actions += self.book.handle(event, self.now)
        self.intake.posted.clear()
        if decision is not None:
            self.actions += self.book.handle(Closed(KEY, decision), self.now)
        self.intake.wait(ms)
        self.actions += self.book.check_deadlines(self.now)
        return sent(self.actions)

    @property
    def now(self) -> Now:
        clock = self.intake.clock
        return Now(clock.monotonic_ns(), clock.realtime_ns(), 3)


CONTRADICTIONS = [
    ({"part_id": "X"}, {"part_id": "Y"}),
    ({"recipe": "bagel"}, {"recipe": "cookie"}),
    ({"calib_id": "c1"}, {"calib_id": "c2"}),
]


@pytest.mark.parametrize("frame_first", [True, False])
@pytest.mark.parametrize(("frame", "told"), CONTRADICTIONS)
def test_contradiction_is_a_fault_in_either_order(
    frame: dict[str, Any], told: dict[str, Any], frame_first: bool
) -> None:
    """The part is not inspected as one of the two, whichever message won the race."""
    station = Station()
    station.send_both(replace(HEADER, **frame), replace(TOLD, **told), frame_first=frame_first)
    (result,) = station.decide(PASS)
    assert (result.verdict, result.reason) == (Verdict.FAULT, Reason.MALFORMED)
    assert next(iter(frame.values())) in result.detail
    assert next(iter(told.values())) in result.detail


def test_two_trigger_messages_that_contradict_each_other_are_a_fault() -> None:
    """Two gateways that name different parts for one number: neither is inspected, also when its frame comes."""
    station = Station()
    tell(station.intake)
    tell(station.intake, replace(TOLD, part_id="another"))
    station.intake.send(message())
    (result,) = station.decide(PASS)
    assert (result.verdict, result.reason) == (Verdict.FAULT, Reason.MALFORMED)


def test_number_announced_by_a_later_one_is_named_by_its_own_message() -> None:
    """A trigger message that was overtaken still names its part and is still compared with the frame."""
    station = Station()
    tell(station.intake, replace(TOLD, seq=1, part_id="part1"))
    tell(station.intake, replace(TOLD, part_id="X"))
    station.intake.send(message(replace(HEADER, part_id="Y")))
    (result,) = station.decide(PASS)
    assert (result.part_id, result.reason) == ("X", Reason.MALFORMED)


@pytest.mark.parametrize("frame_first", [True, False])
def test_earlier_deadline_holds_in_either_order(frame_first: bool) -> None:
    """A trigger message that comes after its frame brings the deadline forward."""
    station = Station()
    station.send_both(HEADER, replace(TOLD, deadline_ms=100.0), frame_first=frame_first)
    assert station.decide(ms=99) == []
    (result,) = station.decide(ms=2)
    assert result.reason is Reason.DEADLINE


def test_trigger_message_after_its_frame_keeps_the_camera() -> None:
    """A later message that fills a field in leaves the name of the camera unchanged."""
    station = Station()
    event = Opened(replace(trigger(0, 500 * NS_PER_MS), camera="left"))
    station.book.handle(event, station.now)
    station.book.handle(Amended(replace(event.trigger, camera="", part_id="eye-7")), station.now)
    (result,) = station.decide(PASS)
    assert (result.part_id, result.camera) == ("eye-7", "left")


def test_trigger_message_after_its_frame_names_the_part() -> None:
    """Fields that the frame left empty are filled before the verdict."""
    station = Station()
    station.intake.send(message(replace(HEADER, part_id="")))
    tell(station.intake, replace(TOLD, part_id="eye-7"))
    (result,) = station.decide(PASS)
    assert (result.part_id, result.verdict) == ("eye-7", Verdict.PASS)


def test_contradiction_after_the_verdict_is_an_error() -> None:
    """The verdict stands. It is counted and logged which number it is about."""
    station = Station()
    station.intake.send(message())
    assert [result.verdict for result in station.decide(PASS)] == [Verdict.PASS]
    tell(station.intake, replace(TOLD, part_id="another"))
    assert len(station.decide()) == 1
    (error,) = of_type(LogError, station.actions)
    assert error.event == "contradiction_after_verdict"
    assert (error.facts["stream_uuid"], error.facts["seq"]) == KEY
    assert station.book.totals.noticed["contradiction_after_verdict"] == 1


def test_message_that_agrees_changes_nothing() -> None:
    """A part whose frame and triggers agree is inspected, however often they are sent."""
    station = Station()
    tell(station.intake)
    station.intake.send(message())
    tell(station.intake)
    assert [result.verdict for result in station.decide(PASS)] == [Verdict.PASS]
    assert station.book.handle(closed(0, PASS), station.now) == []
    assert station.intake.clock.ns < 300 * NS_PER_MS


@pytest.mark.parametrize("frame_first", [True, False])
def test_calibration_that_a_trigger_message_names_counts_in_either_order(frame_first: bool) -> None:
    """The frame names none; the decision is that on a part of the calibration which the message names."""
    station = Station()
    told = replace(TOLD, part_id=HEADER.part_id, recipe=HEADER.recipe, calib_id="c1")
    station.send_both(replace(HEADER, calib_id=""), told, frame_first=frame_first)
    slot = station.intake.ring.take(timeout_s=0)
    assert slot is not None
    decided = (
        PASS if slot.trigger.calib_id == "c1" else replace(OTHER_CALIBRATION, by_calibration={"c1": PASS})
    )
    (result,) = station.decide(decided)
    assert (result.verdict, result.calib_id) == (Verdict.PASS, "c1")
