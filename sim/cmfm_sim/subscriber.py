"""A subscriber that misses no verdict: live from the PUB socket, gaps from the ROUTER (WIRE.md, results).

What it hears comes out as events: `Received` results in the order of their ids, `Lost` ones that the worker no longer
has, `WorkerState` heartbeats, `AnomalyMaps`, `Damaged` messages, and `LinkChanged` when the worker is lost or back.
One thread.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import zmq
from zmq.utils.monitor import recv_monitor_message

from cmfm_protocol.wire.anomaly_map import AnomalyMaps, decode_maps
from cmfm_protocol.wire.errors import RemoteProtocolError
from cmfm_protocol.wire.limits import MAX_MESSAGE_BYTES, MAX_STATE_BYTES
from cmfm_protocol.wire.result import Result, decode_result
from cmfm_protocol.wire.state import WorkerState, decode_worker_state
from cmfm_protocol.wire.topics import parse_topic
from cmfm_sim.curve import ClientKeys
from cmfm_sim.record import Received
from cmfm_sim.recovery import RequestClient, newest_id, results_between
from cmfm_sim.result_order import HadBefore, Missing, ResultOrder
from cmfm_sim.sockets import ZmqContext, ZmqSocket, connect, keep_alive, keep_alive_by_tcp

ALL_TOPICS: Final = b"cmfm/1/"
"""Every line and station; `cmfm/1/line1/station1/` narrows it."""

RECEIVE_HWM: Final = 100_000
"""Results queued while this subscriber is busy: a shift at one part a second."""

MAPS_HWM: Final = 16
"""Maps are lossy; 1 MB each."""

LINK_EVENTS: Final = zmq.EVENT_HANDSHAKE_SUCCEEDED | zmq.EVENT_DISCONNECTED

AT_ONCE: Final = 256
"""Messages taken before the caller sees them."""


@dataclass(frozen=True, slots=True)
class Lost:
    """Results that were published but cannot be had any more, or not without a recovery endpoint."""

    missing: Missing


@dataclass(frozen=True, slots=True)
class Damaged:
    """A message that is not the wire; nothing in it is believed."""

    detail: str


@dataclass(frozen=True, slots=True)
class LinkChanged:
    """The connection to the worker's results is there, or has gone: closed, or silent for 750 ms."""

    alive: bool


Event = Received | Lost | Damaged | WorkerState | AnomalyMaps | LinkChanged


@dataclass(frozen=True, slots=True)
class SubscriberOptions:
    """Where to listen. Without `recovery` gaps are only reported; without `maps` no maps come.

    `from_start`: also results that were published before this subscriber came; `had`: those after the newest that it
    had before it was started again (both need `recovery`).
    """

    results: str = "tcp://127.0.0.1:5556"
    maps: str = ""
    recovery: str = ""
    topics: bytes = ALL_TOPICS
    from_start: bool = False
    keys: ClientKeys | None = None
    had: HadBefore | None = None


class ResultSubscriber:
    """Raises InputError for an endpoint that is none. Close it, or use it as a context."""

    def __init__(self, options: SubscriberOptions) -> None:
        self._order = ResultOrder(from_start=options.from_start, had=options.had)
        self._context: ZmqContext = zmq.Context()
        self._poller = zmq.Poller()
        self._maps: ZmqSocket | None = None
        self._recovery: RequestClient | None = None
        self._linked = False
        try:
            self._results = self._subscribe(
                options, options.results, "--endpoint", hwm=RECEIVE_HWM, max_bytes=MAX_STATE_BYTES
            )
            self._monitor = self._results.get_monitor_socket(LINK_EVENTS)
            self._poller.register(self._monitor, zmq.POLLIN)
            if options.maps:
                self._maps = self._subscribe(
                    options, options.maps, "--maps-endpoint", hwm=MAPS_HWM, max_bytes=MAX_MESSAGE_BYTES
                )
            if options.recovery:
                self._recovery = RequestClient(
                    self._context, options.recovery, "--recover-endpoint", options.keys
                )
        except BaseException:
            self._context.destroy(0)
            raise

    def __enter__(self) -> "ResultSubscriber":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def poll(self, timeout_s: float) -> list[Event]:
        """What came in, waiting up to `timeout_s` for the first of it: the link, then verdicts, then maps."""
        ready = dict(self._poller.poll(max(int(timeout_s * 1000), 0)))
        events: list[Event] = self._link_changes() if self._monitor in ready else []
        if self._results in ready:
            for parts, received_ns in _drain(self._results):
                events += self._message(parts, received_ns)
        if self._maps is not None and self._maps in ready:
            for parts, _ in _drain(self._maps):
                events.append(_decoded(decode_maps, parts))
        return events

    def catch_up(self) -> list[Event]:
        """Results that the worker has published and that did not come by themselves; needs `recovery`."""
        boot_id = self._order.boot_id
        if self._recovery is None or not boot_id:
            return []
        newest = newest_id(self._recovery, boot_id, self._order.newest(boot_id))
        return [] if newest is None else self._recover(self._order.missing_before(boot_id, newest + 1))

    def ask_again(self, missing: Missing) -> list[Received]:
        """Results reported as lost that the worker has after all: it may not have answered in its time."""
        found = results_between(self._recovery, missing) if self._recovery is not None else []
        return [Received(result, None) for result in found]

    def close(self) -> None:
        """Close all sockets."""
        self._context.destroy(0)

    def _subscribe(
        self, options: SubscriberOptions, endpoint: str, option: str, *, hwm: int, max_bytes: int
    ) -> ZmqSocket:
        socket = self._context.socket(zmq.SUB)
        socket.setsockopt(zmq.RCVHWM, hwm)
        socket.setsockopt(zmq.RECONNECT_IVL_MAX, 1000)
        socket.setsockopt(zmq.MAXMSGSIZE, max_bytes)
        socket.setsockopt(zmq.SUBSCRIBE, options.topics)
        (keep_alive if hwm == RECEIVE_HWM else keep_alive_by_tcp)(socket)  # the queue of maps fills up
        if options.keys is not None:
            options.keys.put_on(socket)
        connect(socket, endpoint, option)
        self._poller.register(socket, zmq.POLLIN)
        return socket

    def _link_changes(self) -> list[Event]:
        changes: list[Event] = []
        while self._monitor.poll(0):
            alive = recv_monitor_message(self._monitor)["event"] == zmq.EVENT_HANDSHAKE_SUCCEEDED
            if alive is not self._linked:  # an attempt to connect that fails is no change
                self._linked = alive
                changes.append(LinkChanged(alive))
        return changes

    def _message(self, parts: Sequence[bytes], received_ns: int) -> list[Event]:
        try:
            kind = parse_topic(parts[0]).kind
            if kind == "result":
                return self._result(decode_result(parts), received_ns)
            if kind == "state":
                return self._state(decode_worker_state(parts))
        except RemoteProtocolError as error:
            return [Damaged(str(error))]
        return []

    def _result(self, result: Result, received_ns: int) -> list[Event]:
        events = self._recover(self._order.missing_before(result.boot_id, result.result_id))
        if self._order.take(result.boot_id, result.result_id):
            events.append(Received(result, received_ns))
        return events

    def _state(self, state: WorkerState) -> list[Event]:
        """A heartbeat comes after all results it counts: what is missing then will not come by itself."""
        published = sum(count for name, count in state.counts.items() if name != "triggers")
        self._order.heard_of(state.boot_id, published)
        return [*self._recover(self._order.missing_before(state.boot_id, published + 1)), state]

    def _recover(self, missing: Missing | None) -> list[Event]:
        if missing is None:
            return []
        found = results_between(self._recovery, missing) if self._recovery is not None else []
        fresh = [result for result in found if self._order.take(result.boot_id, result.result_id)]
        events: list[Event] = [Received(result, None) for result in fresh]
        events += [Lost(gap) for gap in _gaps(missing, [result.result_id for result in fresh])]
        self._order.take(missing.boot_id, missing.last_id)
        return events


def _gaps(missing: Missing, found: Sequence[int]) -> list[Missing]:
    """What of `missing` is not in `found` (sorted)."""
    gaps, first = [], missing.first_id
    for result_id in [*found, missing.last_id + 1]:
        if result_id > first:
            gaps.append(Missing(missing.boot_id, first, result_id - 1))
        first = result_id + 1
    return gaps


def _drain(socket: ZmqSocket) -> list[tuple[list[bytes], int]]:
    messages: list[tuple[list[bytes], int]] = []
    while len(messages) < AT_ONCE:
        try:
            messages.append((socket.recv_multipart(zmq.NOBLOCK), time.time_ns()))
        except zmq.Again:
            break
    return messages


def _decoded(decode: Callable[[Sequence[bytes]], AnomalyMaps], parts: Sequence[bytes]) -> Event:
    try:
        return decode(parts)
    except RemoteProtocolError as error:
        return Damaged(str(error))
