"""The inspection loop: launch batch n, then conclude batch n-1, and hand what is in flight to the next turn.

In-flight work is a value: `flight = overlapped_turn(parts, flight)`. Only `conclude` waits for a computation.
`serial_turn` is the twin without overlap; tests hold both to the same decisions.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
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

STEP_SMOOTHING: Final = 0.2
"""Weight of the newest batch in the running mean of a batch's duration."""


class Bench(Protocol):
    """What inspects: prepare, extract, map, aggregate, decide (see inspection.py)."""

    def inspect(
        self, slots: Sequence[FilledSlot], rgb: Sequence[torch.Tensor], xyz: Sequence[torch.Tensor]
    ) -> list[Decision]:
        """One decision a slot, in order. `rgb` and `xyz` lie on the device."""
        ...


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


class Lane:
    """One device and the thread that computes on it."""

    def __init__(self, seam: DeviceSeam, bench: Bench) -> None:
        self._seam = seam
        self._bench = bench
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="compute")

    def launch(self, slots: tuple[FilledSlot, ...], now_ns: int) -> Flight:
        """Begin copying and computing; returns at once."""
        uploaded = self._seam.upload([slot.rgb for slot in slots], [slot.xyz for slot in slots])
        return Flight(slots, self._thread.submit(self._compute, slots, uploaded), now_ns)

    def close(self) -> None:
        """End the thread after what is in flight."""
        self._thread.shutdown(wait=True)

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
    LostDeviceError after the FAULTs, so that the process ends and the supervisor restarts it.
    """
    failure = flight.decisions.exception()
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


def is_device_loss(error: BaseException) -> bool:
    """Whether an error leaves the CUDA context unusable (memory running out does not)."""
    if isinstance(error, torch.OutOfMemoryError):
        return False
    accelerator_error = getattr(torch, "AcceleratorError", ())
    return isinstance(error, accelerator_error) or (
        isinstance(error, RuntimeError) and "CUDA error" in str(error)
    )
