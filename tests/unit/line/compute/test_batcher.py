"""Batches under load: frames that cannot be in time are shed, oldest first, at no cost to the others."""

from types import SimpleNamespace
from typing import cast

import numpy as np
import pytest

from cmfm_protocol.wire.frame import Frame, FrameHeader
from cmfm_worker.line.compute.batch_timing import BatchTiming
from cmfm_worker.line.compute.batcher import Batcher, BatchLimits
from cmfm_worker.line.intake.ring import Ring
from cmfm_worker.line.messages import LineRecipe, Trigger, TriggerKey

MODEL = cast("LineRecipe", SimpleNamespace(sha="m"))


class SetClock:
    """A clock that the test sets."""

    def __init__(self) -> None:
        self.ns = 0

    def realtime_ns(self) -> int:
        return self.ns

    def monotonic_ns(self) -> int:
        return self.ns


class Line:
    """A ring of 8, a batcher of at most 4 a batch, and a device that takes 100 ns a part."""

    def __init__(self, *, took_ns: int = 100) -> None:
        self.clock = SetClock()
        self.ring = Ring(slots=8, max_pixels=100, pinned=False)
        self.timing = BatchTiming()
        self.timing.launched(1, 0)
        self.timing.concluded(took_ns)
        self.clock.ns = took_ns
        self.batcher = Batcher(self.ring, BatchLimits(4, 0), self.clock, self.timing)

    def put(self, *deadlines_ns: int) -> None:
        for deadline_ns in deadlines_ns:
            slot = self.ring.claim()
            assert slot is not None
            header = FrameHeader("a", deadline_ns, "p", 0, 100.0, "r")
            frame = Frame(header, np.zeros((4, 5, 3), np.uint8), np.zeros((4, 5, 3), np.float32))
            trigger = Trigger(TriggerKey("a", deadline_ns), "p", "r", "", 0, 0, deadline_ns, simulated=True)
            self.ring.fill(slot, frame, trigger, MODEL, self.clock.ns)

    def next(self) -> tuple[list[int], list[int]]:
        """Return the deadlines of the frames to be computed, and of those that were shed."""
        batch = self.batcher.next(timeout_s=0)
        if batch is None:
            return [], []
        return [s.trigger.deadline_ns for s in batch.slots], [s.trigger.deadline_ns for s in batch.shed]


def test_hopeless_frames_are_shed_and_the_others_computed() -> None:
    """A part that would be decided after its deadline takes no place in a batch."""
    line = Line()
    line.put(150, 199, 1000, 180, 1001)
    assert line.next() == ([1000, 1001], [150, 199, 180])


def test_batch_is_only_as_large_as_its_deadlines_allow() -> None:
    """Four together would all be late: two are computed now, and the others stay first in the ring."""
    line = Line()
    line.put(350, 351, 352, 900)
    assert line.next() == ([350, 351], [])
    line.timing.launched(2, line.clock.ns)
    assert line.next() == ([900], [352])  # behind the two in flight the third would be too late


def test_frame_in_flight_counts_before_a_waiting_one() -> None:
    """A waiting frame is judged by when the batch in flight will be finished."""
    line = Line()
    line.timing.launched(3, 100)
    line.put(450, 550)
    assert line.next() == ([550], [450])


def test_timing_that_was_slow_is_measured_again() -> None:
    """After a stall the line does not give up every part for ever: the part with the most time left is tried."""
    line = Line(took_ns=1_000_000)
    now_ns = line.clock.ns
    line.put(now_ns + 200, now_ns + 300, now_ns + 100)
    assert line.next() == ([now_ns + 300], [now_ns + 200, now_ns + 100])
    for _ in range(3):
        line.timing.launched(1, line.clock.ns)
        line.clock.ns += 50
        line.timing.concluded(line.clock.ns)
    now_ns = line.clock.ns
    line.put(now_ns + 40, now_ns + 60)
    assert line.next() == ([now_ns + 60], [now_ns + 40])


def test_part_past_its_deadline_is_not_tried() -> None:
    """A part whose deadline has passed is shed, also if nothing is being computed."""
    line = Line()
    line.put(50, 100)
    assert line.next() == ([], [50, 100])


def test_nothing_is_tried_while_something_is_computed() -> None:
    """A part that looks too late is shed if a batch in flight measures the timing already."""
    line = Line()
    line.timing.launched(1, 100)
    line.put(250)
    assert line.next() == ([], [250])


@pytest.mark.parametrize("load", [0.9, 1.1, 1.5, 2.0, 4.0])
def test_under_overload_only_the_excess_parts_are_shed(load: float) -> None:
    """At any load the device decides parts at nearly its full rate, and its decisions are in time."""
    line, period_ns, parts = Line(), int(100 / load), 2000
    fired = in_time = late = shed = refused = 0
    while fired < parts or line.ring.waiting:
        due = int((line.clock.ns - 100) / period_ns) + 1
        for seq in range(fired, min(due, parts)):  # parts that came while the device was busy
            now_ns = 100 + seq * period_ns
            given_up = None if line.ring.free else line.ring.shed(line.timing.done_ns(1, now_ns))
            if given_up is not None:
                line.ring.release(given_up.index)
                shed += 1
            if line.ring.free:
                line.put(now_ns + 650)
            else:
                refused += 1
        fired = max(fired, min(due, parts))
        batch = line.batcher.next(timeout_s=0)
        if batch is None:
            line.clock.ns += period_ns
            continue
        line.timing.launched(len(batch.slots), line.clock.ns)
        line.clock.ns += 100 * len(batch.slots)
        line.timing.concluded(line.clock.ns)
        late += sum(slot.trigger.deadline_ns < line.clock.ns for slot in batch.slots)
        in_time += len(batch.slots)
        shed += len(batch.shed)
        for slot in (*batch.slots, *batch.shed):
            line.ring.release(slot.index)
    assert in_time + shed + refused == parts
    assert late <= 0.01 * parts  # attempts, made when no other frame was waiting
    assert in_time >= 0.95 * min(parts, parts / load)
