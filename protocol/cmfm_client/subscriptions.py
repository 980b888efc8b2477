"""Subscriptions that an XPUB socket has been told of."""

from collections import Counter

import zmq

from cmfm_client.sockets import ZmqSocket


class Subscriptions:
    """Keeps the topic prefixes that have a subscriber: an XPUB reports the first one and the end of the last one."""

    def __init__(self) -> None:
        self._counts: Counter[bytes] = Counter()

    def covers(self, topic: bytes) -> bool:
        """Return True if somebody receives messages of this topic."""
        return any(count > 0 and topic.startswith(prefix) for prefix, count in self._counts.items())

    def update(self, socket: ZmqSocket) -> None:
        """Take what the socket has been told since; does not wait."""
        while True:
            try:
                message = socket.recv(zmq.NOBLOCK)
            except zmq.Again:
                return
            if message[:1] in (b"\x00", b"\x01"):
                self._counts[message[1:]] += 1 if message[:1] == b"\x01" else -1
