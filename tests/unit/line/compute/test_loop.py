"""The loop: overlapped and serial turns decide alike, a failure costs its parts and no others."""

import queue
import threading
import time
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import cast

import numpy as np
import pytest
import torch

from cmfm_protocol.wire.frame import Frame, FrameHeader
from cmfm_protocol.wire.verdict import Reason, Verdict
from cmfm_worker.clock import SystemClock
from cmfm_worker.errors import HungDeviceError, LostDeviceError
from cmfm_worker.line.compute.batcher import Batcher, BatchLimits
from cmfm_worker.line.compute.device import CpuSeam, Uploaded
from cmfm_worker.line.compute.loop import (
    AbandonedError,
    Decide,
    Flight,
    Lane,
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


class MeanBench:
    """Scores a part by the mean of its points; fails on parts that the test names."""

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


def make_parts(
    bench: MeanBench, *, max_batch: int = 3, lane: Lane | None = None
) -> tuple[LoopContext, list[Closed]]:
    closed: list[Closed] = []
    ring, clock = Ring(slots=8, max_pixels=100, pinned=False), SystemClock()
    batcher = Batcher(ring, BatchLimits(max_batch, 1_000_000), clock)
    return LoopContext(ring, batcher, lane or Lane(CpuSeam(), bench), closed.append, clock), closed


def put(parts: LoopContext, seq: int, deadline_ns: int = FAR_NS) -> None:
    slot = parts.ring.claim()
    assert slot is not None
    header = FrameHeader("a", seq, f"p{seq}", 0, 100.0, "r")
    frame = Frame(header, np.zeros((4, 5, 3), np.uint8), np.full((4, 5, 3), seq, np.float32))
    trigger = Trigger(TriggerKey("a", seq), f"p{seq}", "r", "", 0, 0, deadline_ns, simulated=True)
    parts.ring.fill(slot, frame, trigger, MODEL, time.monotonic_ns())


def run(
    turn: Callable[[LoopContext, Flight | None], Flight | None], feed: int
) -> list[tuple[int, float | None]]:
    parts, closed = make_parts(MeanBench())
    flight: Flight | None = None
    for seq in range(feed):
        put(parts, seq)
        if parts.ring.free < 4:
            flight = turn(parts, flight)
    while parts.ring.waiting:
        flight = turn(parts, flight)
    if flight is not None:
        conclude(parts, flight)
    parts.lane.close()
    assert parts.ring.free == len(parts.ring)
    return [(c.key.seq, c.decision.score) for c in closed]


def test_overlapped_and_serial_loops_decide_alike() -> None:
    """The same feed gets the same decisions in the same order from both loops."""
    assert run(overlapped_turn, 40) == run(serial_turn, 40) == [(seq, float(seq)) for seq in range(40)]


def test_batch_n_computes_while_n_minus_1_is_concluded() -> None:
    """The overlapped loop launches a batch before it waits for the one before."""
    gate, entered = threading.Event(), threading.Event()

    class GatedBench(MeanBench):
        def inspect(
            self, slots: Sequence[FilledSlot], rgb: Sequence[torch.Tensor], xyz: Sequence[torch.Tensor]
        ) -> list[Decision]:
            entered.set()
            assert gate.wait(10)
            return super().inspect(slots, rgb, xyz)

    parts, closed = make_parts(GatedBench(), max_batch=1)
    put(parts, 0)
    flight = overlapped_turn(parts, None)
    assert flight is not None
    assert entered.wait(10)
    assert closed == []
    gate.set()
    assert overlapped_turn(parts, flight) is None
    assert [c.key.seq for c in closed] == [0]
    parts.lane.close()


def test_failed_batch_is_fault_and_the_loop_goes_on() -> None:
    """A computation that fails costs the parts of its batch a FAULT, and those after it nothing."""
    parts, closed = make_parts(MeanBench(fail_on=0), max_batch=1)
    for seq in range(3):
        put(parts, seq)
        serial_turn(parts, None)
    assert [(c.decision.verdict, c.decision.reason) for c in closed] == [
        (Verdict.FAULT, Reason.WORKER_ERROR),
        (Verdict.PASS, Reason.BELOW_THRESHOLD),
        (Verdict.PASS, Reason.BELOW_THRESHOLD),
    ]
    assert parts.ring.free == len(parts.ring)
    parts.lane.close()


def test_lost_device_ends_the_loop_after_the_faults() -> None:
    """A CUDA failure is not survived, but its parts are answered first."""
    parts, closed = make_parts(
        MeanBench(fail_on=0, error=RuntimeError("CUDA error: unspecified launch failure"))
    )
    put(parts, 0)
    with pytest.raises(LostDeviceError):
        serial_turn(parts, None)
    assert [c.decision.reason for c in closed] == [Reason.WORKER_ERROR]
    parts.lane.close()


def test_frame_past_its_deadline_is_not_computed() -> None:
    """A part that cannot be answered in time costs no computation."""
    bench = MeanBench()
    parts, closed = make_parts(bench)
    put(parts, 0, deadline_ns=time.monotonic_ns())
    put(parts, 1)
    serial_turn(parts, None)
    assert [(c.key.seq, c.decision.reason) for c in closed] == [
        (0, Reason.DEADLINE),
        (1, Reason.BELOW_THRESHOLD),
    ]
    assert bench.batches == [[1]]
    parts.lane.close()


def test_batch_is_not_held_for_company_past_a_deadline() -> None:
    """With a long max_wait a frame about to be due is computed at once."""
    bench = MeanBench()
    parts, _ = make_parts(bench)
    parts.batcher = Batcher(parts.ring, BatchLimits(8, 10_000_000_000), SystemClock())
    put(parts, 0, deadline_ns=time.monotonic_ns() + 200_000_000)
    parts.batcher.pace.launched(2, 0)
    parts.batcher.pace.concluded(150_000_000)  # so long take two
    started = time.monotonic()
    serial_turn(parts, None)
    assert bench.batches == [[0]]
    assert time.monotonic() - started < 5
    parts.lane.close()


class FullDevice(CpuSeam):
    """A device whose memory is too full for the first batch."""

    def __init__(self) -> None:
        self._refuse = True

    def upload(self, rgb: Sequence[torch.Tensor], xyz: Sequence[torch.Tensor]) -> Uploaded:
        if self._refuse:
            self._refuse = False
            raise torch.OutOfMemoryError("CUDA out of memory")
        return super().upload(rgb, xyz)


def assert_first_is_lost_and_second_is_not(parts: LoopContext, closed: list[Closed]) -> None:
    """Two batches of one part: the first ends in a FAULT, the second has its verdict, no slot is kept."""
    flight: Flight | None = None
    for seq in range(2):
        put(parts, seq)
        flight = overlapped_turn(parts, flight)
    assert overlapped_turn(parts, flight) is None
    assert [c.decision.reason for c in closed] == [Reason.WORKER_ERROR, Reason.BELOW_THRESHOLD]
    assert parts.ring.free == len(parts.ring)
    parts.lane.close()


def test_batch_that_cannot_be_copied_is_fault_and_the_loop_goes_on() -> None:
    """A device without room for a batch costs its parts a FAULT, and neither those before nor after it."""
    parts, closed = make_parts(MeanBench(), max_batch=1)
    parts.lane.close()
    parts.lane = Lane(FullDevice(), MeanBench())
    assert_first_is_lost_and_second_is_not(parts, closed)


def test_hanging_computation_can_be_abandoned() -> None:
    """A computation that never ends is waited for only until the loop is told to give it up."""
    gate = threading.Event()

    class HangingBench(MeanBench):
        def inspect(
            self, slots: Sequence[FilledSlot], rgb: Sequence[torch.Tensor], xyz: Sequence[torch.Tensor]
        ) -> list[Decision]:
            gate.wait(30)
            return super().inspect(slots, rgb, xyz)

    parts, closed = make_parts(HangingBench())
    assert overlapped_turn(parts, None) is None
    assert parts.turns.completed == 1  # an idle turn is a turn
    asked = iter([False, True])
    parts.abandon = lambda: next(asked)
    put(parts, 0)
    with pytest.raises(AbandonedError):
        serial_turn(parts, None)
    assert closed == []
    assert parts.turns.completed == 1  # and one that hangs is none
    parts.abandon, parts.hang_limit_s = lambda: False, 0.5
    put(parts, 1)
    with pytest.raises(HungDeviceError, match="1 parts"):
        serial_turn(parts, None)
    assert parts.turns.completed == 1
    gate.set()
    parts.lane.close(timeout_s=10)


class StoppedClock(SystemClock):
    """A clock that jumps by an hour whenever it is looked at, as after SIGCONT."""

    def __init__(self) -> None:
        self._ns = 0

    def monotonic_ns(self) -> int:
        self._ns += 3600 * 1_000_000_000
        return self._ns


def test_process_that_was_stopped_is_no_hung_device() -> None:
    """Time in which nothing could compute does not count against the device."""

    class SlowBench(MeanBench):
        def inspect(
            self, slots: Sequence[FilledSlot], rgb: Sequence[torch.Tensor], xyz: Sequence[torch.Tensor]
        ) -> list[Decision]:
            time.sleep(0.5)
            return super().inspect(slots, rgb, xyz)

    parts, closed = make_parts(SlowBench())
    parts.clock, parts.hang_limit_s = StoppedClock(), 60.0
    put(parts, 0)
    serial_turn(parts, None)
    assert [c.decision.verdict for c in closed] == [Verdict.PASS]
    parts.lane.close()


class ComputesOn(CpuSeam):
    """A device that goes on computing after a batch has been issued."""

    overlaps = True


class StagedMeanBench(MeanBench):
    """Issues at once; results are there when the gate opens."""

    def __init__(self, fail_on: int = -1) -> None:
        super().__init__(fail_on)
        self.gate = threading.Event()
        self.issued: queue.SimpleQueue[list[int]] = queue.SimpleQueue()

    def begin(
        self, slots: Sequence[FilledSlot], rgb: Sequence[torch.Tensor], xyz: Sequence[torch.Tensor]
    ) -> Decide:
        self.issued.put([slot.trigger.key.seq for slot in slots])

        def decide() -> list[Decision]:
            assert self.gate.wait(10)
            return self.inspect(slots, rgb, xyz)

        return decide


def make_staged(bench: StagedMeanBench) -> tuple[LoopContext, list[Closed]]:
    parts, closed = make_parts(bench, max_batch=1)
    parts.lane.close()
    parts.lane = Lane(ComputesOn(), bench)
    return parts, closed


def test_next_batch_is_issued_before_the_last_has_come_back() -> None:
    """A device that computes on by itself has work in hand while results are waited for and decided."""
    bench = StagedMeanBench()
    parts, closed = make_staged(bench)
    put(parts, 0)
    put(parts, 1)
    flights = [launch(parts, parts.batcher.next(timeout_s=1)) for _ in range(2)]
    assert [bench.issued.get(timeout=10) for _ in flights] == [[0], [1]]
    assert bench.batches == []
    bench.gate.set()
    for flight in flights:
        assert flight is not None
        conclude(parts, flight)
    assert [(c.key.seq, c.decision.score) for c in closed] == [(0, 0.0), (1, 1.0)]
    parts.lane.close()
    assert not parts.lane.running


def test_results_that_fail_to_come_back_cost_their_batch_alone() -> None:
    """A batch that fails after it was issued is a FAULT for its parts; the next one has its verdict."""
    bench = StagedMeanBench(fail_on=0)
    bench.gate.set()
    parts, closed = make_staged(bench)
    assert_first_is_lost_and_second_is_not(parts, closed)


class ThreadCountingBench(MeanBench):
    """Notes over how many threads a computation is spread."""

    def __init__(self) -> None:
        super().__init__()
        self.threads: list[int] = []

    def inspect(
        self, slots: Sequence[FilledSlot], rgb: Sequence[torch.Tensor], xyz: Sequence[torch.Tensor]
    ) -> list[Decision]:
        self.threads.append(torch.get_num_threads())
        return super().inspect(slots, rgb, xyz)


def test_only_the_computing_thread_has_several_threads() -> None:
    """Two threads with several each would take the processors from one another; what others had stays theirs."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    bench, others = ThreadCountingBench(), []
    lane = Lane(CpuSeam(), bench, threads=3)
    later = threading.Thread(target=lambda: others.append(torch.get_num_threads()))
    later.start()
    later.join()
    parts, _ = make_parts(bench, lane=lane)
    for seq in range(2):
        put(parts, seq)
        serial_turn(parts, None)
    assert (torch.get_num_threads(), others, bench.threads) == (1, [1], [3, 3])
    lane.close()
    torch.set_num_threads(before)


def test_device_that_computes_nothing_by_itself_needs_no_third_thread() -> None:
    """On a CPU a batch is decided where it was computed."""
    bench = StagedMeanBench()
    parts, closed = make_parts(bench)
    put(parts, 0)
    serial_turn(parts, None)
    assert bench.issued.empty()
    assert [c.decision.verdict for c in closed] == [Verdict.PASS]
    parts.lane.close()
