"""Frames to batches: up to `max_batch`, at most `max_wait_ms`, never past a deadline."""

from dataclasses import dataclass

from cmfm_worker.clock import NS_PER_S, Clock
from cmfm_worker.ring import FilledSlot, Ring


@dataclass(frozen=True, slots=True)
class BatchLimits:
    """How long a frame may wait for company."""

    max_batch: int
    max_wait_ns: int


@dataclass(frozen=True, slots=True)
class Batch:
    """Frames to inspect together, and those whose deadline passed while they waited."""

    slots: tuple[FilledSlot, ...]
    hopeless: tuple[FilledSlot, ...] = ()


class Batcher:
    """Takes waiting frames from the ring. One thread (the loop) calls it."""

    def __init__(self, ring: Ring, limits: BatchLimits, clock: Clock) -> None:
        self._ring = ring
        self._limits = limits
        self._clock = clock

    def next(self, *, timeout_s: float, step_ns: int = 0) -> Batch | None:
        """The next batch, or None when no frame came within `timeout_s`.

        `step_ns` is what a batch takes at present: company is waited for only as long as every frame in hand
        can still meet its deadline after it.
        """
        first = self._ring.take(timeout_s=timeout_s)
        if first is None:
            return None
        slots = [first]
        until_ns = first.ready_ns + self._limits.max_wait_ns
        while len(slots) < self._limits.max_batch:
            until_ns = min(until_ns, slots[-1].trigger.deadline_ns - step_ns)
            remaining_s = max(until_ns - self._clock.monotonic_ns(), 0) / NS_PER_S
            slot = self._ring.take(timeout_s=remaining_s)
            if slot is None:
                break
            slots.append(slot)
        now_ns = self._clock.monotonic_ns()
        alive = tuple(slot for slot in slots if slot.trigger.deadline_ns > now_ns)
        late = tuple(slot for slot in slots if slot.trigger.deadline_ns <= now_ns)
        return Batch(alive, late)
