"""The camera's heartbeats: which stream it is in, and which number comes next."""

import time
from collections.abc import Iterator
from typing import Final

import zmq

from cmfm_client import ClientKeys
from cmfm_client.sockets import ZmqContext, ZmqSocket, notice_dead_peer, prepare_to_connect
from cmfm_client.watched_connection import watched
from cmfm_protocol.wire.errors import RemoteProtocolError
from cmfm_protocol.wire.limits import MAX_STATE_BYTES
from cmfm_protocol.wire.state import CameraState, decode_camera_state
from cmfm_protocol.wire.topics import topic

RECEIVE_HWM: Final = 1000
"""Heartbeats queued while this process is busy: minutes."""


class Heartbeats:
    """A subscriber of a camera's heartbeats alone, connected again by itself. One thread uses it."""

    def __init__(
        self, context: ZmqContext, endpoint: str, line: str, station: str, keys: ClientKeys | None
    ) -> None:
        def subscriber() -> ZmqSocket:
            socket = context.socket(zmq.SUB)
            socket.setsockopt(zmq.RCVHWM, RECEIVE_HWM)
            socket.setsockopt(zmq.MAXMSGSIZE, MAX_STATE_BYTES)
            socket.setsockopt(zmq.SUBSCRIBE, topic(line, station, "state"))
            prepare_to_connect(socket, endpoint)
            notice_dead_peer(socket)
            if keys is not None:
                keys.apply_to(socket)
            return socket

        self._connection = watched(subscriber, endpoint, "camera endpoint")

    def heard(self) -> Iterator[CameraState]:
        """Yield the heartbeats that are there; does not wait."""
        now_ns = time.monotonic_ns()
        self._connection.update(now_ns)
        while self._connection.socket.poll(0):
            try:
                yield decode_camera_state(self._connection.socket.recv_multipart())
            except RemoteProtocolError:
                continue  # a worker's state on the same names, or a damaged one: the next is 0.2 s away
        if self._connection.given_up(now_ns):
            self._connection.renew()

    def close(self) -> None:
        """Close the socket."""
        self._connection.close()
