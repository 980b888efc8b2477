"""Listens to a camera's endpoint, and to one for trigger messages if given, and feeds the checker."""

import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

import zmq

from cmfm_client.curve import ClientKeys
from cmfm_client.sockets import (
    ZmqContext,
    ZmqSocket,
    notice_dead_host,
    notice_dead_peer,
    prepare_to_connect,
)
from cmfm_client.watched_connection import PROTOCOL_ERROR, watched
from cmfm_protocol.wire.limits import MAX_MESSAGE_BYTES
from cmfm_sim.conform.checker import Conformance
from cmfm_sim.conform.connection_check import Link
from cmfm_sim.conform.heard import Arrival
from cmfm_sim.conform.probe import Answer, probe

TICK_MS: Final = 20
RECEIVE_HWM: Final = 64
BACKLOG: Final = 16
"""Frames that wait for their check, from which on contents are skipped: times and numbers matter more."""


class Line:
    """A watched SUB connection; `link` has what became of it. A `pulse` only asks for ZMTP heartbeats.

    Raises EndpointError.
    """

    def __init__(self, context: ZmqContext, link: Link, keys: ClientKeys | None, *, pulse: bool) -> None:
        self.link = link
        self._context = context
        self._keys = keys
        self._pulse = pulse
        self._connection = watched(self._socket, link.endpoint, "--endpoint")

    @property
    def socket(self) -> ZmqSocket:
        """The socket; another one after `watch` has made it anew."""
        return self._connection.socket

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def watch(self) -> bool:
        """Note changes; make a lost socket anew. Returns True if the connection has come back."""
        was_up, now_ns = self._connection.up, time.monotonic_ns()
        self._connection.update(now_ns)
        came, went = self._connection.up and not was_up, was_up and not self._connection.up
        if self._connection.given_up(now_ns):
            self._connection.renew()
            self.link.given_up += not self._pulse and self._connection.trouble == PROTOCOL_ERROR
        if self._pulse:
            self.link.pulses += came
            self.link.pulses_lost += went
            return False
        self.link.handshakes += came
        self.link.lost += went
        return came and self.link.handshakes > 1

    def receive(self) -> Iterator[tuple[list[bytes], Arrival]]:
        """Everything that has come, stamped now."""
        while True:
            try:
                frames = self.socket.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                return
            yield frames, now()

    def _socket(self) -> ZmqSocket:
        socket: ZmqSocket = self._context.socket(zmq.SUB)
        socket.setsockopt(zmq.RCVHWM, RECEIVE_HWM)
        socket.setsockopt(zmq.MAXMSGSIZE, MAX_MESSAGE_BYTES)
        prepare_to_connect(socket, self.link.endpoint)
        if self._pulse:
            notice_dead_peer(socket)
        else:
            notice_dead_host(socket)
            socket.setsockopt(zmq.SUBSCRIBE, b"")
        if self._keys is not None:
            self._keys.apply_to(socket)
        return socket


def now() -> Arrival:
    """The clocks of this host."""
    return Arrival(time.time_ns(), time.monotonic_ns())


def listen(
    endpoints: dict[str, str],
    checker: Conformance,
    *,
    seconds: float,
    keys: ClientKeys | None = None,
    stopped: Callable[[], bool] = lambda: False,
    on_tick: Callable[[float], None] = lambda _: None,
) -> dict[str, Link]:
    """Listen for `seconds` or until `stopped`; returns what became of each connection, by its source.

    `endpoints` maps a source ("frames", "triggers") to its endpoint. Raises EndpointError for an invalid one.
    """
    links = {
        source: Link(endpoint, probe(endpoint), keys is not None) for source, endpoint in endpoints.items()
    }
    until_s = time.monotonic() + seconds
    waiting: deque[tuple[list[bytes], Arrival, str]] = deque()
    with _lines(links, keys) as (lines, pulses):
        while (left_s := until_s - time.monotonic()) > 0 and not stopped():
            on_tick(left_s)
            _turn(lines, pulses, waiting, checker)
            if waiting:
                frames, arrival, source = waiting.popleft()
                checker.message(frames, arrival, source, thorough=len(waiting) < BACKLOG)
            else:
                zmq.select([line.socket for line in lines.values()], [], [], TICK_MS / 1000)
    for frames, arrival, source in waiting:
        checker.message(frames, arrival, source, thorough=False)
    for link in links.values():
        if link.probe.answer is not Answer.ZMTP and link.handshakes:
            link.probe = probe(link.endpoint)  # it was started meanwhile
    return links


def _turn(
    lines: dict[str, Line],
    pulses: list[Line],
    waiting: deque[tuple[list[bytes], Arrival, str]],
    checker: Conformance,
) -> None:
    for source in sorted(lines, reverse=True):  # "triggers" first: they come before their frames
        waiting += [(frames, arrival, source) for frames, arrival in lines[source].receive()]
        if lines[source].watch():
            checker.reconnected(now())
    for pulse in pulses:
        pulse.watch()


@contextmanager
def _lines(links: dict[str, Link], keys: ClientKeys | None) -> Iterator[tuple[dict[str, Line], list[Line]]]:
    context: ZmqContext = zmq.Context()
    made: list[Line] = []
    try:
        for pulse in (False, True):
            for link in links.values():
                made.append(Line(context, link, keys, pulse=pulse))  # noqa: PERF401 (each is closed below)
        count = len(links)
        yield dict(zip(links, made[:count], strict=True)), made[count:]
    finally:
        for line in made:
            line.close()
        context.term()
