"""Batch timing: how long a batch takes at present, and when one that is launched now would be decided.

Everything is measured, nothing is configured. The median of the newest batches of a size stands for that size, so
that one slow batch does not make every waiting frame look hopeless. A size that has not been seen lately is judged
in proportion to the nearest one. Before the first batch every deadline looks possible. The warm-up's measurement is
reported as the cost of a part, but no frame is given up because of it.
"""

from collections import deque
from collections.abc import Mapping
from statistics import median_low
from typing import Final

REMEMBERED: Final = 32
"""How many of the newest batches count; a size that is not among them is tried again."""


class BatchTiming:
    """Durations of the newest batches. Only the loop's thread writes; any thread may read.

    Reading needs no lock, because what is read is replaced and never changed.
    """

    def __init__(self) -> None:
        self._newest: deque[tuple[int, int]] = deque(maxlen=REMEMBERED)  # parts, nanoseconds
        self._batch_ns: Mapping[int, int] = {}
        self._warm_part_ns: int | None = None
        self._in_flight: tuple[tuple[int, int], ...] = ()  # parts, launched; oldest first
        self._concluded_ns = 0

    @property
    def idle(self) -> bool:
        """Whether nothing is being computed."""
        return not self._in_flight

    def launched(self, parts: int, now_ns: int) -> None:
        """Note that a batch was handed to the device, which computes in order."""
        self._in_flight = (*self._in_flight, (parts, now_ns))

    def concluded(self, now_ns: int) -> None:
        """Note that the oldest batch in flight was decided."""
        (parts, launched_ns), *rest = self._in_flight
        self._newest.append((parts, now_ns - max(launched_ns, self._concluded_ns)))
        self._batch_ns = {
            size: median_low([took_ns for n, took_ns in self._newest if n == size])
            for size in {n for n, _ in self._newest}
        }
        self._in_flight, self._concluded_ns = tuple(rest), now_ns

    def warmed(self, part_ns: int) -> None:
        """Note what a made-up part cost in the most efficient batch size."""
        self._warm_part_ns = part_ns

    @property
    def part_ns(self) -> int | None:
        """Cost of a part in the most efficient batch size; None if nothing has been computed yet."""
        known = self._batch_ns
        return min((took_ns // size for size, took_ns in known.items()), default=self._warm_part_ns)

    def batch_ns(self, parts: int) -> int:
        """Duration of a batch of so many parts; 0 if nothing is known."""
        known = self._batch_ns
        if not known:
            return 0
        nearest = min(known, key=lambda size: (abs(size - parts), size))
        return known[nearest] * parts // nearest

    def done_ns(self, parts: int, now_ns: int) -> int:
        """Return when a batch of so many parts, launched at `now_ns` behind what is in flight, would be decided."""
        free_ns, started_ns = now_ns, self._concluded_ns
        for ahead, launched_ns in self._in_flight:
            started_ns = max(started_ns, launched_ns) + self.batch_ns(ahead)
            free_ns = max(now_ns, started_ns)
        return free_ns + self.batch_ns(parts)
