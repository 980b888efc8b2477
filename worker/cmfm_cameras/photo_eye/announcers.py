"""The two ways to announce a trigger: a frames socket of our own, or the worker's control socket."""

from collections import deque
from collections.abc import Callable
from typing import Final, Protocol

import structlog
import zmq

from cmfm_client import CameraKeys, CameraOptions, ClientKeys, NoReplyError, RefusedError, RequestClient
from cmfm_client.camera_socket import camera_socket
from cmfm_client.sockets import ZmqContext, bind
from cmfm_client.subscriptions import Subscriptions
from cmfm_protocol.wire.topics import topic
from cmfm_protocol.wire.trigger import TriggerMessage, encode_trigger

QUEUED: Final = 1000
"""Trigger messages that wait for a slow worker; they are small."""

LINGER_MS: Final = 1000
REPLY_S: Final = 0.5


class Announcer(Protocol):
    """Announces triggers in order. One thread uses it."""

    @property
    def is_heard(self) -> bool:
        """Tell whether somebody takes announcements, as far as is known."""
        ...

    def announce(self, trigger: TriggerMessage) -> None:
        """Take a trigger to announce."""
        ...

    def turn(self, now_ns: int) -> None:
        """Do what is left to do, at CLOCK_REALTIME `now_ns`; returns soon."""
        ...

    def close(self) -> None:
        """Deliver what is queued within a second, and close."""
        ...


Outcome = Callable[[str, TriggerMessage], None]
"""Is told what became of a trigger: "announced", "no_subscriber", "queue_full", "refused" or "no_reply"."""


class SocketAnnouncer:
    """Publishes trigger messages on an XPUB socket. Raises BindError if the endpoint is taken."""

    def __init__(
        self, context: ZmqContext, options: CameraOptions, line_topic: tuple[str, str], outcome: Outcome
    ) -> None:
        self._topic = topic(*line_topic, "trigger")
        self._outcome = outcome
        self._subscriptions = Subscriptions()
        self._was_heard = False
        self._log = structlog.get_logger("trigger")
        self._authenticator = options.keys.authenticate(context) if options.keys else None
        try:
            self._socket = camera_socket(context, options)
            self.endpoint = bind(self._socket, options.endpoint, "announce endpoint")
        except BaseException:
            self._stop_authenticator()
            raise

    @property
    def is_heard(self) -> bool:
        """Tell whether somebody subscribed."""
        return self._subscriptions.covers(self._topic)

    def announce(self, trigger: TriggerMessage) -> None:
        """Publish a trigger."""
        self._subscriptions.update(self._socket)
        if not self.is_heard:
            self._outcome("no_subscriber", trigger)
            return
        try:
            self._socket.send_multipart(encode_trigger(self._topic, trigger), zmq.NOBLOCK)
        except zmq.Again:
            self._outcome("queue_full", trigger)
        else:
            self._outcome("announced", trigger)

    def turn(self, now_ns: int) -> None:  # noqa: ARG002 (the other way needs it)
        """Notice subscribers, and log whether there is one."""
        self._subscriptions.update(self._socket)
        if self.is_heard is not self._was_heard:
            self._was_heard = self.is_heard
            self._log.info("worker_subscribed" if self._was_heard else "worker_gone", endpoint=self.endpoint)

    def close(self) -> None:
        """Deliver what is queued, and close."""
        self._socket.close(LINGER_MS)
        self._stop_authenticator()

    def _stop_authenticator(self) -> None:
        if self._authenticator is not None:
            self._authenticator.stop()


class ControlAnnouncer:
    """Sends `announce` requests and waits for each reply. What got none is sent again until its deadline is over."""

    def __init__(self, context: ZmqContext, endpoint: str, keys: ClientKeys | None, outcome: Outcome) -> None:
        self._client = RequestClient(endpoint, keys=keys, timeout_s=REPLY_S, context=context)
        self._outcome = outcome
        self._waiting: deque[TriggerMessage] = deque()

    @property
    def is_heard(self) -> bool:
        """Return True: only a reply says more."""
        return True

    def announce(self, trigger: TriggerMessage) -> None:
        """Take a trigger; `turn` sends it."""
        self._waiting.append(trigger)

    def turn(self, now_ns: int) -> None:
        """Send what waits, in order, until a request gets no reply."""
        while self._waiting:
            trigger = self._waiting[0]
            if now_ns > trigger.trigger_ns + trigger.deadline_ms * 1e6:
                self._outcome("no_reply", self._waiting.popleft())
                continue
            try:
                self._client.announce(trigger)
            except NoReplyError:
                return
            except RefusedError:
                self._outcome("refused", self._waiting.popleft())
            else:
                self._outcome("announced", self._waiting.popleft())

    def close(self) -> None:
        """Close the socket; what waits is given up."""
        while self._waiting:
            self._outcome("no_reply", self._waiting.popleft())
        self._client.close()


def socket_options(endpoint: str, keys: CameraKeys | None) -> CameraOptions:
    """Return the options of a socket for trigger messages."""
    return CameraOptions(endpoint, send_hwm=QUEUED, send_limit_ms=0, keys=keys)
