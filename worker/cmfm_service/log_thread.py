"""Writes log lines to stderr in a thread of their own: no verdict waits for the log's reader or its disk."""

import contextlib
import os
import queue
import sys
import threading
from collections.abc import Callable
from typing import Final

MAX_PENDING_LINES: Final = 10_000
"""Lines that may wait for a slow reader, about 2 MB; further lines are dropped and counted."""


IDLE_S: Final = 1.0
"""Without a line for this long the thread reports what it was given to report."""


class LogThread:
    """A text stream for `structlog.WriteLogger`: `write` never blocks and never raises.

    A reader that stalls, a closed pipe and a full disk cost lines of the log and nothing else.
    """

    def __init__(self, descriptor: int | None = None) -> None:
        self._descriptor = sys.stderr.fileno() if descriptor is None else descriptor
        self._lines: queue.Queue[str | None] = queue.Queue(MAX_PENDING_LINES)
        self._dropped = 0
        self._idle: Callable[[], None] = lambda: None
        self._thread = threading.Thread(target=self._run, name="log", daemon=True)
        self._thread.start()

    def write(self, line: str) -> None:
        """Queue a line; drop it if the queue is full."""
        try:
            self._lines.put_nowait(line)
        except queue.Full:
            self._dropped += 1

    def when_idle(self, report: Callable[[], None]) -> None:
        """Call `report` in the thread whenever no line came for `IDLE_S`; it may write lines."""
        self._idle = report

    def flush(self) -> None:
        """Do nothing: the thread writes as soon as it can."""

    def close(self, *, timeout_s: float) -> None:
        """Write pending lines and end the thread; if the reader stalls, leave the thread behind."""
        with contextlib.suppress(queue.Full):
            self._lines.put(None, timeout=timeout_s)
        self._thread.join(timeout_s)

    def _run(self) -> None:
        for line in iter(self._next, None):
            self._write(line)
            dropped, self._dropped = self._dropped, 0
            if dropped:
                self._write(f"({dropped} lines of the log were dropped: its reader is too slow)\n")

    def _next(self) -> str | None:
        while True:
            try:
                return self._lines.get(timeout=IDLE_S)
            except queue.Empty:
                self._idle()

    def _write(self, line: str) -> None:
        data = line.encode(errors="backslashreplace")
        with contextlib.suppress(OSError):
            while data:
                data = data[os.write(self._descriptor, data) :]
