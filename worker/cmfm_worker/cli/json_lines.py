"""Progress and results of a command as JSON lines on stdout, one object a line, for the operator's page."""

import json
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

from cmfm_worker.cfm.progress import ReportProgress

EVERY_S: Final = 0.2
"""Least time between two lines of one stage; its beginning and end are always printed."""

_printing = threading.Lock()


def print_line(event: str, **values: Any) -> None:
    """Print one object with the key `event` and the values. Raises ValueError for a number that is not finite."""
    line = json.dumps({"event": event, **values}, ensure_ascii=False, allow_nan=False)
    with _printing:
        sys.stdout.write(f"{line}\n")
        sys.stdout.flush()


@contextmanager
def json_progress(titles: Mapping[str, str]) -> Iterator[ReportProgress]:
    """Yield a callback for reports that prints objects of event "progress": stage, title, done, total.

    Stages without a title are not printed. Any thread may call it.
    """
    printed: dict[str, float] = {}

    def report(stage: str, done: int, total: int) -> None:
        now_s = time.monotonic()
        if stage not in titles or (0 < done < total and now_s - printed.get(stage, 0.0) < EVERY_S):
            return
        printed[stage] = now_s
        print_line("progress", stage=stage, title=titles[stage], done=done, total=total)

    yield report
