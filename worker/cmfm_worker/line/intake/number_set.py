"""A set of sequence numbers in little memory: a stream without jumps is one range, however long it runs."""

from bisect import bisect_right
from typing import Final

MAX_RANGES: Final = 1024
"""Ranges kept. Beyond it the two lowest become one, with the numbers between them."""


class NumberSet:
    """Numbers that have been used. They are only added."""

    def __init__(self) -> None:
        self._starts: list[int] = []
        self._stops: list[int] = []  # the first number after each range

    def __contains__(self, number: int) -> bool:
        at = bisect_right(self._starts, number) - 1
        return at >= 0 and number < self._stops[at]

    def __bool__(self) -> bool:
        return bool(self._starts)

    @property
    def stop(self) -> int:
        """The first number after all numbers of the set, 0 if it has none."""
        return self._stops[-1] if self._stops else 0

    def add(self, number: int) -> None:
        """Add one number."""
        self.add_range(number, number + 1)

    def add_range(self, start: int, stop: int) -> None:
        """Add the numbers from `start` to before `stop`, and join the ranges that touch."""
        if start >= stop:
            return
        first = bisect_right(self._starts, start) - 1
        if first < 0 or self._stops[first] < start:
            first += 1
        last = first
        while last < len(self._starts) and self._starts[last] <= stop:
            start, stop = min(start, self._starts[last]), max(stop, self._stops[last])
            last += 1
        self._starts[first:last], self._stops[first:last] = [start], [stop]
        if len(self._starts) > MAX_RANGES:
            del self._starts[1], self._stops[0]

    def next_free(self, number: int) -> int:
        """Return the lowest number from `number` on that is not in the set."""
        at = bisect_right(self._starts, number) - 1
        return self._stops[at] if at >= 0 and number < self._stops[at] else number
