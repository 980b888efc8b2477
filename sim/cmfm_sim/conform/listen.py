"""Listens to a camera's endpoint, and to one for trigger messages if given, and feeds the checker."""

import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

import zmq
from zmq.utils.monitor import recv_monitor_message

from cmfm_client.curve import ClientKeys
from cmfm_client.sockets import ZmqContext, ZmqSocket, connect, notice_dead_host, notice_dead_peer
from cmfm_protocol.wire.limits import MAX_MESSAGE_BYTES
from cmfm_sim.conform.checker import Conformance
from cmfm_sim.conform.connection_check import Link
from cmfm_sim.conform.heard import Arrival
from cmfm_sim.conform.probe import Answer, probe

TICK_MS: Final = 20
RECEIVE_HWM: Final = 64
BACKLOG: Final = 16
"""Frames that wait for their check, from which on contents are skipped: times and numbers matter more."""

AGAIN_S: Final = 0.5
"""Wait after a disconnect that libzmq does not follow up, until the socket is made anew."""

RETRIED: Final = zmq.EVENT_CONNECT_DELAYED | zmq.EVENT_CONNECT_RETRIED
FAILED: Final = (
    zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL
    | zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL
    | zmq.EVENT_HANDSHAKE_FAILED_AUTH
)
EVENTS: Final = zmq.EVENT_HANDSHAKE_SUCCEEDED | zmq.EVENT_DISCONNECTED | RETRIED | FAILED


class Line:
    """A SUB socket with its monitor; made anew when libzmq has given it up. `link` has what became of it."""

    def __init__(self, context: ZmqContext, link: Link, keys: ClientKeys | None, *, pulse: bool) -> None:
        self.link = link
        self.up = False
        self._context = context
        self._keys = keys
        self._pulse = pulse
        self._again_s: float | None = None
        self._open()

    def close(self) -> None:
        """Close the socket and its monitor."""
        self.socket.disable_monitor()
        self._monitor.close(0)
        self.socket.close(0)

    def watch(self) -> bool:
        """Read the monitor; make a lost socket anew. Returns True if the connection has come back."""
        back = False
        while self._monitor.poll(0):
            back = self._take(int(recv_monitor_message(self._monitor)["event"])) or back
        if self._again_s is not None and time.monotonic() >= self._again_s:
            self.link.given_up += self.up and not self._pulse
            self.up = False
            self.close()
            self._open()
        return back

    def receive(self) -> Iterator[tuple[list[bytes], Arrival]]:
        """Everything that has come, stamped now."""
        while True:
            try:
                frames = self.socket.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                return
            yield frames, now()

    def _open(self) -> None:
        self._again_s = None
        self.socket: ZmqSocket = self._context.socket(zmq.SUB)
        self.socket.setsockopt(zmq.RCVHWM, RECEIVE_HWM)
        self.socket.setsockopt(zmq.MAXMSGSIZE, MAX_MESSAGE_BYTES)
        if self._pulse:
            notice_dead_peer(self.socket)
        else:
            notice_dead_host(self.socket)
            self.socket.setsockopt(zmq.SUBSCRIBE, b"")
        if self._keys is not None:
            self._keys.apply_to(self.socket)
        self._monitor: ZmqSocket = self.socket.get_monitor_socket(EVENTS)
        connect(self.socket, self.link.endpoint, "--endpoint")

    def _take(self, event: int) -> bool:
        if event == zmq.EVENT_HANDSHAKE_SUCCEEDED:
            self.up, self._again_s = True, None
            return self._shook_hands()
        if event & RETRIED:
            self.link.disconnects += self.up and not self._pulse
            self.up, self._again_s = False, None
        else:
            self.link.pulses_lost += self._pulse and self.up
            self._again_s = time.monotonic() + AGAIN_S
        return False

    def _shook_hands(self) -> bool:
        if self._pulse:
            self.link.pulses += 1
            return False
        self.link.handshakes += 1
        return self.link.handshakes > 1


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
