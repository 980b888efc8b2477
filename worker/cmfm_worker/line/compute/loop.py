"""The inspection loop: launch batch n, then conclude batch n-1, and hand what is in flight to the next turn.

In-flight work is a value: `flight = overlapped_turn(parts, flight)`. Only `conclude` waits for a computation,
and only until it is told to abandon it or the hang limit is over: a device that hangs must not keep the process.
For the same reason the loop's own thread never calls the device, not even to copy.
`serial_turn` is the twin without overlap; tests hold both to the same decisions.
"""

import math
import queue
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Final, NamedTuple, Protocol, runtime_checkable

import structlog
import torch

from cmfm_protocol.wire.verdict import Reason
from cmfm_worker.clock import NS_PER_S, Clock
from cmfm_worker.errors import HungDeviceError, LostDeviceError
from cmfm_worker.line.compute.batcher import Batch, Batcher
from cmfm_worker.line.compute.device import DeviceSeam, Uploaded
from cmfm_worker.line.health.liveness import CompletedTurns
from cmfm_worker.line.intake.ring import FilledSlot, Ring, as_shed
from cmfm_worker.line.messages import Closed, Decision, fault

IDLE_S: Final = 0.1
"""How long a turn waits for a frame when nothing is in flight: the tick on which a stop is noticed."""

ABANDON_TICK_S: Final = 0.1
"""How often a turn that waits for a computation asks whether to abandon it."""


class BatchInspector(Protocol):
    """What inspects: prepare, extract, map, aggregate, decide (see inspection.py)."""

    def inspect(
        self, slots: Sequence[FilledSlot], rgb: Sequence[torch.Tensor], xyz: Sequence[torch.Tensor]
    ) -> list[Decision]:
        """One decision a slot, in order. `rgb` and `xyz` lie on the device."""
        ...


@runtime_checkable
class StagedInspector(BatchInspector, Protocol):
    """A bench that can issue a batch before the one before it has come back."""

    def begin(
        self, slots: Sequence[FilledSlot], rgb: Sequence[torch.Tensor], xyz: Sequence[torch.Tensor]
    ) -> "Decide":
        """Issue everything; what is returned waits for it and decides, in any thread."""
        ...


Decide = Callable[[], list[Decision]]


class AbandonedError(Exception):
    """A computation was not waited for any longer; its parts are still without a verdict."""


class Flight(NamedTuple):
    """A batch whose computation has been launched."""

    slots: tuple[FilledSlot, ...]
    decisions: Future[list[Decision]]


@dataclass(slots=True)
class LoopContext:
    """What a turn of the loop works with."""

    ring: Ring
    batcher: Batcher
    lane: "Lane"
    close: Callable[[Closed], None]
    clock: Clock
    turns: CompletedTurns = field(
        default_factory=CompletedTurns
    )  # completed, idle ones too; watchdog and probes look at it
    abandon: Callable[[], bool] = lambda: False  # asked while a computation is waited for
    hang_limit_s: float = math.inf  # a computation that takes longer hangs


class Lane:
    """One device and the threads that copy to it and compute on it: daemons, so that the process can end under them.

    Where the device computes on by itself, a third thread waits for results and decides, while the next batch is
    issued; where it does not, that would only be a change of threads.

    A computation on a CPU is spread over `threads` OpenMP threads (None: as many as the lane's maker has) by the
    computing thread alone. Other threads of the process should have one each, as the lane's maker in `assembly`:
    each thread that computes with several has a pool of its own, and where all pools together have more threads
    than there are processors, libgomp lets them sleep between any two operations, and a part takes twice as long.
    """

    def __init__(self, seam: DeviceSeam, bench: BatchInspector, threads: int | None = None) -> None:
        self._seam = seam
        self._bench = bench
        self._staged = bench if seam.overlaps and isinstance(bench, StagedInspector) else None
        self._launched: queue.SimpleQueue[Flight | None] = queue.SimpleQueue()
        self._uploaded: queue.SimpleQueue[tuple[Flight, Uploaded] | None] = queue.SimpleQueue()
        self._issued: queue.SimpleQueue[tuple[Flight, Decide] | None] = queue.SimpleQueue()
        work = [(self._copy, "copy"), (self._run, "compute")]
        if self._staged is not None:
            work.append((self._decide, "decide"))
        self._threads = [threading.Thread(target=run, name=name, daemon=True) for run, name in work]
        ours = torch.get_num_threads()
        self._cpu_threads = threads or ours
        self._spread = threading.Event()
        for thread in self._threads:
            thread.start()
        self._spread.wait()
        torch.set_num_threads(ours)  # also what threads that begin later have

    def launch(self, slots: tuple[FilledSlot, ...]) -> Flight:
        """Begin copying and computing; returns at once. A copy that fails is a computation that failed."""
        flight = Flight(slots, Future())
        self._launched.put(flight)
        return flight

    @property
    def running(self) -> bool:
        """Whether something is still copied or computed, or could be."""
        return any(thread.is_alive() for thread in self._threads)

    def close(self, *, timeout_s: float | None = None) -> None:
        """End the threads after what is in flight, or leave them behind."""
        self._launched.put(None)
        for thread in self._threads:
            thread.join(timeout_s)

    def _copy(self) -> None:
        for flight in iter(self._launched.get, None):
            slots = flight.slots
            try:
                uploaded = self._seam.upload([slot.rgb for slot in slots], [slot.xyz for slot in slots])
            except BaseException as error:  # noqa: BLE001 (`conclude` tells a full device from a lost one)
                flight.decisions.set_exception(error)
            else:
                self._uploaded.put((flight, uploaded))
                del uploaded
            del flight, slots  # or the last batch would be held until the next
        self._uploaded.put(None)

    def _run(self) -> None:
        torch.get_num_threads()  # before its first use of it, torch gives a thread what was set last in any thread
        torch.set_num_threads(self._cpu_threads)
        self._spread.set()
        for flight, uploaded in iter(self._uploaded.get, None):
            try:
                self._compute(flight, uploaded)
            except BaseException as error:  # noqa: BLE001 (`conclude` raises or answers it)
                flight.decisions.set_exception(error)
            del flight, uploaded  # or the last batch would be held until the next
        self._issued.put(None)

    def _compute(self, flight: Flight, uploaded: Uploaded) -> None:
        with torch.inference_mode(), self._seam.computing(uploaded):
            if self._staged is None:
                decisions = self._bench.inspect(flight.slots, uploaded.rgb, uploaded.xyz)
                flight.decisions.set_result(decisions)
            else:
                self._issued.put((flight, self._staged.begin(flight.slots, uploaded.rgb, uploaded.xyz)))

    def _decide(self) -> None:
        for flight, decide in iter(self._issued.get, None):
            try:
                flight.decisions.set_result(decide())
            except BaseException as error:  # noqa: BLE001 (as above)
                flight.decisions.set_exception(error)
            del flight, decide


def overlapped_turn(parts: LoopContext, flight: Flight | None) -> Flight | None:
    """Launch the next batch, if there is one, then conclude `flight`. Returns what is now in flight."""
    batch = parts.batcher.next(timeout_s=0.0 if flight else IDLE_S)
    launched = launch(parts, batch)
    if flight is not None:
        conclude(parts, flight)
    parts.turns.complete(parts.clock.monotonic_ns())
    return launched


def serial_turn(parts: LoopContext, flight: Flight | None = None) -> None:
    """The twin: launch a batch and conclude it before the next is looked at."""
    if flight is not None:
        conclude(parts, flight)
    launched = launch(parts, parts.batcher.next(timeout_s=IDLE_S))
    if launched is not None:
        conclude(parts, launched)
    parts.turns.complete(parts.clock.monotonic_ns())


def launch(parts: LoopContext, batch: Batch | None) -> Flight | None:
    """Start a batch; frames that it is too late for get their FAULT, and their slot is free, at once."""
    if batch is None:
        return None
    for slot in batch.shed:
        parts.close(as_shed(slot))
        parts.ring.release(slot.index)
    if not batch.slots:
        return None
    parts.batcher.pace.launched(len(batch.slots), parts.clock.monotonic_ns())
    return parts.lane.launch(batch.slots)


def conclude(parts: LoopContext, flight: Flight) -> None:
    """Wait for a batch (the only place that waits), pass its decisions on and give its slots back.

    A failed computation is a FAULT for each of its parts and the loop goes on; a lost device raises
    LostDeviceError after the FAULTs, so that the process ends and the supervisor restarts it. Raises
    AbandonedError where `parts.abandon` says so before the computation ends, HungDeviceError after the limit.
    """
    failure = wait(flight, parts)
    if failure is not None:
        decisions = [fault(Reason.WORKER_ERROR, f"{type(failure).__name__}: {failure}"[:200])] * len(
            flight.slots
        )
        structlog.get_logger("loop").error(
            "computation_failed", parts=[slot.trigger.part_id for slot in flight.slots], exc_info=failure
        )
    else:
        decisions = flight.decisions.result()
    for slot, decision in zip(flight.slots, decisions, strict=True):
        parts.close(Closed(slot.trigger.key, decision))
        parts.ring.release(slot.index)
    parts.batcher.pace.concluded(parts.clock.monotonic_ns())
    if failure is not None and is_device_loss(failure):
        raise LostDeviceError(f"the device failed: {failure}") from failure


def wait(flight: Flight, parts: LoopContext) -> BaseException | None:
    """What a computation failed with, None where it did not, once it has ended.

    Raises AbandonedError, and HungDeviceError after `parts.hang_limit_s`. Every flight before this one has
    been concluded, so the device has had all that time for it. A tick counts as two at most: of a process that
    was stopped (SIGSTOP, a paused virtual machine) the device has not had the time that the clock shows.
    """
    waited_s, then_ns = 0.0, parts.clock.monotonic_ns()
    while True:
        try:
            return flight.decisions.exception(timeout=ABANDON_TICK_S)
        except TimeoutError:
            if parts.abandon():
                raise AbandonedError from None
        now_ns = parts.clock.monotonic_ns()
        waited_s += min((now_ns - then_ns) / NS_PER_S, 2 * ABANDON_TICK_S)
        then_ns = now_ns
        if waited_s >= parts.hang_limit_s:
            raise HungDeviceError(
                f"the device hangs: a computation on {len(flight.slots)} parts has not come back "
                f"within {parts.hang_limit_s:g} s"
            )


def is_device_loss(error: BaseException) -> bool:
    """Whether an error leaves the CUDA context unusable (memory running out does not)."""
    if isinstance(error, torch.OutOfMemoryError):
        return False
    accelerator_error = getattr(torch, "AcceleratorError", ())
    return isinstance(error, accelerator_error) or (
        isinstance(error, RuntimeError) and "CUDA error" in str(error)
    )
