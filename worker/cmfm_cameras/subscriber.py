"""A subscriber of one topic whose connection is made anew by itself."""

import time
from collections.abc import Iterator
from typing import Final

import zmq

from cmfm_client import ClientKeys
from cmfm_client.sockets import ZmqContext, ZmqSocket, notice_dead_peer, prepare_to_connect
from cmfm_client.watched_connection import watched

RECEIVE_HWM: Final = 1000
"""Small messages queued while this process is busy."""


class WatchedSubscriber:
    """Takes the messages of a topic, none above `most_bytes`. One thread uses it. Raises EndpointError."""

    def __init__(
        self,
        context: ZmqContext,
        endpoint: str,
        subscribed: bytes,
        *,
        most_bytes: int,
        keys: ClientKeys | None,
        name: str,
    ) -> None:
        def subscriber() -> ZmqSocket:
            socket = context.socket(zmq.SUB)
            socket.setsockopt(zmq.RCVHWM, RECEIVE_HWM)
            socket.setsockopt(zmq.MAXMSGSIZE, most_bytes)
            socket.setsockopt(zmq.SUBSCRIBE, subscribed)
            prepare_to_connect(socket, endpoint)
            notice_dead_peer(socket)
            if keys is not None:
                keys.apply_to(socket)
            return socket

        self._connection = watched(subscriber, endpoint, name)

    def wait(self, timeout_s: float) -> None:
        """Wait until a message is there or the time is over."""
        self._connection.socket.poll(round(timeout_s * 1000))

    def messages(self) -> Iterator[list[bytes]]:
        """Yield the messages that are there; does not wait."""
        now_ns = time.monotonic_ns()
        self._connection.update(now_ns)
        while self._connection.socket.poll(0):
            yield self._connection.socket.recv_multipart()
        if self._connection.given_up(now_ns):
            self._connection.renew()

    def close(self) -> None:
        """Close the socket."""
        self._connection.close()
