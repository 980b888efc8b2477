"""Limits how many log lines of one kind and source are written, and counts those that are not.

The first lines of a kind and source in a window are written, the rest are counted. The count is written with the next
line of that kind and source, or as a line of its own (`lines_suppressed`) once the window is over.
"""

import threading
import time
from collections import Counter
from collections.abc import Callable, Hashable, Mapping, MutableMapping
from typing import Any, Final, cast

import structlog

WINDOW_S: Final = 10.0
LINES: Final = 20
"""Lines of one kind and source in a window."""

VERDICT_LINES: Final = 1000
"""Lines about verdicts of one kind and camera in a window: 100 parts a second are all written."""

FAULT_LINES: Final = 100

SUPPRESSED: Final = "lines_suppressed"

SOURCE: Final = ("camera", "endpoint", "socket", "verdict", "reason")
"""Keys of a line that say where it comes from. Their values are few, whatever is received."""


class LineLimit:
    """Tells whether another line with a key may be written. Any thread may call it.

    At most `most` keys have lines in a window; 0 means any number.
    """

    def __init__(
        self, *, window_s: float = WINDOW_S, most: int = 0, clock_s: Callable[[], float] = time.monotonic
    ) -> None:
        self._window_s = window_s
        self._most = most
        self._clock_s = clock_s
        self._lock = threading.Lock()
        self._ends_s = 0.0
        self._written: Counter[Hashable] = Counter()
        self._suppressed: Counter[Hashable] = Counter()

    def has_room(self, key: Hashable, lines: int) -> bool:
        """Return True if fewer than `lines` lines were written in this window, and count the line."""
        with self._lock:
            now_s = self._clock_s()
            if now_s >= self._ends_s:
                self._ends_s = now_s + self._window_s
                self._written.clear()
            is_full = self._most and key not in self._written and len(self._written) >= self._most
            if is_full or self._written[key] >= lines:
                self._suppressed[key] += 1
                return False
            self._written[key] += 1
            return True

    def take_suppressed(self, key: Hashable) -> int:
        """Return how many lines with the key were not written since the last call."""
        with self._lock:
            return self._suppressed.pop(key, 0)

    def take_all(self, *, now: bool = False) -> dict[Hashable, int]:
        """Return the counts of all keys if the window is over, or `now`."""
        with self._lock:
            if not self._suppressed or not (now or self._clock_s() >= self._ends_s):
                return {}
            counts, self._suppressed = dict(self._suppressed), Counter()
            return counts


class LimitLines:
    """A structlog processor that drops lines above the limits; lines of all loggers pass through one object."""

    def __init__(self, *, clock_s: Callable[[], float] = time.monotonic) -> None:
        self._limit = LineLimit(clock_s=clock_s)

    def __call__(
        self, _logger: Any, _method: str, line: MutableMapping[str, Any]
    ) -> Mapping[str, Any] | str | bytes | bytearray | tuple[Any, ...]:
        """Return the line, with `suppressed` if others like it were dropped; raise DropEvent to drop it."""
        if line["event"] == SUPPRESSED:
            return line
        self.report()
        key = (line["event"], *((name, line[name]) for name in SOURCE if line.get(name)))
        if not self._limit.has_room(key, lines_of(line)):
            raise structlog.DropEvent
        if suppressed := self._limit.take_suppressed(key):
            line["suppressed"] = suppressed
        return line

    def report(self, *, now: bool = False) -> None:
        """Write what was suppressed in a window that is over; `now`: also in this one, at the end of the process."""
        for key, count in self._limit.take_all(now=now).items():
            event, *source = cast("tuple[Any, ...]", key)
            structlog.get_logger("log").warning(SUPPRESSED, of=event, **dict(source), lines=count)


def lines_of(line: Mapping[str, Any]) -> int:
    """Return how many lines of this kind and source a window may have."""
    if line["event"] != "verdict":
        return LINES
    return FAULT_LINES if line.get("verdict") == "FAULT" else VERDICT_LINES
