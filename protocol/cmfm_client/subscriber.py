"""A subscriber that misses no result: live from the PUB socket, gaps from the recovery socket (WIRE.md, results)."""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Final

import zmq

from cmfm_client.curve import ClientKeys
from cmfm_client.errors import NoReplyError, RefusedError
from cmfm_client.events import Damaged, Event, LinkChanged, LossCause, Lost, NewBoot, Received, Silence
from cmfm_client.live_feed import LiveFeed
from cmfm_client.received_ids import Missing, ReceivedIds, ResultOrder
from cmfm_client.recovery import results_between
from cmfm_client.requests import REPLY_TIMEOUT_S, RequestClient
from cmfm_client.sockets import ZmqContext, ZmqSocket
from cmfm_protocol.wire.anomaly_map import decode_maps
from cmfm_protocol.wire.errors import RemoteProtocolError
from cmfm_protocol.wire.result import Result, decode_result
from cmfm_protocol.wire.state import WorkerState, decode_worker_state
from cmfm_protocol.wire.topics import parse_topic

ALL_TOPICS: Final = b"cmfm/1/"
"""Every line and station; `cmfm/1/line1/station1/` selects one."""

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
        self._recovery: RequestClient | None = None
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
        links, results, maps = self._feed.receive(timeout_s)
        events: list[Event] = [LinkChanged(alive) for alive in links]
        for message, received_ns in results:
            events += self._message(message, received_ns)
        events += [_maps_event(message) for message, _ in maps]
        return [*events, *self._silence()]

    @property
    def trouble(self) -> str:
        """Why the results' connection was given up, until it is there again; "" if it was not."""
        return self._feed.trouble

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
        self._feed = LiveFeed(
            self._context,
            results=options.results,
            maps=options.maps,
            topics=options.topics,
            apply_keys=self._apply_keys,
        )
        if options.recovery:
            self._recovery = RequestClient(options.recovery, keys=options.keys, context=self._context)

    def _apply_keys(self, socket: ZmqSocket) -> None:
        if self._options.keys is not None:
            self._options.keys.apply_to(socket)

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
        self._hear()
        events = self._follow(result.boot_id, result.result_id - 1)
        if self._order.take(result.boot_id, result.result_id):
            events.append(Received(result, received_ns))
        return events

    def _state(self, state: WorkerState) -> list[Event]:
        """Handle a heartbeat. It is sent after all results that it counts; those missing by then must be asked for."""
        self._hear()
        return [*self._follow(state.boot_id, state.published, retry=True), state]

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

    def _hear(self) -> None:
        """Note a result or heartbeat of this protocol; anything else is no sign that a worker inspects."""
        self._heard_s, self._silent = time.monotonic(), False

    def _silence(self) -> list[Event]:
        now_s = time.monotonic()
        if self._silent or now_s - self._heard_s < self._options.silence_s:
            return []
        self._silent = True
        links = [LinkChanged(alive) for alive in self._feed.renew_results()]
        return [*links, Silence(now_s - self._heard_s)]


def _maps_event(message: Sequence[bytes]) -> Event:
    try:
        return decode_maps(message)
    except RemoteProtocolError as error:
        return Damaged(str(error))
