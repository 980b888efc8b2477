"""Progress of long work as lines of a log, for output that is not a terminal."""

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Final

EVERY_S: Final = 10.0
"""Between the lines of a stage lies this time; its beginning and its end are always printed."""

_TICK_S: Final = 0.5


class ProgressLines:
    """The callback for reports (`ReportProgress`): a line at the start and end of a stage and every 10 s between.

    A stage may also report nothing for a while: `repeat` prints its last state again when a line is due. Both may be
    called from different threads.
    """

    def __init__(
        self,
        titles: Mapping[str, str],
        write: Callable[[str], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._titles, self._write, self._clock = titles, write, clock
        self._lock = threading.Lock()
        self._stage, self._done, self._total = "", 0, 0
        self._began_s = self._last_s = clock()

    def __call__(self, stage: str, done: int, total: int) -> None:
        """Print a line if one is due."""
        with self._lock:
            begins = stage != self._stage
            self._stage, self._done, self._total = stage, done, total
            if begins or done >= total or self._due():
                self._print()

    def repeat(self) -> None:
        """Print the last state again if a line is due."""
        with self._lock:
            if self._stage and self._due():
                self._print()

    def _due(self) -> bool:
        return self._clock() >= self._last_s + EVERY_S

    def _print(self) -> None:
        self._last_s = self._clock()
        passed_s = self._last_s - self._began_s
        self._write(f"{self._titles[self._stage]}: {self._done} of {self._total} ({passed_s:.0f} s)")


@contextmanager
def printed_regularly(lines: ProgressLines) -> Iterator[None]:
    """Let a thread of its own call `repeat` as long as the context lasts."""
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(_TICK_S):
            lines.repeat()

    thread = threading.Thread(target=watch, name="progress", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
