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
        self._began_s = clock()
        self._last_line_s = 0.0
        self._last_s: dict[str, float] = {}
        self._seen: dict[str, tuple[int, int]] = {}
        self._stage = ""

    def __call__(self, stage: str, done: int, total: int) -> None:
        """Print a line if one is due for the stage. Two stages may run side by side; one that starts again is new."""
        with self._lock:
            began = done < self._seen.get(stage, (done + 1, 0))[0]
            self._stage, self._seen[stage] = stage, (done, total)
            if began or done >= total or self._clock() >= self._last_s[stage] + EVERY_S:
                self._print(stage)

    def repeat(self) -> None:
        """Print the last state again if no stage has printed a line for 10 s."""
        with self._lock:
            if self._stage and self._clock() >= self._last_line_s + EVERY_S:
                self._print(self._stage)

    def _print(self, stage: str) -> None:
        self._last_line_s = self._last_s[stage] = self._clock()
        done, total = self._seen[stage]
        passed_s = self._last_line_s - self._began_s
        self._write(f"{self._titles[stage]}: {done} of {total} ({passed_s:.0f} s)")


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
