"""A camera on the wire: frames, triggers and heartbeats on one XPUB socket (WIRE.md, frame, trigger, camera state)."""

import contextlib
import time
import uuid
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Final

import numpy as np
import zmq
from numpy.typing import NDArray

from cmfm_client.camera_socket import CameraOptions, camera_socket
from cmfm_client.errors import ClientError, NoSubscriberError
from cmfm_client.sockets import ZmqContext, bind
from cmfm_client.subscriptions import Subscriptions
from cmfm_protocol.clock import NS_PER_S, Clock, SystemClock
from cmfm_protocol.wire.frame import FrameHeader, encode_frame
from cmfm_protocol.wire.state import CameraState, encode_camera_state
from cmfm_protocol.wire.topics import topic
from cmfm_protocol.wire.trigger import TriggerMessage, encode_trigger

STATE_PERIOD_S: Final = 0.2
"""Period of the heartbeat: the worker learns of the loss of the newest frame within it."""

CLOSING_STATES: Final = 4
"""The last heartbeat says how many triggers there were. Nothing follows that could replace it, so it is repeated."""

CLOSING_PERIOD_S: Final = 0.05

LINGER_MS: Final = 5000
"""Time for which a closing camera still delivers what its socket holds."""

SHORTEST_POLL_S: Final = 0.002
"""Shorter waits sleep: a poll counts in milliseconds and would overshoot."""

OPEN_TRIGGERS: Final = 1024
"""Triggers whose frame may still come; older ones are given up."""


class Camera:
    """One boot of a camera: a new `stream_uuid`, triggers numbered from 0, no number twice.

    For each part call `trigger`, then `publish` with its frame; in between and while nothing is to do, call `rest`,
    which sends the heartbeats. A frame that is not sent is counted in `pub_drops`, which every later header carries,
    and its part becomes a FAULT.

    A caller that counts triggers and encodes frames itself uses `announce`, `send` and `advance` instead.

    `endpoint` is the bound endpoint with its real port, `next_seq` the number below which every trigger counts as sent.

    Use it from one thread at a time, as a context, or call `close`. A vendor's callback thread hands its frames over
    in a queue. Raises EndpointError, BindError if the endpoint is taken, LocalProtocolError for an invalid line or
    station name, KeyFileError.
    """

    def __init__(self, options: CameraOptions, clock: Clock | None = None) -> None:
        self.frame_topic = topic(options.line, options.station, "frame")
        self._state_topic = topic(options.line, options.station, "state")
        self._trigger_topic = topic(options.line, options.station, "trigger")
        self.stream_uuid = uuid.uuid4().hex
        self.pub_drops = 0
        self.next_seq = 0
        self._next_number = 0
        self._open: dict[int, None] = {}  # seq of triggers without a frame, in order
        self._clock = clock or SystemClock()
        self._crc32 = options.crc32
        self._next_state_ns = self._clock.monotonic_ns()
        self._subscriptions = Subscriptions()
        self._context: ZmqContext = zmq.Context()
        self._authenticator = options.keys.authenticate(self._context) if options.keys else None
        try:
            self._socket = camera_socket(self._context, options)
            self.endpoint = bind(self._socket, options.endpoint, "camera endpoint")
        except BaseException:
            self._stop_authenticator()
            self._context.destroy(0)
            raise

    def __enter__(self) -> "Camera":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close(in_order=kind is None or issubclass(kind, Exception))

    @property
    def has_subscriber(self) -> bool:
        """True if somebody has subscribed to this camera's frames."""
        return self._subscriptions.covers(self.frame_topic)

    def wait_for_subscriber(self, timeout_s: float, stopped: Callable[[], bool] = lambda: False) -> bool:
        """Wait until somebody subscribes; frames sent from then on arrive. False if `stopped` became true first.

        Raises NoSubscriberError after `timeout_s`.
        """
        until_ns = self._clock.monotonic_ns() + int(timeout_s * NS_PER_S)
        while not self.has_subscriber:
            if stopped():
                return False
            if self._clock.monotonic_ns() >= until_ns:
                raise NoSubscriberError(
                    f"nobody subscribed to frames on {self.endpoint} within {timeout_s:g} s; start the worker with "
                    f"[sockets] frames = [{self.endpoint!r}] and the same line and station, or wait longer"
                )
            self.rest(0.05)
        return True

    def trigger(
        self,
        part_id: str,
        *,
        recipe: str = "",
        deadline_ms: float = 1000.0,
        trigger_ns: int | None = None,
        clock: str = "realtime",
        encoder: int | None = None,
        calib_id: str = "",
        simulated: bool = False,
        announce: bool = True,
    ) -> TriggerMessage:
        """Give the next number to a part and announce it; pass what is returned to `publish` with the part's frame.

        From its announcement on the part owes a verdict within `deadline_ms` of `trigger_ns`, by default now, also if
        its frame never comes. `trigger_ns` counts nanoseconds of `clock`: "realtime", "monotonic" if camera and worker
        share a host, or "none" if this host's clock is not synchronised (WIRE.md, clocks). Call it once for every
        trigger. Blocks no longer than the options' `send_limit_ms`. Raises LocalProtocolError for an invalid value; the
        number is not used then.
        """
        message = TriggerMessage(
            stream_uuid=self.stream_uuid,
            seq=self._next_number,
            part_id=part_id,
            trigger_ns=self._now_ns(clock) if trigger_ns is None else trigger_ns,
            deadline_ms=deadline_ms,
            recipe=recipe,
            clock=clock,
            encoder=encoder,
            calib_id=calib_id,
            simulated=simulated,
        )
        if announce:
            self.announce(message)
        self._next_number += 1
        self._open[message.seq] = None
        if len(self._open) > OPEN_TRIGGERS:
            del self._open[next(iter(self._open))]
        return message

    def publish(
        self,
        trigger: TriggerMessage,
        rgb: NDArray[np.uint8],
        xyz: NDArray[np.float32],
        *,
        exposure_us: float | None = None,
        gain: float | None = None,
        temperature_c: float | None = None,
        checksums: bool = True,
    ) -> bool:
        """Send the frame of a trigger, sealed unless `checksums` is False. False if it was dropped, which is counted.

        `rgb` (H, W, 3) uint8 sRGB and `xyz` (H, W, 3) float32 metres are sent without a copy: do not change them
        afterwards. A trigger has one frame. Raises ClientError for a trigger of another camera, one that has its
        frame, or one that is older than the newest 1024 without; LocalProtocolError for arrays of another kind.
        """
        if trigger.stream_uuid != self.stream_uuid or trigger.seq not in self._open:
            raise ClientError(
                f"trigger {trigger.seq} of stream {trigger.stream_uuid} expects no frame from this camera; "
                "call trigger() for each part, and publish() once for each trigger"
            )
        header = FrameHeader(
            stream_uuid=trigger.stream_uuid,
            seq=trigger.seq,
            part_id=trigger.part_id,
            trigger_ns=trigger.trigger_ns,
            deadline_ms=trigger.deadline_ms,
            recipe=trigger.recipe,
            clock=trigger.clock,
            encoder=trigger.encoder,
            calib_id=trigger.calib_id,
            simulated=trigger.simulated,
            pub_drops=self.pub_drops,
            exposure_us=exposure_us,
            gain=gain,
            temperature_c=temperature_c,
        )
        message = encode_frame(self.frame_topic, header, rgb, xyz, checksums=checksums, crc32=self._crc32)
        del self._open[trigger.seq]
        return self.send(trigger.seq, message)

    def rest(self, seconds: float) -> None:
        """Wait up to `seconds`, send heartbeats that are due and notice subscribers. May return early."""
        self._send_state_if_due()
        left_s = (self._next_state_ns - self._clock.monotonic_ns()) / NS_PER_S
        wait_s = max(min(seconds, left_s), 0.0)
        if wait_s < SHORTEST_POLL_S:
            time.sleep(wait_s)
        elif self._socket.poll(int(wait_s * 1000) - 1):
            self._subscriptions.update(self._socket)

    def send(self, seq: int, message: Sequence[bytes | memoryview]) -> bool:
        """Send an encoded frame message of trigger `seq`. False if it was dropped, which is counted.

        Nothing in the message is checked. Blocks no longer than the options' `send_limit_ms`.
        """
        self.advance(seq + 1)
        self._subscriptions.update(self._socket)
        try:
            if self.has_subscriber:
                self._socket.send_multipart(message, copy=False)
                return True
        except zmq.Again:
            pass  # the first message frame was refused, so nothing of the message left
        self.pub_drops += 1
        return False

    def announce(self, message: TriggerMessage) -> bool:
        """Send a trigger message ahead of its frame. False if the socket did not take it: the frame opens the part.

        Blocks no longer than the options' `send_limit_ms`. Raises LocalProtocolError.
        """
        frames = encode_trigger(self._trigger_topic, message)
        self._subscriptions.update(self._socket)
        try:
            self._socket.send_multipart(frames)
        except zmq.Again:
            return False
        return True

    def advance(self, next_seq: int) -> None:
        """Count every number below `next_seq` as sent or given up from now on, in the heartbeats."""
        self.next_seq = max(self.next_seq, next_seq)
        self._next_number = max(self._next_number, next_seq)

    def close(self, *, in_order: bool = True) -> None:
        """Say that the stream has ended, deliver what is queued within 5 s, and close.

        Not `in_order` it does neither: the camera vanishes, as one that lost its power.
        """
        if self._socket.closed:
            return
        self.advance(self._next_number)
        for _ in range(CLOSING_STATES if in_order else 0):
            self._send_state(closing=True)
            self._next_state_ns = self._clock.monotonic_ns() + NS_PER_S
            self.rest(CLOSING_PERIOD_S)
        self._socket.close(LINGER_MS if in_order else 0)
        self._stop_authenticator()
        self._context.term()

    def _now_ns(self, clock: str) -> int:
        return self._clock.monotonic_ns() if clock == "monotonic" else self._clock.realtime_ns()

    def _stop_authenticator(self) -> None:
        if self._authenticator is not None:
            self._authenticator.stop()

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
        # A full queue is no reason to wait, except for the last heartbeat.
        flags = 0 if closing else zmq.NOBLOCK
        with contextlib.suppress(zmq.Again):  # the next heartbeat says the same
            self._socket.send_multipart(encode_camera_state(self._state_topic, state), flags)
