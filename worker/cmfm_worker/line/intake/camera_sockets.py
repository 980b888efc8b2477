"""The sockets of one camera: a SUB socket for its frames, and a second one that tells whether it is alive.

The connections of a killed camera close at once. A camera that is stopped, unplugged or hung misses its ZMTP
heartbeats. Both show as a disconnect of the second socket, which subscribes to nothing: frames that wait behind a full
queue then never make a camera look dead (`net.sockets.subscriber`).

Each camera has sockets of its own because a message does not tell which connection it came by, and because a monitor
names a host by its address after a reconnect.
"""

from collections.abc import Iterator, Sequence
from typing import Final

import zmq
from zmq.utils.monitor import recv_monitor_message

from cmfm_protocol.wire.limits import MAX_MESSAGE_BYTES
from cmfm_worker.errors import StartupError
from cmfm_worker.line.net.curve import Keys
from cmfm_worker.line.net.sockets import Context, pulse, subscriber
from cmfm_worker.settings.sections.network import IntakeSection

EVENTS: Final = zmq.EVENT_HANDSHAKE_SUCCEEDED | zmq.EVENT_DISCONNECTED
"""Monitor events that say that a camera came up or went down."""


class CameraSockets:
    """The connected sockets of one camera endpoint.

    Raises StartupError for an invalid endpoint. An unreachable camera is not an error.
    """

    def __init__(
        self,
        context: Context,
        endpoint: str,
        settings: IntakeSection,
        prefixes: Sequence[bytes],
        keys: Keys,
    ) -> None:
        self.endpoint = endpoint
        self.alive = False
        self.socket = subscriber(context, receive_hwm=settings.receive_hwm, max_bytes=MAX_MESSAGE_BYTES)
        self._watched = pulse(context, heartbeat_ms=settings.heartbeat_ms)
        self.monitor = self._watched.get_monitor_socket(EVENTS)
        for prefix in prefixes:
            self.socket.setsockopt(zmq.SUBSCRIBE, prefix)
        try:
            for socket in (self.socket, self._watched):
                socket.setsockopt(zmq.IPV6, "[" in endpoint)
                keys.configure_client(socket, endpoint)
                socket.connect(endpoint)
        except zmq.ZMQError as error:
            self.close()
            raise StartupError(f"sockets.frames: cannot connect to {endpoint}: {error}") from error

    def changes(self) -> Iterator[bool]:
        """Yield True for each time the camera came up since the last call, False for each time it went down."""
        while self.monitor.poll(0):
            alive = recv_monitor_message(self.monitor)["event"] == zmq.EVENT_HANDSHAKE_SUCCEEDED
            if alive != self.alive:
                self.alive = alive
                yield alive

    def close(self) -> None:
        """Close all sockets."""
        self._watched.disable_monitor()
        self.monitor.close(0)
        self._watched.close(0)
        self.socket.close(0)
