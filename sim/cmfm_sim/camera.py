"""The simulated camera: frames, triggers and heartbeats on one XPUB socket (WIRE.md, frame, trigger, camera state).

Nothing is lost without being counted: a frame that the socket does not take within a limit, or that nobody listens
for, is a `pub_drop`, and every later header says how many there were. ZeroMQ sockets belong to one thread, so the
heartbeats are sent while the sender waits for its next trigger (`rest`).
"""

import time
import uuid
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import zmq

from cmfm_protocol.wire.state import CameraState, encode_camera_state
from cmfm_protocol.wire.topics import topic
from cmfm_protocol.wire.trigger import TriggerMessage, encode_trigger
from cmfm_sim.clock import NS_PER_S, Clock, SystemClock
from cmfm_sim.curve import CameraKeys
from cmfm_sim.damage import Parts
from cmfm_sim.errors import FailedError
from cmfm_sim.sockets import ZmqContext, ZmqSocket, bind, keep_alive

STATE_PERIOD_S: Final = 0.2
"""Period of the heartbeat: the loss of the newest frame is noticed within it."""

CLOSING_STATES: Final = 4
"""The last heartbeat says how many frames there were; it is repeated, as nothing follows that could replace it."""

CLOSING_PERIOD_S: Final = 0.05
LINGER_MS: Final = 5000
"""How long a closing camera still delivers what its socket holds."""

MAX_SUBSCRIPTION_BYTES: Final = 4096
"""A subscription is a topic."""

SHORTEST_POLL_S: Final = 0.002
"""Below this a poll, which counts in milliseconds, would overshoot."""


@dataclass(frozen=True, slots=True)
class CameraOptions:
    """Where a camera sends, under which names, and how patient it is.

    `send_hwm` frames are held for a slow subscriber; when they are there, a further one is waited with for
    `send_limit_ms` and then dropped and counted.
    """

    endpoint: str = "tcp://127.0.0.1:5555"
    line: str = "line1"
    station: str = "station1"
    send_hwm: int = 4
    send_limit_ms: int = 20
    keys: CameraKeys | None = None


class Camera:
    """One boot of a camera: a new `stream_uuid`, seq from 0. Close it, or use it as a context.

    Raises InputError for an endpoint that is none, LocalProtocolError for names that are none, FailedError where the
    endpoint is taken.
    """

    def __init__(self, options: CameraOptions, clock: Clock | None = None) -> None:
        self.frame_topic = topic(options.line, options.station, "frame")
        self._state_topic = topic(options.line, options.station, "state")
        self._trigger_topic = topic(options.line, options.station, "trigger")
        self.stream_uuid = uuid.uuid4().hex
        self.pub_drops = 0
        self.next_seq = 0
        self._clock = clock or SystemClock()
        self._next_state_ns = self._clock.monotonic_ns()
        self._subscriptions: Counter[bytes] = Counter()
        self._context: ZmqContext = zmq.Context()
        self._authenticator = options.keys.authenticate(self._context) if options.keys else None
        try:
            self._socket = _socket(self._context, options)
            self.endpoint = bind(self._socket, options.endpoint, "--endpoint")
        except BaseException:
            self._stop_authenticator()
            self._context.destroy(0)
            raise

    def __enter__(self) -> "Camera":
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self.close(in_order=kind is None or issubclass(kind, Exception))

    @property
    def has_subscriber(self) -> bool:
        """Whether somebody listens for this camera's frames."""
        return any(
            count > 0 and self.frame_topic.startswith(prefix) for prefix, count in self._subscriptions.items()
        )

    def wait_for_subscriber(self, timeout_s: float, stopped: Callable[[], bool] = lambda: False) -> bool:
        """Wait until somebody listens; what is sent from then on reaches them. False where `stopped` said so first.

        Raises FailedError after `timeout_s`.
        """
        until_ns = self._clock.monotonic_ns() + int(timeout_s * NS_PER_S)
        while not self.has_subscriber:
            if stopped():
                return False
            if self._clock.monotonic_ns() >= until_ns:
                raise FailedError(
                    f"nobody subscribed to frames on {self.endpoint} within {timeout_s:g} s; start the worker with "
                    f"[sockets] frames = [{self.endpoint!r}] and the same line and station, or wait longer (--wait-s)"
                )
            self.rest(0.05)
        return True

    def send(self, seq: int, parts: Parts) -> bool:
        """Send the message of trigger `seq`. False where it had to be dropped, which is counted.

        Blocks no longer than the options' `send_limit_ms`.
        """
        self.advance(seq + 1)
        self._take_subscriptions()
        try:
            if self.has_subscriber:
                self._socket.send_multipart(parts, copy=False)
                return True
        except zmq.Again:
            pass  # the first part was refused, so nothing of the message left
        self.pub_drops += 1
        return False

    def announce(self, message: TriggerMessage) -> bool:
        """Say that a part is under way, before its frame. False where the socket did not take it: its frame tells.

        Blocks no longer than the options' `send_limit_ms`.
        """
        self._take_subscriptions()
        try:
            self._socket.send_multipart(encode_trigger(self._trigger_topic, message))
        except zmq.Again:
            return False
        return True

    def advance(self, next_seq: int) -> None:
        """Every seq below `next_seq` counts as sent from now on, in the heartbeats."""
        self.next_seq = max(self.next_seq, next_seq)

    def rest(self, seconds: float) -> None:
        """Wait up to `seconds`, sending heartbeats that are due and noticing subscribers; may return early."""
        self._send_state_if_due()
        left_s = (self._next_state_ns - self._clock.monotonic_ns()) / NS_PER_S
        wait_s = max(min(seconds, left_s), 0.0)
        if wait_s < SHORTEST_POLL_S:
            time.sleep(wait_s)
        elif self._socket.poll(int(wait_s * 1000) - 1):
            self._take_subscriptions()

    def close(self, *, in_order: bool = True) -> None:
        """Say that the stream has ended, deliver what is queued within LINGER_MS, and close.

        Without `in_order` neither is done: the camera vanishes, as one that lost its power.
        """
        if self._socket.closed:
            return
        for _ in range(CLOSING_STATES if in_order else 0):
            self._send_state(closing=True)
            self._next_state_ns = self._clock.monotonic_ns() + NS_PER_S
            self.rest(CLOSING_PERIOD_S)
        self._socket.close(LINGER_MS if in_order else 0)
        self._stop_authenticator()
        self._context.term()

    def _stop_authenticator(self) -> None:
        if self._authenticator is not None:
            self._authenticator.stop()

    def _take_subscriptions(self) -> None:
        while True:
            try:
                message = self._socket.recv(zmq.NOBLOCK)
            except zmq.Again:
                return
            if message[:1] in (b"\x00", b"\x01"):
                self._subscriptions[message[1:]] += 1 if message[:1] == b"\x01" else -1

    def _send_state_if_due(self) -> None:
        if self._clock.monotonic_ns() >= self._next_state_ns:
            self._send_state(closing=False)
            self._next_state_ns = self._clock.monotonic_ns() + int(STATE_PERIOD_S * NS_PER_S)

    def _send_state(self, *, closing: bool) -> None:
        state = CameraState(
            stream_uuid=self.stream_uuid,
            next_seq=self.next_seq,
            closing=closing,
            sent_ns=self._clock.realtime_ns(),
            pub_drops=self.pub_drops,
        )
        try:
            # A full queue is no reason to wait, except at the end: nothing comes after the last word.
            flags = zmq.NOBLOCK if not closing else 0
            self._socket.send_multipart(encode_camera_state(self._state_topic, state), flags)
        except zmq.Again:
            pass  # the next heartbeat says the same


def _socket(context: ZmqContext, options: CameraOptions) -> ZmqSocket:
    socket = context.socket(zmq.XPUB)
    socket.setsockopt(zmq.XPUB_VERBOSER, 1)  # every subscriber is told of, and every one that leaves
    socket.setsockopt(zmq.XPUB_NODROP, 1)  # a full queue is an error here, not a silent loss
    socket.setsockopt(zmq.SNDHWM, options.send_hwm)
    socket.setsockopt(zmq.SNDTIMEO, options.send_limit_ms)
    socket.setsockopt(zmq.MAXMSGSIZE, MAX_SUBSCRIPTION_BYTES)
    keep_alive(socket)
    if options.keys is not None:
        options.keys.put_on(socket)
    return socket
