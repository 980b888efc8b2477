"""Frames between librealsense's threads and the device's thread.

librealsense's own frame queue is not used: with a recording that waits for its reader it blocks while it holds
Python's global lock, and the reader then waits for ever.
"""

import threading
import time
from collections import deque
from typing import Any


class Inbox:
    """A callback for `sensor.start`.

    With `waits` a full inbox lets librealsense wait; else its oldest frame is dropped.
    """

    def __init__(self, size: int, *, waits: bool) -> None:
        self._frames: deque[Any] = deque()
        self._size, self._waits = size, waits
        self._changed = threading.Condition()
        self._is_closed = False

    def __call__(self, frame: Any) -> None:
        """Take a frame, in a thread of librealsense."""
        frame.keep()  # else librealsense may reuse its buffer while it waits here
        with self._changed:
            while self._waits and len(self._frames) >= self._size and not self._is_closed:
                self._changed.wait()
            if self._is_closed:
                return
            if len(self._frames) >= self._size:
                self._frames.popleft()
            self._frames.append(frame)
            self._changed.notify_all()

    def get(self, timeout_s: float) -> Any:
        """Return the oldest frame, or None if none came in time."""
        until_s = time.monotonic() + timeout_s
        with self._changed:
            while not self._frames:
                left_s = until_s - time.monotonic()
                if left_s <= 0:
                    return None
                self._changed.wait(left_s)
            frame = self._frames.popleft()
            self._changed.notify_all()
            return frame

    def close(self) -> None:
        """Drop what waits, and take nothing any more."""
        with self._changed:
            self._is_closed = True
            self._frames.clear()
            self._changed.notify_all()
