"""Groups waiting frames into batches; drops frames that cannot meet their deadline.

A batch has at most `max_batch` frames and waits at most `max_wait_ms` for more, never past a deadline.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from cmfm_protocol.clock import NS_PER_S, Clock
from cmfm_worker.line.compute.batch_timing import BatchTiming
from cmfm_worker.line.intake.ring import FilledSlot, Ring


@dataclass(frozen=True, slots=True)
class BatchLimits:
    """The largest batch, and how long a frame may wait for others."""

    max_batch: int
    max_wait_ns: int


@dataclass(frozen=True, slots=True)
class Batch:
    """Frames to inspect together (`slots`), and frames that cannot be decided by their deadline (`shed`)."""

    slots: tuple[FilledSlot, ...]
    shed: tuple[FilledSlot, ...] = ()


class Batcher:
    """Takes waiting frames from the ring. Only the loop's thread calls it; it tells `timing` what batches take."""

    def __init__(
        self, ring: Ring, limits: BatchLimits, clock: Clock, timing: BatchTiming | None = None
    ) -> None:
        self._ring = ring
        self._limits = limits
        self._clock = clock
        self.timing = timing or BatchTiming()

    def next(self, *, timeout_s: float) -> Batch | None:
        """Return the next batch, or None if no frame comes within `timeout_s`.

        A batch grows only as long as every frame in it meets its deadline, and waits for more frames only as long.
        Frames that are too late by the present timing are shed, oldest first. If nothing else is being computed,
        one of them is tried all the same, because the timing may be out of date.
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
        if not chosen and self.timing.idle:
            chosen = self._attempt(shed)
        return Batch(tuple(chosen), tuple(shed))

    def _in_time(self, slots: Sequence[FilledSlot]) -> bool:
        """Whether a batch of these slots, launched now, would be decided before the first of their deadlines."""
        done_ns = self.timing.done_ns(len(slots), self._clock.monotonic_ns())
        return done_ns < min(slot.trigger.deadline_ns for slot in slots)

    def _patience_s(self, chosen: Sequence[FilledSlot], until_ns: int) -> float:
        """How long to wait for one more frame."""
        if not chosen:
            return 0.0
        latest_ns = min(slot.trigger.deadline_ns for slot in chosen) - self.timing.batch_ns(len(chosen) + 1)
        return max(min(until_ns, latest_ns) - self._clock.monotonic_ns(), 0) / NS_PER_S

    def _attempt(self, shed: list[FilledSlot]) -> list[FilledSlot]:
        """Take the frame with the most time left out of `shed`; none if all deadlines have passed."""
        best = max(shed, key=lambda slot: slot.trigger.deadline_ns)
        if best.trigger.deadline_ns <= self._clock.monotonic_ns():
            return []
        shed.remove(best)
        return [best]
