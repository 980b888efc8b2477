"""Live messages of a worker: the subscribed sockets of results and maps, watched and made anew when they are dead."""

import time
from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

import zmq

from cmfm_client.sockets import ZmqContext, ZmqSocket, notice_dead_host, notice_dead_peer, prepare_to_connect
from cmfm_client.watched_connection import WatchedConnection, watched
from cmfm_protocol.wire.limits import MAX_STATE_BYTES

RECEIVE_HWM: Final = 100_000
"""Results queued while this subscriber is busy: a shift at one part a second."""

MAPS_HWM: Final = 16
"""Maps queued while this subscriber is busy, 1 MB each; further ones are dropped."""

MAX_MAP_ARRAY_BYTES: Final = 1 << 20
"""Longest message frame of a map message is 200 kB. Without ZMTP heartbeats a damaged length swallows up to this."""

MESSAGES_A_POLL: Final = 256
"""Messages taken from a socket before the caller gets its events."""

WATCH_MS: Final = 100
"""Longest wait before the connections are looked at."""

Timed = tuple[list[bytes], int]
"""A message, and CLOCK_REALTIME when it was taken."""


class Heard(NamedTuple):
    """The outcome of one wait: changes of the results' connection (True: there), and messages."""

    links: list[bool]
    results: list[Timed]
    maps: list[Timed]


class LiveFeed:
    """The sockets of a subscriber; `apply_keys` makes one a CURVE client. `maps` may be "" for none.

    Raises EndpointError naming the endpoint.
    """

    def __init__(
        self,
        context: ZmqContext,
        *,
        results: str,
        maps: str,
        topics: bytes,
        apply_keys: Callable[[ZmqSocket], None],
    ) -> None:
        self._context = context
        self._topics = topics
        self._apply_keys = apply_keys
        self._linked = False

        def for_results() -> ZmqSocket:
            socket = self._subscriber(results, RECEIVE_HWM, MAX_STATE_BYTES)
            notice_dead_peer(socket)
            return socket

        def for_maps() -> ZmqSocket:
            socket = self._subscriber(maps, MAPS_HWM, MAX_MAP_ARRAY_BYTES)
            notice_dead_host(socket)  # its queue fills up: heartbeats would end a healthy connection
            return socket

        self._results = watched(for_results, results, "results endpoint")
        self._maps = watched(for_maps, maps, "maps endpoint") if maps else None
        self._poller = self._poll_all()

    def receive(self, timeout_s: float) -> Heard:
        """Wait up to `timeout_s` for the first message or change of the connection, and take what is there."""
        until_s = time.monotonic() + timeout_s
        while True:
            left_ms = max(int((until_s - time.monotonic()) * 1000), 0)
            self._poller.poll(min(left_ms, WATCH_MS))
            heard = Heard(list(self._watch()), _drain(self._results), _drain(self._maps))
            self._repair()
            if any(heard) or left_ms <= WATCH_MS:
                return heard

    def renew_results(self) -> list[bool]:
        """Make a results' connection anew that is there and silent. Returns the changes of the connection."""
        if self._linked:
            self._renew(self._results)
        return list(self._watch())

    @property
    def trouble(self) -> str:
        """Why the results' connection was given up, until it is there again; "" if it was not."""
        return self._results.trouble

    def _subscriber(self, endpoint: str, hwm: int, max_bytes: int) -> ZmqSocket:
        socket = self._context.socket(zmq.SUB)
        socket.setsockopt(zmq.LINGER, 0)
        socket.setsockopt(zmq.RCVHWM, hwm)
        socket.setsockopt(zmq.MAXMSGSIZE, max_bytes)
        socket.setsockopt(zmq.SUBSCRIBE, self._topics)
        prepare_to_connect(socket, endpoint)
        self._apply_keys(socket)
        return socket

    def _connections(self) -> Iterator[WatchedConnection]:
        yield self._results
        if self._maps is not None:
            yield self._maps

    def _watch(self) -> Iterator[bool]:
        for connection in self._connections():
            connection.update(time.monotonic_ns())
        if self._results.up is not self._linked:  # an attempt to connect that fails is not a change
            self._linked = self._results.up
            yield self._linked

    def _repair(self) -> None:
        """Make connections anew that libzmq has given up, once everything that they brought has been read."""
        for connection in self._connections():
            if connection.given_up(time.monotonic_ns()) and not connection.socket.poll(0):
                self._renew(connection)

    def _renew(self, connection: WatchedConnection) -> None:
        connection.renew()
        self._poller = self._poll_all()

    def _poll_all(self) -> zmq.Poller:
        poller = zmq.Poller()
        for connection in self._connections():
            poller.register(connection.socket, zmq.POLLIN)
            poller.register(connection.monitor, zmq.POLLIN)
        return poller


def _drain(connection: WatchedConnection | None) -> list[Timed]:
    messages: list[Timed] = []
    while connection is not None and len(messages) < MESSAGES_A_POLL:
        try:
            messages.append((connection.socket.recv_multipart(zmq.NOBLOCK), time.time_ns()))
        except zmq.Again:
            break
    return messages
