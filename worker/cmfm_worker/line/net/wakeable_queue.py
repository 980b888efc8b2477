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
        # A full pipe means that the reader has been woken already, a closed pipe that it has ended.
        with contextlib.suppress(OSError):
            self._writer.send(b"\0")

    def collect(self) -> list[T]:
        """Return everything posted so far, in order."""
        with contextlib.suppress(BlockingIOError):
            while self._reader.recv(4096):
                pass
        items = []
        while self._items:
            items.append(self._items.popleft())
        return items

    def close(self) -> None:
        """Release the file descriptors."""
        self._reader.close()
        self._writer.close()
