"""Progress of long work as lines of a log, for output that is not a terminal."""

import time
from collections.abc import Callable, Mapping
from typing import Final

EVERY_S: Final = 10.0
"""A stage prints a line at most so often; its end is always printed."""


class ProgressLines:
    """The callback for reports (`ReportProgress`): a line at the start and end of a stage and every 10 s between."""

    def __init__(
        self,
        titles: Mapping[str, str],
        write: Callable[[str], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._titles, self._write, self._clock = titles, write, clock
        self._last_s: dict[str, float] = {}
        self._done: dict[str, int] = {}

    def __call__(self, stage: str, done: int, total: int) -> None:
        """Print a line if one is due for the stage. Two stages may run side by side; one that starts again is new."""
        now_s = self._clock()
        began = done < self._done.get(stage, done + 1)
        self._done[stage] = done
        if not began and done < total and now_s < self._last_s[stage] + EVERY_S:
            return
        self._last_s[stage] = now_s
        self._write(f"{self._titles[stage]}: {done} of {total}")
