"""The loop and its lane: overlapped and serial turns decide alike; a failure costs the parts of its batch alone."""

import queue
import threading
import time
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import cast

import numpy as np
import pytest
import torch

from cmfm_protocol.clock import SystemClock
from cmfm_protocol.wire.frame import Frame, FrameHeader
from cmfm_protocol.wire.verdict import Reason, Verdict
from cmfm_worker.errors import HungDeviceError, LostDeviceError
from cmfm_worker.line.compute.batcher import Batcher, BatchLimits
from cmfm_worker.line.compute.device import CpuSeam, Uploaded
from cmfm_worker.line.compute.lane import Decide, Flight, Lane
from cmfm_worker.line.compute.loop import (
    AbandonedError,
    LoopContext,
    conclude,
    launch,
    overlapped_turn,
    serial_turn,
)
from cmfm_worker.line.intake.ring import FilledSlot, Ring
from cmfm_worker.line.messages import Closed, Decision, LineRecipe, Trigger, TriggerKey

MODEL = cast("LineRecipe", SimpleNamespace(sha="m"))
FAR_NS = 1 << 62


class MeanInspector:
    """Scores a part by the mean of its points; fails on the part `fail_on`."""

    def __init__(self, fail_on: int = -1, error: Exception | None = None) -> None:
        self._fail_on = fail_on
        self._error = error or ValueError("broken part")
        self.batches: list[list[int]] = []

    def inspect(
        self, slots: Sequence[FilledSlot], rgb: Sequence[torch.Tensor], xyz: Sequence[torch.Tensor]
    ) -> list[Decision]:
        self.batches.append([slot.trigger.key.seq for slot in slots])
        if self._fail_on in self.batches[-1]:
            raise self._error
        return [Decision(Verdict.PASS, Reason.BELOW_THRESHOLD, score=float(points.mean())) for points in xyz]


def make_context(
    inspector: MeanInspector, *, max_batch: int = 3, lane: Lane | None = None
) -> tuple[LoopContext, list[Closed]]:
    closed: list[Closed] = []
    ring, clock = Ring(slots=8, max_pixels=100, pinned=False), SystemClock()
    batcher = Batcher(ring, BatchLimits(max_batch, 1_000_000), clock)
    return LoopContext(ring, batcher, lane or Lane(CpuSeam(), inspector), closed.append, clock), closed


def put(context: LoopContext, seq: int, deadline_ns: int = FAR_NS) -> None:
    slot = context.ring.claim()
    assert slot is not None
    header = FrameHeader("a", seq, f"p{seq}", 0, 100.0, "r")
    frame = Frame(header, np.zeros((4, 5, 3), np.uint8), np.full((4, 5, 3), seq, np.float32))
    trigger = Trigger(TriggerKey("a", seq), f"p{seq}", "r", "", 0, 0, deadline_ns, simulated=True)
    context.ring.fill(slot, frame, trigger, MODEL, time.monotonic_ns())


def run(
    turn: Callable[[LoopContext, Flight | None], Flight | None], feed: int
) -> list[tuple[int, float | None]]:
    context, closed = make_context(MeanInspector())
    flight: Flight | None = None
    for seq in range(feed):
        put(context, seq)
        if context.ring.free < 4:
            flight = turn(context, flight)
    while context.ring.waiting:
        flight = turn(context, flight)
    if flight is not None:
        conclude(context, flight)
    context.lane.close()
    assert context.ring.free == len(context.ring)
    return [(c.key.seq, c.decision.score) for c in closed]


def test_overlapped_and_serial_loops_decide_alike() -> None:
    """Both loops give the same frames the same decisions in the same order."""
    assert run(overlapped_turn, 40) == run(serial_turn, 40) == [(seq, float(seq)) for seq in range(40)]


def test_batch_n_computes_while_n_minus_1_is_concluded() -> None:
    """The overlapped loop launches a batch before it waits for the previous one."""
    release, entered = threading.Event(), threading.Event()

    class GatedInspector(MeanInspector):
        def inspect(
            self, slots: Sequence[FilledSlot], rgb: Sequence[torch.Tensor], xyz: Sequence[torch.Tensor]
        ) -> list[Decision]:
            entered.set()
            assert release.wait(10)
            return super().inspect(slots, rgb, xyz)

    context, closed = make_context(GatedInspector(), max_batch=1)
    put(context, 0)
    flight = overlapped_turn(context, None)
    assert flight is not None
    assert entered.wait(10)
    assert closed == []
    release.set()
    assert overlapped_turn(context, flight) is None
    assert [c.key.seq for c in closed] == [0]
    context.lane.close()


def test_failed_batch_is_fault_and_the_loop_goes_on() -> None:
    """A failed computation makes each part of its batch a FAULT; later parts get their verdicts."""
    context, closed = make_context(MeanInspector(fail_on=0), max_batch=1)
    for seq in range(3):
        put(context, seq)
        serial_turn(context, None)
    assert [(c.decision.verdict, c.decision.reason) for c in closed] == [
        (Verdict.FAULT, Reason.WORKER_ERROR),
        (Verdict.PASS, Reason.BELOW_THRESHOLD),
        (Verdict.PASS, Reason.BELOW_THRESHOLD),
    ]
    assert context.ring.free == len(context.ring)
    context.lane.close()


def test_lost_device_ends_the_loop_after_the_faults() -> None:
    """After a CUDA failure the loop ends, but first the parts of the batch get their FAULTs."""
    context, closed = make_context(
        MeanInspector(fail_on=0, error=RuntimeError("CUDA error: unspecified launch failure"))
    )
    put(context, 0)
    with pytest.raises(LostDeviceError):
        serial_turn(context, None)
    assert [c.decision.reason for c in closed] == [Reason.WORKER_ERROR]
    context.lane.close()


def test_frame_past_its_deadline_is_not_computed() -> None:
    """A part whose deadline has passed is not computed."""
    inspector = MeanInspector()
    context, closed = make_context(inspector)
    put(context, 0, deadline_ns=time.monotonic_ns())
    put(context, 1)
    serial_turn(context, None)
    assert [(c.key.seq, c.decision.reason) for c in closed] == [
        (0, Reason.DEADLINE),
        (1, Reason.BELOW_THRESHOLD),
    ]
    assert inspector.batches == [[1]]
    context.lane.close()


def test_batch_is_not_held_for_company_past_a_deadline() -> None:
    """Even with a long max_wait a batch starts in time for its first deadline."""
    inspector = MeanInspector()
    context, _ = make_context(inspector)
    context.batcher = Batcher(context.ring, BatchLimits(8, 10_000_000_000), SystemClock())
    put(context, 0, deadline_ns=time.monotonic_ns() + 200_000_000)
    context.batcher.timing.launched(2, 0)
    context.batcher.timing.concluded(150_000_000)  # two parts take this long
    started = time.monotonic()
    serial_turn(context, None)
    assert inspector.batches == [[0]]
    assert time.monotonic() - started < 5
    context.lane.close()


class FullDevice(CpuSeam):
    """A device without memory for the first batch."""

    def __init__(self) -> None:
        self._refuse = True

    def upload(self, rgb: Sequence[torch.Tensor], xyz: Sequence[torch.Tensor]) -> Uploaded:
        if self._refuse:
            self._refuse = False
            raise torch.OutOfMemoryError("CUDA out of memory")
        return super().upload(rgb, xyz)


def assert_first_is_lost_and_second_is_not(context: LoopContext, closed: list[Closed]) -> None:
    """Run two batches of one part: the first ends in a FAULT, the second has its verdict, all slots are free."""
    flight: Flight | None = None
    for seq in range(2):
        put(context, seq)
        flight = overlapped_turn(context, flight)
    assert overlapped_turn(context, flight) is None
    assert [c.decision.reason for c in closed] == [Reason.WORKER_ERROR, Reason.BELOW_THRESHOLD]
    assert context.ring.free == len(context.ring)
    context.lane.close()


def test_batch_that_cannot_be_copied_is_fault_and_the_loop_goes_on() -> None:
    """If the device has no memory for a batch, its parts become FAULTs and the next batch is computed."""
    context, closed = make_context(MeanInspector(), max_batch=1)
    context.lane.close()
    context.lane = Lane(FullDevice(), MeanInspector())
    assert_first_is_lost_and_second_is_not(context, closed)


def test_hanging_computation_can_be_abandoned() -> None:
    """A computation that never ends is waited for until `abandon` says so, or until the hang limit."""
    release = threading.Event()

    class HangingInspector(MeanInspector):
        def inspect(
            self, slots: Sequence[FilledSlot], rgb: Sequence[torch.Tensor], xyz: Sequence[torch.Tensor]
        ) -> list[Decision]:
            release.wait(30)
            return super().inspect(slots, rgb, xyz)

    context, closed = make_context(HangingInspector())
    assert overlapped_turn(context, None) is None
    assert context.turns.completed == 1  # an idle turn is a turn
    asked = iter([False, True])
    context.abandon = lambda: next(asked)
    put(context, 0)
    with pytest.raises(AbandonedError):
        serial_turn(context, None)
    assert closed == []
    assert context.turns.completed == 1  # one that hangs does not count
    context.abandon, context.hang_limit_s = lambda: False, 0.5
    put(context, 1)
    with pytest.raises(HungDeviceError, match="1 parts"):
        serial_turn(context, None)
    assert context.turns.completed == 1
    release.set()
    context.lane.close(timeout_s=10)


class StoppedClock(SystemClock):
    """A clock that jumps by an hour at every reading, as after SIGCONT."""

    def __init__(self) -> None:
        self._ns = 0

    def monotonic_ns(self) -> int:
        self._ns += 3600 * 1_000_000_000
        return self._ns


def test_stopped_process_does_not_count_as_a_hung_device() -> None:
    """Time in which the process stood still does not count toward the hang limit."""

    class SlowInspector(MeanInspector):
        def inspect(
            self, slots: Sequence[FilledSlot], rgb: Sequence[torch.Tensor], xyz: Sequence[torch.Tensor]
        ) -> list[Decision]:
            time.sleep(0.5)
            return super().inspect(slots, rgb, xyz)

    context, closed = make_context(SlowInspector())
    context.clock, context.hang_limit_s = StoppedClock(), 60.0
    put(context, 0)
    serial_turn(context, None)
    assert [c.decision.verdict for c in closed] == [Verdict.PASS]
    context.lane.close()


class ComputesOn(CpuSeam):
    """A device that goes on computing after a batch has been issued."""

    overlaps = True


class StagedInspector(MeanInspector):
    """Issues at once; the results come back when `returned` is set."""

    def __init__(self, fail_on: int = -1) -> None:
        super().__init__(fail_on)
        self.returned = threading.Event()
        self.issued: queue.SimpleQueue[list[int]] = queue.SimpleQueue()

    def begin(
        self, slots: Sequence[FilledSlot], rgb: Sequence[torch.Tensor], xyz: Sequence[torch.Tensor]
    ) -> Decide:
        self.issued.put([slot.trigger.key.seq for slot in slots])

        def decide() -> list[Decision]:
            assert self.returned.wait(10)
            return self.inspect(slots, rgb, xyz)

        return decide


def make_staged(inspector: StagedInspector) -> tuple[LoopContext, list[Closed]]:
    context, closed = make_context(inspector, max_batch=1)
    context.lane.close()
    context.lane = Lane(ComputesOn(), inspector)
    return context, closed


def test_next_batch_is_issued_before_the_last_has_come_back() -> None:
    """A device that computes on by itself has the next batch while the results of the last are waited for."""
    inspector = StagedInspector()
    context, closed = make_staged(inspector)
    put(context, 0)
    put(context, 1)
    flights = [launch(context, context.batcher.next(timeout_s=1)) for _ in range(2)]
    assert [inspector.issued.get(timeout=10) for _ in flights] == [[0], [1]]
    assert inspector.batches == []
    inspector.returned.set()
    for flight in flights:
        assert flight is not None
        conclude(context, flight)
    assert [(c.key.seq, c.decision.score) for c in closed] == [(0, 0.0), (1, 1.0)]
    context.lane.close()
    assert not context.lane.running


def test_results_that_fail_to_come_back_are_faults_of_their_batch() -> None:
    """If a batch fails after it was issued, its parts become FAULTs and the next batch has its verdict."""
    inspector = StagedInspector(fail_on=0)
    inspector.returned.set()
    context, closed = make_staged(inspector)
    assert_first_is_lost_and_second_is_not(context, closed)


class ThreadCountingInspector(MeanInspector):
    """Notes how many threads a computation uses."""

    def __init__(self) -> None:
        super().__init__()
        self.threads: list[int] = []

    def inspect(
        self, slots: Sequence[FilledSlot], rgb: Sequence[torch.Tensor], xyz: Sequence[torch.Tensor]
    ) -> list[Decision]:
        self.threads.append(torch.get_num_threads())
        return super().inspect(slots, rgb, xyz)


def test_only_the_computing_thread_has_several_threads() -> None:
    """`threads` counts for the thread "compute" alone; the maker and later threads keep their one."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    inspector, others = ThreadCountingInspector(), []
    lane = Lane(CpuSeam(), inspector, threads=3)
    later = threading.Thread(target=lambda: others.append(torch.get_num_threads()))
    later.start()
    later.join()
    context, _ = make_context(inspector, lane=lane)
    for seq in range(2):
        put(context, seq)
        serial_turn(context, None)
    assert (torch.get_num_threads(), others, inspector.threads) == (1, [1], [3, 3])
    lane.close()
    torch.set_num_threads(before)


def test_cpu_needs_no_third_thread() -> None:
    """A device that does not compute on by itself decides a batch in the thread that computed it."""
    inspector = StagedInspector()
    context, closed = make_context(inspector)
    put(context, 0)
    serial_turn(context, None)
    assert inspector.issued.empty()
    assert [c.decision.verdict for c in closed] == [Verdict.PASS]
    context.lane.close()
