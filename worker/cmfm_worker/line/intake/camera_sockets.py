"""The sockets of one camera: a SUB socket for its messages, and a second one that asks for ZMTP heartbeats.

A camera is alive while both are connected. The socket for messages tells of its own connection; one that a protocol
error has ended is made anew (`cmfm_client.watched_connection`). The socket for liveness subscribes to nothing: it finds
a camera that is stopped, unplugged or hung, and frames that wait behind a full queue never make a camera look dead. A
damaged length can make libzmq wait for bytes that never come, on a connection that looks healthy: the bytes that the
kernel received show that while frames come (`swallowed`), missing heartbeats of a camera that sends them show it at any
time. `cmfm_client.sockets` explains these traps.

Each camera has sockets of its own because a message does not tell which connection it came by, and because a monitor
names a host by its address after a reconnect.
"""

import time
from collections.abc import Iterator, Sequence
from typing import Final, Literal

import zmq

from cmfm_client.watched_connection import WatchedConnection
from cmfm_protocol.clock import NS_PER_MS
from cmfm_protocol.wire.limits import MAX_MESSAGE_BYTES
from cmfm_worker.errors import StartupError
from cmfm_worker.line.intake.swallowed import Swallowed
from cmfm_worker.line.net.curve import Keys
from cmfm_worker.line.net.sockets import Context, Socket, liveness_subscriber, subscriber
from cmfm_worker.settings.sections.network import IntakeSection

SILENT: Final = "nothing arrives although the camera is connected and sent heartbeats before"

DAMAGED_LENGTH: Final = "bytes of several frames came and no message: a message length was damaged"

MISSED_BEATS: Final = 4
"""Heartbeats of a camera that may be missing before its connection counts as silent."""

SILENT_NS: Final = 800 * NS_PER_MS
"""Least silence that is acted on: slow transfers and busy cameras delay heartbeats too."""

SILENT_MAX_NS: Final = 16_000 * NS_PER_MS
"""Longest silence. The limit doubles whenever it was reached, so a frame that takes seconds still gets through."""

TURN_NS: Final = 100 * NS_PER_MS
"""A turn of the reader counts as at most so much silence: while this process was stopped nothing was read."""

Side = Literal["messages", "liveness"]


class Silence:
    """Measures how long nothing has arrived from a camera that sends heartbeats. No clock of its own."""

    def __init__(self) -> None:
        self._limit_ns = SILENT_NS
        self._beat_ns: int | None = None  # of the last heartbeat
        self._period_ns = 0  # between heartbeats; a long one is forgotten slowly
        self._silent_ns = 0
        self._turn_ns: int | None = None

    def heard(self, now_ns: int, *, beat: bool) -> None:
        """Note a message; `beat` for a camera's heartbeat."""
        self._silent_ns = 0
        if not beat:
            return
        if self._beat_ns is not None:
            self._period_ns = max(self._period_ns * 3 // 4, now_ns - self._beat_ns)
        self._beat_ns = now_ns

    def too_long(self, now_ns: int) -> bool:
        """Tell whether the silence has reached its limit. Call it once a turn, after reading."""
        if self._turn_ns is not None:
            self._silent_ns += min(now_ns - self._turn_ns, TURN_NS)
        self._turn_ns = now_ns
        expected_ns = max(self._limit_ns, MISSED_BEATS * self._period_ns)
        return self._period_ns > 0 and self._silent_ns >= min(expected_ns, SILENT_MAX_NS)

    def restart(self) -> None:
        """Begin again with twice the limit, for a new connection."""
        self._limit_ns = min(2 * self._limit_ns, SILENT_MAX_NS)
        self._beat_ns, self._silent_ns, self._period_ns = None, 0, 0


class CameraSockets:
    """The connected sockets of one camera endpoint.

    `frame_bytes` is the size of the largest frame that can be inspected. Raises StartupError for an invalid endpoint.
    An unreachable camera is not an error.
    """

    def __init__(
        self,
        context: Context,
        endpoint: str,
        settings: IntakeSection,
        prefixes: Sequence[bytes],
        keys: Keys,
        frame_bytes: int,
    ) -> None:
        self.endpoint = endpoint
        self.alive = False
        self._context = context
        self._settings = settings
        self._prefixes = prefixes
        self._keys = keys
        self._silence = Silence()
        self._swallowed = Swallowed(frame_bytes)
        self._descriptor: int | None = None  # of the connection that brings messages
        self._connections: dict[Side, WatchedConnection] = {}
        try:
            self._connections["messages"] = WatchedConnection(self._for_messages, endpoint)
            self._connections["liveness"] = WatchedConnection(self._for_liveness, endpoint)
        except zmq.ZMQError as error:
            self.close()
            raise StartupError(f"cameras: cannot connect to {endpoint}: {error}") from error

    @property
    def socket(self) -> Socket:
        """The socket that messages arrive on; another one after `repair`."""
        return self._connections["messages"].socket

    def heard(self, size: int, *, beat: bool) -> None:
        """Note that a message of so many bytes was read; `beat` for a camera's heartbeat."""
        self._silence.heard(time.monotonic_ns(), beat=beat)
        self._swallowed.heard(size)

    def changes(self) -> Iterator[bool]:
        """Yield True if the camera came up since the last call, False if it went down."""
        now_ns = time.monotonic_ns()
        for connection in self._connections.values():
            connection.update(now_ns)
        messages = self._connections["messages"]
        if messages.descriptor != self._descriptor:
            self._descriptor = messages.descriptor
            self._swallowed.connected(self._descriptor)
        alive = all(connection.up for connection in self._connections.values())
        if alive is not self.alive:
            self.alive = alive
            yield alive

    def repair(self, *, quiet: bool) -> str:
        """Make connections anew that libzmq has given up or that are silent. Returns why, "" if none was.

        Call it once a turn, when no message is left to be read; `quiet` if the camera has announced its end.
        """
        now_ns, why = time.monotonic_ns(), ""
        if self._silence.too_long(now_ns) and self.alive and not quiet:
            why = SILENT
            self._renew("messages")
        elif self._swallowed.too_much():
            why = DAMAGED_LENGTH
            self._renew("messages")
        for side, connection in self._connections.items():
            if connection.given_up(now_ns):
                self._renew(side)
                why = connection.trouble
        return why

    def close(self) -> None:
        """Close all sockets."""
        while self._connections:
            self._connections.popitem()[1].close()

    def _renew(self, side: Side) -> None:
        self._connections[side].renew()
        if side == "messages":
            self._silence.restart()
            self._swallowed.restart()

    def _for_messages(self) -> Socket:
        socket = subscriber(
            self._context, receive_hwm=self._settings.receive_hwm, max_bytes=MAX_MESSAGE_BYTES
        )
        for prefix in self._prefixes:
            socket.setsockopt(zmq.SUBSCRIBE, prefix)
        return self._configured(socket)

    def _for_liveness(self) -> Socket:
        return self._configured(liveness_subscriber(self._context, heartbeat_ms=self._settings.heartbeat_ms))

    def _configured(self, socket: Socket) -> Socket:
        socket.setsockopt(zmq.IPV6, "[" in self.endpoint)
        self._keys.configure_client(socket, self.endpoint)
        return socket
