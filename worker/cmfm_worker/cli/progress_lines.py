"""Progress of long work as lines of a log, for output that is not a terminal."""

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Final

EVERY_S: Final = 10.0
"""Between the lines of a stage lies this time; its end is always printed."""

FIRST_S: Final = 2.0
"""A stage that has done nothing yet is silent for so long: an error at once is then the only line."""

_TICK_S: Final = 0.5


class ProgressLines:
    """The callback for reports (`ReportProgress`): a line at the start and end of a stage and every 10 s between.

    A stage that reports 0 begins after `FIRST_S`, if it still lasts then. A stage may also report nothing for a while:
    `repeat` prints its last state when a line is due. Both may be called from different threads.
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
        self._stage, self._any_due_s = "", 0.0
        self._due_s: dict[str, float] = {}
        self._seen: dict[str, tuple[int, int]] = {}

    def __call__(self, stage: str, done: int, total: int) -> None:
        """Print a line if one is due for the stage. Two stages may run side by side; one that starts again is new.

        A stage without a title is not shown.
        """
        if stage not in self._titles:
            return
        with self._lock:
            now_s = self._clock()
            began = done < self._seen.get(stage, (done + 1, 0))[0]
            self._stage, self._seen[stage] = stage, (done, total)
            if began and done == 0 < total:
                self._due_s[stage] = self._any_due_s = now_s + FIRST_S
            elif began or done >= total or now_s >= self._due_s[stage]:
                self._print(stage, now_s)

    def repeat(self) -> None:
        """Print the last state if no stage has printed a line for 10 s, or a stage began 2 s ago."""
        with self._lock:
            now_s = self._clock()
            if self._stage and now_s >= self._any_due_s:
                self._print(self._stage, now_s)

    def _print(self, stage: str, now_s: float) -> None:
        self._any_due_s = self._due_s[stage] = now_s + EVERY_S
        done, total = self._seen[stage]
        self._write(f"{self._titles[stage]}: {done} of {total} ({now_s - self._began_s:.0f} s)")


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
