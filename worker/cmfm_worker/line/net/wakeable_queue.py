"""A queue between threads that a zmq.Poller can wait for together with sockets."""

import contextlib
import socket
from collections import deque
from typing import Generic, TypeVar

T = TypeVar("T")


class WakeableQueue(Generic[T]):
    """Any thread posts; one thread waits on `fileno()` and collects.

    Order is kept and nothing is dropped: the ring and the sequence rules bound the number of items.
    """

    def __init__(self) -> None:
        self._items: deque[T] = deque()
        self._reader, self._writer = socket.socketpair()
        self._reader.setblocking(False)
        self._writer.setblocking(False)

    def fileno(self) -> int:
        """Return a file descriptor that is readable while there is something to collect."""
        return self._reader.fileno()

    def post(self, item: T) -> None:
        """Add an item and wake the reader."""
        self._items.append(item)
        self._wake()

    def __len__(self) -> int:
        """Return the number of items that nobody has collected."""
        return len(self._items)

    def collect(self, most: int | None = None) -> list[T]:
        """Return what was posted so far, in order, at most so many; `fileno()` stays readable if some are left."""
        with contextlib.suppress(BlockingIOError):
            while self._reader.recv(4096):
                pass
        items: list[T] = []
        while self._items and (most is None or len(items) < most):
            items.append(self._items.popleft())
        if self._items:
            self._wake()
        return items

    def close(self) -> None:
        """Release the file descriptors."""
        self._reader.close()
        self._writer.close()

    def _wake(self) -> None:
        # A full pipe means that the reader has been woken already, a closed pipe that it has ended.
        with contextlib.suppress(OSError):
            self._writer.send(b"\0")
