"""A counter of parts that a PLC keeps, read again and again: no part is lost between two readings. Pure.

The counter rolls over at its width. A step of more than `most` is no number of parts, but another count: the PLC was
started anew, or replaced. Then nothing is announced, and counting goes on from what it says.
"""

from dataclasses import dataclass


@dataclass(slots=True)
class Counter:
    """`last` is the newest reading, None before the first; `jumps` counts readings that were another count."""

    bits: int
    most: int
    last: int | None = None
    jumps: int = 0

    def take(self, reading: int) -> int:
        """Return how many parts have come since the last reading; 0 at the first."""
        before, self.last = self.last, reading
        if before is None:
            return 0
        step = (reading - before) % (1 << self.bits)
        if step > self.most:
            self.jumps += 1
            return 0
        return step
