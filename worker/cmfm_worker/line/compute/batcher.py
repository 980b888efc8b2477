"""Frames to batches: up to `max_batch`, at most `max_wait_ms`, never past a deadline, none without hope."""

from collections.abc import Sequence
from dataclasses import dataclass

from cmfm_worker.clock import NS_PER_S, Clock
from cmfm_worker.line.compute.batch_timing import BatchTiming
from cmfm_worker.line.intake.ring import FilledSlot, Ring


@dataclass(frozen=True, slots=True)
class BatchLimits:
    """How long a frame may wait for company."""

    max_batch: int
    max_wait_ns: int


@dataclass(frozen=True, slots=True)
class Batch:
    """Frames to inspect together, and those that can no longer be inspected by their deadline."""

    slots: tuple[FilledSlot, ...]
    shed: tuple[FilledSlot, ...] = ()


class Batcher:
    """Takes waiting frames from the ring. One thread (the loop) calls it, and tells `pace` what batches take."""

    def __init__(
        self, ring: Ring, limits: BatchLimits, clock: Clock, pace: BatchTiming | None = None
    ) -> None:
        self._ring = ring
        self._limits = limits
        self._clock = clock
        self.pace = pace or BatchTiming()

    def next(self, *, timeout_s: float) -> Batch | None:
        """The next batch, or None when no frame came within `timeout_s`.

        A batch is only as large as lets every frame in it meet its deadline, and company is waited for only as long.
        Frames for which it is too late by the present pace are shed, oldest first. One of them is tried all the same
        where nothing else is there to be computed: the pace may have changed since it was measured.
        """
        slot = self._ring.take(timeout_s=timeout_s)
        if slot is None:
            return None
        until_ns = slot.ready_ns + self._limits.max_wait_ns
        chosen: list[FilledSlot] = []
        shed: list[FilledSlot] = []
        while slot is not None:
            if not self._in_time([slot]):
                shed.append(slot)
            elif self._in_time([*chosen, slot]):
                chosen.append(slot)
            else:
                self._ring.put_back(slot)
                break
            if len(chosen) == self._limits.max_batch:
                break
            slot = self._ring.take(timeout_s=self._patience_s(chosen, until_ns))
        if not chosen and self.pace.idle:
            chosen = self._attempt(shed)
        return Batch(tuple(chosen), tuple(shed))

    def _in_time(self, slots: Sequence[FilledSlot]) -> bool:
        """Whether a batch of these, launched now, would be decided before the first of their deadlines."""
        done_ns = self.pace.done_ns(len(slots), self._clock.monotonic_ns())
        return done_ns < min(slot.trigger.deadline_ns for slot in slots)

    def _patience_s(self, chosen: Sequence[FilledSlot], until_ns: int) -> float:
        """How long one more frame may be waited for."""
        if not chosen:
            return 0.0
        latest_ns = min(slot.trigger.deadline_ns for slot in chosen) - self.pace.batch_ns(len(chosen) + 1)
        return max(min(until_ns, latest_ns) - self._clock.monotonic_ns(), 0) / NS_PER_S

    def _attempt(self, shed: list[FilledSlot]) -> list[FilledSlot]:
        """Take out of `shed` the frame that has the most time left, if it has any."""
        best = max(shed, key=lambda slot: slot.trigger.deadline_ns)
        if best.trigger.deadline_ns <= self._clock.monotonic_ns():
            return []
        shed.remove(best)
        return [best]
