"""The belt: each row's place by the encoder. Pure.

1. The count is unwrapped: a step is the shorter way round the counter's range, so a roll-over is an ordinary step.
2. Only rows beyond the farthest place so far are new. A belt that stands gives the same place again, and one that runs
   back gives places that are known: such rows are dropped, until the belt is past the farthest place again.
3. Between two new rows lie `row_counts` counts. A larger step is a gap: rows that the device numbered are lost on the
   way, rows that it did not measure mean that the belt is too fast for it.
4. A step back, or a gap, of more than `most_counts` is no motion but a new count (a reset): the belt starts anew.
"""

from dataclasses import dataclass
from typing import Final, NamedTuple

NEARLY: Final = 1.5
"""Row spacings up to which a step counts as one row."""


@dataclass(slots=True)
class BeltCounts:
    """Rows that made no part of a frame, and why."""

    lost: int = 0
    too_fast: int = 0
    standing: int = 0
    reversed: int = 0
    restarted: int = 0


class Placed(NamedTuple):
    """A new row: its place in counts from the start, rising. `restarted`: nothing before it belongs to it."""

    counts: int
    restarted: bool


class Belt:
    """Places rows. `bits`: width of the encoder's counter. `direction`: 1, or −1 if it counts down along the belt."""

    def __init__(self, *, bits: int, direction: int, row_counts: int, most_counts: int) -> None:
        self.counts = BeltCounts()
        self._range = 1 << bits
        self._direction, self._row_counts, self._most_counts = direction, row_counts, most_counts
        self._last: int | None = None
        self._place = 0
        self._farthest = 0
        self._last_id: int | None = None

    @property
    def is_at_front(self) -> bool:
        """Tell whether the newest row is at the farthest place so far: the belt runs forward, or stands there."""
        return self._place >= self._farthest

    def place(self, encoder: int, row_id: int | None) -> Placed | None:
        """Return the place of a row, or None if it is not new."""
        if self._last is None:
            return self._start(encoder, row_id)
        step = (encoder - self._last + self._range // 2) % self._range - self._range // 2
        self._last = encoder
        self._place += step * self._direction
        ids = self._new_ids(row_id)
        ahead = self._place - self._farthest
        if abs(ahead) > self._most_counts:
            self.counts.restarted += 1
            return self._start(encoder, row_id)
        if ahead <= 0:
            self.counts.standing += ahead == 0
            self.counts.reversed += ahead < 0
            return None
        self._count_gap(ahead, ids)
        self._farthest = self._place
        return Placed(self._place, restarted=False)

    def _start(self, encoder: int, row_id: int | None) -> Placed:
        self._last, self._last_id = encoder, row_id
        self._farthest = self._place
        return Placed(self._place, restarted=True)

    def _new_ids(self, row_id: int | None) -> int:
        """How many rows the device says lie between this one and the one before, this one included."""
        before, self._last_id = self._last_id, row_id
        return 1 if before is None or row_id is None else max(row_id - before, 1)

    def _count_gap(self, ahead: int, ids: int) -> None:
        if ahead <= NEARLY * self._row_counts:
            return
        missing = round(ahead / self._row_counts) - 1
        lost = min(ids - 1, missing)
        self.counts.lost += lost
        self.counts.too_fast += missing - lost
