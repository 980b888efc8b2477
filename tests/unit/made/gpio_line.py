"""A GPIO chip with one line that a test pulses, by the documented interface of the package gpiod 2.

No kernel of the build machines has gpio-sim, so this stands for it: events are the real package's gpiod.EdgeEvent, and
so are the settings. It loses events as the kernel does, when nobody reads them.
"""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import gpiod
import gpiod.line


class FakeChips:
    """Stands for the module gpiod. `present`: the chip is there. `buffer` is what was asked for."""

    LineSettings = gpiod.LineSettings
    line = gpiod.line

    def __init__(self) -> None:
        self.present = True
        self.requests: list[FakeRequest] = []
        self.asked: dict[str, Any] = {}

    def request_lines(
        self, path: str, config: dict[Any, Any], consumer: str, event_buffer_size: int
    ) -> FakeRequest:
        if not self.present:
            raise FileNotFoundError(2, "No such file or directory", path)
        ((line, settings),) = config.items()
        self.asked = {"path": path, "line": line, "settings": settings, "consumer": consumer}
        request = FakeRequest(self, event_buffer_size)
        self.requests.append(request)
        return request


class FakeRequest:
    """A requested line."""

    def __init__(self, chips: FakeChips, size: int) -> None:
        self._chips, self._size = chips, size
        self._events: queue.Queue[gpiod.EdgeEvent] = queue.Queue()
        self._number = 0
        self._lock = threading.Lock()
        self.released = False

    @contextlib.contextmanager
    def unread(self) -> Iterator[None]:
        """Let nobody read while the context lasts."""
        with self._lock:
            yield

    def pulse(self) -> int:
        """A rising edge now; returns CLOCK_MONOTONIC. The kernel drops it if its buffer is full, and numbers it."""
        self._number += 1
        time_ns = time.monotonic_ns()
        if self._events.qsize() < self._size:
            kind = gpiod.EdgeEvent.Type.RISING_EDGE.value
            self._events.put(gpiod.EdgeEvent(kind, time_ns, 0, self._number, self._number))
        return time_ns

    def wait_edge_events(self, timeout: timedelta) -> bool:
        until_s = time.monotonic() + timeout.total_seconds()
        while self._lock.locked() or self._events.empty():
            self._require_present()
            if time.monotonic() >= until_s:
                return False
            time.sleep(0.002)
        return True

    def read_edge_events(self) -> list[gpiod.EdgeEvent]:
        self._require_present()
        with self._lock:
            return [self._events.get() for _ in range(self._events.qsize())]

    def release(self) -> None:
        self.released = True

    def _require_present(self) -> None:
        if not self._chips.present:
            raise OSError(19, "No such device")
