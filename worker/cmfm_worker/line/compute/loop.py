"""The inspection loop: launch batch n, then conclude batch n-1, and hand what is in flight to the next turn.

Work in flight is a value: `flight = overlapped_turn(context, flight)`. `serial_turn` is the twin without
overlap; tests hold both to the same decisions.

Where this program waits for a computation:

- Once the line is ready, the loop's thread waits in `wait` alone, for the `Future` of a flight: at most
  `hang_limit_s`, and no longer than `abandon` allows. It never calls the device, not even to copy,
  so a device that hangs cannot hang it.
- On CUDA, two threads of the lane wait for the device as well. "compute" issues work without waiting, except
  for the few counts that decide what to issue next (`ReadBack.wait` in cfm/fast/read_back.py: an event behind
  the counts' copy). "decide" waits in the same way for a batch's results (`LineInspector.begin`).
- `classic`, convolutional mappings and batches that mix recipes also wait in "compute" for places in their masks.
  Recipes warm up in the thread that loads them.
- On a CPU the computation itself runs in "compute", and nothing else waits.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

import structlog
import torch

from cmfm_protocol.clock import NS_PER_S, Clock
from cmfm_protocol.wire.verdict import Reason
from cmfm_worker.errors import HungDeviceError, LostDeviceError
from cmfm_worker.line.compute.batcher import Batch, Batcher
from cmfm_worker.line.compute.lane import Flight, Lane
from cmfm_worker.line.health.liveness import CompletedTurns
from cmfm_worker.line.intake.ring import Ring, as_shed
from cmfm_worker.line.messages import Closed, fault

IDLE_S: Final = 0.1
"""How long a turn waits for a frame when nothing is in flight: a stop is noticed within it."""

ABANDON_TICK_S: Final = 0.1
"""How often a turn that waits for a computation asks whether to abandon it."""


class AbandonedError(Exception):
    """A computation was not waited for any longer; its parts still have no verdict."""


@dataclass(slots=True)
class LoopContext:
    """The objects that a turn of the loop works with."""

    ring: Ring
    batcher: Batcher
    lane: Lane
    close: Callable[[Closed], None]
    clock: Clock
    turns: CompletedTurns = field(default_factory=CompletedTurns)  # idle turns count too; probes read it
    abandon: Callable[[], bool] = lambda: False  # asked while a computation is waited for
    hang_limit_s: float = math.inf  # a computation that takes longer counts as hung


def overlapped_turn(context: LoopContext, flight: Flight | None) -> Flight | None:
    """Launch the next batch, if there is one, then conclude `flight`. Returns what is now in flight."""
    batch = context.batcher.next(timeout_s=0.0 if flight else IDLE_S)
    launched = launch(context, batch)
    if flight is not None:
        conclude(context, flight)
    context.turns.complete(context.clock.monotonic_ns())
    return launched


def serial_turn(context: LoopContext, flight: Flight | None = None) -> None:
    """Launch a batch and conclude it before the next one: the twin of `overlapped_turn`."""
    if flight is not None:
        conclude(context, flight)
    launched = launch(context, context.batcher.next(timeout_s=IDLE_S))
    if launched is not None:
        conclude(context, launched)
    context.turns.complete(context.clock.monotonic_ns())


def launch(context: LoopContext, batch: Batch | None) -> Flight | None:
    """Start a batch. Frames that were shed get their FAULT, and their slots are free, at once."""
    if batch is None:
        return None
    for slot in batch.shed:
        context.close(as_shed(slot))
        context.ring.release(slot.index)
    if not batch.slots:
        return None
    context.batcher.timing.launched(len(batch.slots), context.clock.monotonic_ns())
    return context.lane.launch(batch.slots)


def conclude(context: LoopContext, flight: Flight) -> None:
    """Wait for a batch, pass its decisions on and give its slots back.

    If the computation failed, each of its parts becomes a FAULT and the loop goes on. If the device is lost,
    LostDeviceError follows the FAULTs, so that the process ends and its supervisor restarts it. Raises
    AbandonedError and HungDeviceError as `wait` does.
    """
    failure = wait(context, flight)
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
        context.close(Closed(slot.trigger.key, decision))
        context.ring.release(slot.index)
    context.batcher.timing.concluded(context.clock.monotonic_ns())
    if failure is not None and is_device_loss(failure):
        raise LostDeviceError(f"the device failed: {failure}") from failure


def wait(context: LoopContext, flight: Flight) -> BaseException | None:
    """Wait until a computation ends; returns the exception that it failed with, or None.

    Raises AbandonedError if `context.abandon` says so first, and HungDeviceError after `context.hang_limit_s`.
    Every earlier flight has been concluded, so the device has had all that time for this one. A tick counts as
    two at most: if the process was stopped (SIGSTOP, a paused virtual machine), the device has not had the time
    that the clock shows.
    """
    waited_s, then_ns = 0.0, context.clock.monotonic_ns()
    while True:
        try:
            return flight.decisions.exception(timeout=ABANDON_TICK_S)
        except TimeoutError:
            if context.abandon():
                raise AbandonedError from None
        now_ns = context.clock.monotonic_ns()
        waited_s += min((now_ns - then_ns) / NS_PER_S, 2 * ABANDON_TICK_S)
        then_ns = now_ns
        if waited_s >= context.hang_limit_s:
            raise HungDeviceError(
                f"the device hangs: a computation on {len(flight.slots)} parts has not come back "
                f"within {context.hang_limit_s:g} s"
            )


def is_device_loss(error: BaseException) -> bool:
    """Whether an error leaves the CUDA context unusable (running out of memory does not)."""
    if isinstance(error, torch.OutOfMemoryError):
        return False
    accelerator_error = getattr(torch, "AcceleratorError", ())
    return isinstance(error, accelerator_error) or (
        isinstance(error, RuntimeError) and "CUDA error" in str(error)
    )
