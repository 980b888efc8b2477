"""Levels of an input become rising edges. Pure.

A level counts once it has been the same for `stable_ns`. The edge has the time of the first sample of its level. What
is known survives an outage of the input: a level that is on after it, and was off before, is one edge.
"""


class Debounce:
    """Takes samples in order; `take` returns the time of a rising edge once it is certain."""

    def __init__(self, stable_ns: int) -> None:
        self._stable_ns = stable_ns
        self._level: bool | None = None
        self._candidate: bool | None = None
        self._since_ns = 0

    def take(self, level: bool, time_ns: int) -> int | None:
        """Take a sample. A level that is on at the very first is no edge: the part was there before."""
        if level != self._candidate:
            self._candidate, self._since_ns = level, time_ns
        if level == self._level or time_ns - self._since_ns < self._stable_ns:
            return None
        before, self._level = self._level, level
        return self._since_ns if level and before is False else None
