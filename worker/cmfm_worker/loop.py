"""The inspection loop: launch batch n, then conclude batch n-1, and hand what is in flight to the next turn.

In-flight work is a value: `flight = overlapped_turn(parts, flight)`. Only `conclude` waits for a computation,
and only until it is told to abandon it: a device that hangs must not keep the process.
`serial_turn` is the twin without overlap; tests hold both to the same decisions.
"""

import queue
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Final, NamedTuple, Protocol

import structlog
import torch

from cmfm_protocol.verdict import Reason
from cmfm_worker.batcher import Batch, Batcher
from cmfm_worker.clock import Clock
from cmfm_worker.device import DeviceSeam, Uploaded
from cmfm_worker.errors import LostDeviceError
from cmfm_worker.ring import FilledSlot, Ring
from cmfm_worker.trigger import Closed, Decision, fault

IDLE_S: Final = 0.1
"""How long a turn waits for a frame when nothing is in flight: the tick on which a stop is noticed."""

ABANDON_TICK_S: Final = 0.1
"""How often a turn that waits for a computation asks whether to abandon it."""

STEP_SMOOTHING: Final = 0.2
"""Weight of the newest batch in the running mean of a batch's duration."""


class Bench(Protocol):
    """What inspects: prepare, extract, map, aggregate, decide (see inspection.py)."""

    def inspect(
        self, slots: Sequence[FilledSlot], rgb: Sequence[torch.Tensor], xyz: Sequence[torch.Tensor]
    ) -> list[Decision]:
        """One decision a slot, in order. `rgb` and `xyz` lie on the device."""
        ...


class AbandonedError(Exception):
    """A computation was not waited for any longer; its parts are still without a verdict."""


class Flight(NamedTuple):
    """A batch whose computation has been launched."""

    slots: tuple[FilledSlot, ...]
    decisions: Future[list[Decision]]
    launched_ns: int


@dataclass(slots=True)
class LoopParts:
    """What a turn of the loop works with."""

    ring: Ring
    batcher: Batcher
    lane: "Lane"
    close: Callable[[Closed], None]
    clock: Clock
    step_ns: int = 0
    turns: int = 0  # completed; the watchdog looks at it
    abandon: Callable[[], bool] = lambda: False  # asked while a computation is waited for


class Lane:
    """One device and the thread that computes on it: a daemon, so that the process can end under it."""

    def __init__(self, seam: DeviceSeam, bench: Bench) -> None:
        self._seam = seam
        self._bench = bench
        self._launched: queue.SimpleQueue[tuple[Flight, Uploaded] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="compute", daemon=True)
        self._thread.start()

    def launch(self, slots: tuple[FilledSlot, ...], now_ns: int) -> Flight:
        """Begin copying and computing; returns at once. A copy that fails is a computation that failed."""
        flight = Flight(slots, Future(), now_ns)
        try:
            uploaded = self._seam.upload([slot.rgb for slot in slots], [slot.xyz for slot in slots])
        except Exception as error:  # noqa: BLE001 (`conclude` tells a full device from a lost one)
            flight.decisions.set_exception(error)
        else:
            self._launched.put((flight, uploaded))
        return flight

    def close(self, *, timeout_s: float | None = None) -> None:
        """End the thread after what is in flight, or leave it behind."""
        self._launched.put(None)
        self._thread.join(timeout_s)

    def _run(self) -> None:
        for flight, uploaded in iter(self._launched.get, None):
            try:
                flight.decisions.set_result(self._compute(flight.slots, uploaded))
            except BaseException as error:  # noqa: BLE001 (`conclude` raises or answers it)
                flight.decisions.set_exception(error)
            del flight, uploaded  # or the last batch would be held until the next

    def _compute(self, slots: tuple[FilledSlot, ...], uploaded: Uploaded) -> list[Decision]:
        with torch.inference_mode(), self._seam.computing(uploaded):
            return self._bench.inspect(slots, uploaded.rgb, uploaded.xyz)


def overlapped_turn(parts: LoopParts, flight: Flight | None) -> Flight | None:
    """Launch the next batch, if there is one, then conclude `flight`. Returns what is now in flight."""
    batch = parts.batcher.next(timeout_s=0.0 if flight else IDLE_S, step_ns=parts.step_ns)
    launched = launch(parts, batch)
    if flight is not None:
        conclude(parts, flight)
    return launched


def serial_turn(parts: LoopParts, flight: Flight | None = None) -> None:
    """The twin: launch a batch and conclude it before the next is looked at."""
    if flight is not None:
        conclude(parts, flight)
    launched = launch(parts, parts.batcher.next(timeout_s=IDLE_S, step_ns=parts.step_ns))
    if launched is not None:
        conclude(parts, launched)


def launch(parts: LoopParts, batch: Batch | None) -> Flight | None:
    """Start a batch; frames past their deadline get their FAULT and their slot back at once."""
    if batch is None:
        return None
    for slot in batch.hopeless:
        detail = "its deadline passed while it waited in the ring"
        parts.close(Closed(slot.trigger.key, fault(Reason.DEADLINE, detail, model_sha=slot.model.sha)))
        parts.ring.release(slot.index)
    if not batch.slots:
        return None
    return parts.lane.launch(batch.slots, parts.clock.monotonic_ns())


def conclude(parts: LoopParts, flight: Flight) -> None:
    """Wait for a batch (the only place that waits), pass its decisions on and give its slots back.

    A failed computation is a FAULT for each of its parts and the loop goes on; a lost device raises
    LostDeviceError after the FAULTs, so that the process ends and the supervisor restarts it. Raises
    AbandonedError where `parts.abandon` says so before the computation ends.
    """
    failure = wait(flight, parts.abandon)
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
    took_ns = parts.clock.monotonic_ns() - flight.launched_ns
    parts.step_ns += int(STEP_SMOOTHING * (took_ns - parts.step_ns))
    parts.turns += 1
    if failure is not None and is_device_loss(failure):
        raise LostDeviceError(f"the device failed: {failure}") from failure


def wait(flight: Flight, abandon: Callable[[], bool]) -> BaseException | None:
    """What a computation failed with, None where it did not, once it has ended. Raises AbandonedError."""
    while True:
        try:
            return flight.decisions.exception(timeout=ABANDON_TICK_S)
        except TimeoutError:
            if abandon():
                raise AbandonedError from None


def is_device_loss(error: BaseException) -> bool:
    """Whether an error leaves the CUDA context unusable (memory running out does not)."""
    if isinstance(error, torch.OutOfMemoryError):
        return False
    accelerator_error = getattr(torch, "AcceleratorError", ())
    return isinstance(error, accelerator_error) or (
        isinstance(error, RuntimeError) and "CUDA error" in str(error)
    )
