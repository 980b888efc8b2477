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
        self._stage, self._last_s = "", 0.0

    def __call__(self, stage: str, done: int, total: int) -> None:
        """Print a line if one is due."""
        now_s = self._clock()
        if stage == self._stage and done < total and now_s < self._last_s + EVERY_S:
            return
        self._stage, self._last_s = stage, now_s
        self._write(f"{self._titles[stage]}: {done} of {total}")
