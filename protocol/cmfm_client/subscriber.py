"""A subscriber that misses no result: live from the PUB socket, gaps from the recovery socket (WIRE.md, results)."""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Final

import zmq
from zmq.utils.monitor import recv_monitor_message

from cmfm_client.curve import ClientKeys
from cmfm_client.errors import NoReplyError, RefusedError
from cmfm_client.events import Damaged, Event, LinkChanged, LossCause, Lost, NewBoot, Received, Silence
from cmfm_client.received_ids import Missing, ReceivedIds, ResultOrder
from cmfm_client.recovery import results_between
from cmfm_client.requests import REPLY_TIMEOUT_S, RequestClient
from cmfm_client.sockets import ZmqContext, ZmqSocket, connect, notice_dead_host, notice_dead_peer
from cmfm_protocol.wire.anomaly_map import decode_maps
from cmfm_protocol.wire.errors import RemoteProtocolError
from cmfm_protocol.wire.limits import MAX_MESSAGE_BYTES, MAX_STATE_BYTES
from cmfm_protocol.wire.result import Result, decode_result
from cmfm_protocol.wire.state import WorkerState, decode_worker_state
from cmfm_protocol.wire.topics import parse_topic

ALL_TOPICS: Final = b"cmfm/1/"
"""Every line and station; `cmfm/1/line1/station1/` selects one."""

RECEIVE_HWM: Final = 100_000
"""Results queued while this subscriber is busy: a shift at one part a second."""

MAPS_HWM: Final = 16
"""Maps queued while this subscriber is busy, 1 MB each; further ones are dropped."""

LINK_EVENTS: Final = zmq.EVENT_HANDSHAKE_SUCCEEDED | zmq.EVENT_DISCONNECTED

MESSAGES_A_POLL: Final = 256
"""Messages taken from a socket before the caller gets its events."""

RETRIES: Final = 20
"""Heartbeats at which missed results are asked for again when the worker did not reply."""

RETRY_TIMEOUT_S: Final = 0.25
"""Time that such a retry may hold up what came live."""

WAIT_S: Final = 0.5
"""Longest wait of the iterator at a time."""


@dataclass(frozen=True, slots=True)
class SubscriberOptions:
    """Where to listen, and from where on.

    `results`, `maps`, `recovery`: the worker's endpoints of these names. Without `recovery` gaps are only reported;
    without `maps` no maps come. `topics`: prefix of the topics to receive. `from_start`: also results that were
    published before this subscriber started (needs `recovery`). `received`: what an earlier run of this subscriber
    received, from `ResultLog.received`; it goes on from there (needs `recovery`). `silence_s`: time without a message
    after which `Silence` is reported; the worker sends a heartbeat every 500 ms.
    """

    results: str = "tcp://127.0.0.1:5556"
    maps: str = ""
    recovery: str = ""
    topics: bytes = ALL_TOPICS
    from_start: bool = False
    keys: ClientKeys | None = None
    received: Mapping[str, ReceivedIds] | None = None
    silence_s: float = 2.0


class ResultSubscriber:
    """Gives what a worker publishes as events (`cmfm_client.events`), each result once.

    Results come in the order of their ids: when one is missing, it is asked for first. If the worker does not reply
    within a second, the later results are given and the missing ones asked for again at its next 20 heartbeats; they
    come when they are there. `Lost` is final.

    Iterate over it, or call `poll` in a loop of your own. Use it from one thread at a time, as a context, or call
    `close`. Raises EndpointError naming the endpoint.
    """

    def __init__(self, options: SubscriberOptions) -> None:
        self._options = options
        self._order = ResultOrder(from_start=options.from_start, received=options.received)
        self._context: ZmqContext = zmq.Context()
        self._poller = zmq.Poller()
        self._maps: ZmqSocket | None = None
        self._recovery: RequestClient | None = None
        self._linked = False
        self._retries = 0
        self._heard_s = time.monotonic()
        self._silent = False
        try:
            self._open()
        except BaseException:
            self._context.destroy(0)
            raise

    def __enter__(self) -> "ResultSubscriber":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __iter__(self) -> Iterator[Event]:
        """Every event, for ever; ends with an exception such as KeyboardInterrupt, or by `break`."""
        while True:
            yield from self.poll(WAIT_S)

    def poll(self, timeout_s: float) -> list[Event]:
        """Return the events received, after waiting up to `timeout_s` for the first: link changes, results, then maps.

        Asking for missed results may take a second longer.
        """
        ready = dict(self._poller.poll(max(int(timeout_s * 1000), 0)))
        events: list[Event] = self._link_changes() if self._monitor in ready else []
        heard: list[Event] = []
        if self._results in ready:
            for message, received_ns in _drain(self._results):
                heard += self._message(message, received_ns)
        if self._maps is not None and self._maps in ready:
            heard += [_maps_event(message) for message, _ in _drain(self._maps)]
        return [*events, *heard, *self._silence(heard=bool(heard))]

    def catch_up(self) -> list[Event]:
        """Ask for results that were published and did not come, without waiting for a heartbeat.

        Call it before `close` at the end of a run. Needs `recovery`, and a worker that was heard.
        """
        boot_id = self._order.boot_id
        if self._recovery is None or not boot_id:
            return []
        try:
            page = self._recovery.results_since(boot_id, self._order.newest(boot_id), limit=1)
        except (NoReplyError, RefusedError):
            return []
        if page.boot_id != boot_id:
            return []
        self._order.expect(boot_id, page.newest_id)
        return self._ask_for_owed(boot_id, REPLY_TIMEOUT_S)

    def close(self) -> None:
        """Close all sockets."""
        self._context.destroy(0)

    def _open(self) -> None:
        options = self._options
        self._results = self._subscribe(RECEIVE_HWM, MAX_STATE_BYTES)
        notice_dead_peer(self._results)
        self._monitor = self._results.get_monitor_socket(LINK_EVENTS)
        self._poller.register(self._monitor, zmq.POLLIN)
        connect(self._results, options.results, "results endpoint")
        if options.maps:
            self._maps = self._subscribe(MAPS_HWM, MAX_MESSAGE_BYTES)
            notice_dead_host(self._maps)  # its queue fills up: heartbeats would end a healthy connection
            connect(self._maps, options.maps, "maps endpoint")
        if options.recovery:
            self._recovery = RequestClient(options.recovery, keys=options.keys, context=self._context)

    def _subscribe(self, hwm: int, max_bytes: int) -> ZmqSocket:
        """A SUB socket that is not connected yet."""
        socket = self._context.socket(zmq.SUB)
        socket.setsockopt(zmq.RCVHWM, hwm)
        socket.setsockopt(zmq.MAXMSGSIZE, max_bytes)
        socket.setsockopt(zmq.SUBSCRIBE, self._options.topics)
        if self._options.keys is not None:
            self._options.keys.apply_to(socket)
        self._poller.register(socket, zmq.POLLIN)
        return socket

    def _link_changes(self) -> list[Event]:
        changes: list[Event] = []
        while self._monitor.poll(0):
            alive = recv_monitor_message(self._monitor)["event"] == zmq.EVENT_HANDSHAKE_SUCCEEDED
            if alive is not self._linked:  # an attempt to connect that fails is not a change
                self._linked = alive
                changes.append(LinkChanged(alive))
        return changes

    def _message(self, message: Sequence[bytes], received_ns: int) -> list[Event]:
        try:
            kind = parse_topic(message[0]).kind
            if kind == "result":
                return self._result(decode_result(message), received_ns)
            if kind == "state":
                return self._state(decode_worker_state(message))
        except RemoteProtocolError as error:
            return [Damaged(str(error))]
        return []

    def _result(self, result: Result, received_ns: int) -> list[Event]:
        events = self._follow(result.boot_id, result.result_id - 1)
        if self._order.take(result.boot_id, result.result_id):
            events.append(Received(result, received_ns))
        return events

    def _state(self, state: WorkerState) -> list[Event]:
        """Handle a heartbeat. It is sent after all results that it counts; those missing by then must be asked for."""
        published = sum(count for name, count in state.counts.items() if name != "triggers")
        return [*self._follow(state.boot_id, published, retry=True), state]

    def _follow(self, boot_id: str, published: int, *, retry: bool = False) -> list[Event]:
        """Note that a boot has published so many results; ask for those that are newly missing, or once more."""
        events = self._new_boot(boot_id) if self._order.is_new(boot_id) else []
        if self._order.expect(boot_id, published):
            self._retries = 0
            return [*events, *self._ask_for_owed(boot_id, REPLY_TIMEOUT_S)]
        return [*events, *self._retry(boot_id)] if retry else events

    def _new_boot(self, boot_id: str) -> list[Event]:
        former = self._order.boot_id
        if not former:
            return []
        return [
            *self._lose(self._order.owed(former), LossCause.NEW_BOOT),
            NewBoot(boot_id, former, self._order.newest(former)),
        ]

    def _retry(self, boot_id: str) -> list[Event]:
        """Ask again for what the worker did not give when it was asked first."""
        owed = self._order.owed(boot_id)
        if not owed:
            return []
        if self._retries >= RETRIES:
            return self._lose(owed, LossCause.NO_REPLY)
        self._retries += 1
        return self._ask_for_owed(boot_id, RETRY_TIMEOUT_S)

    def _ask_for_owed(self, boot_id: str, timeout_s: float) -> list[Event]:
        if self._recovery is None:
            return self._lose(self._order.owed(boot_id), LossCause.NO_RECOVERY)
        events: list[Event] = []
        for missing in self._order.owed(boot_id):
            found, cause = results_between(self._recovery, missing, timeout_s)
            fresh = [result for result in found if self._order.take(result.boot_id, result.result_id)]
            events += [Received(result, None) for result in fresh]
            if cause is LossCause.NO_REPLY:
                break  # still owed
            events += self._lose([missing], cause)
        return events

    def _lose(self, missing: Sequence[Missing], cause: LossCause) -> list[Event]:
        """Report what of `missing` has not come, and want it no longer."""
        return [Lost(gap, cause) for each in missing for gap in self._order.give_up(each)]

    def _silence(self, *, heard: bool) -> list[Event]:
        now_s = time.monotonic()
        if heard:
            self._heard_s, self._silent = now_s, False
            return []
        if self._silent or now_s - self._heard_s < self._options.silence_s:
            return []
        self._silent = True
        return [Silence(now_s - self._heard_s)]


def _drain(socket: ZmqSocket) -> list[tuple[list[bytes], int]]:
    """Messages that have arrived, with CLOCK_REALTIME when they were taken."""
    messages: list[tuple[list[bytes], int]] = []
    while len(messages) < MESSAGES_A_POLL:
        try:
            messages.append((socket.recv_multipart(zmq.NOBLOCK), time.time_ns()))
        except zmq.Again:
            break
    return messages


def _maps_event(message: Sequence[bytes]) -> Event:
    try:
        return decode_maps(message)
    except RemoteProtocolError as error:
        return Damaged(str(error))
