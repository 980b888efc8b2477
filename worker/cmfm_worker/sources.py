"""The cameras: one SUB socket for each endpoint, and whether it is connected, as the socket's monitor reports it.

A killed publisher's connection closes at once; one that is stopped, unplugged or hung misses its ZMTP
heartbeats. Both arrive here as a disconnect. Each camera has a socket of its own because a message does not tell
which connection it came by, and a monitor names a host by its address once it had to reconnect.
"""

from collections.abc import Iterator, Sequence

import zmq
from zmq.utils.monitor import recv_monitor_message

from cmfm_protocol.limits import MAX_MESSAGE_BYTES
from cmfm_worker.curve import Keys
from cmfm_worker.errors import StartupError
from cmfm_worker.settings import Intake
from cmfm_worker.sockets import Context, subscriber

EVENTS = zmq.EVENT_HANDSHAKE_SUCCEEDED | zmq.EVENT_DISCONNECTED


class Source:
    """One camera endpoint. Raises StartupError where it is none; that nobody answers there is no error."""

    def __init__(
        self,
        context: Context,
        endpoint: str,
        settings: Intake,
        prefixes: Sequence[bytes],
        keys: Keys,
    ) -> None:
        self.endpoint = endpoint
        self.alive = False
        self.socket = subscriber(
            context,
            receive_hwm=settings.receive_hwm,
            heartbeat_ms=settings.heartbeat_ms,
            max_bytes=MAX_MESSAGE_BYTES,
        )
        self.socket.setsockopt(zmq.IPV6, "[" in endpoint)
        keys.introduce(self.socket, endpoint)
        self.monitor = self.socket.get_monitor_socket(EVENTS)
        for prefix in prefixes:
            self.socket.setsockopt(zmq.SUBSCRIBE, prefix)
        try:
            self.socket.connect(endpoint)
        except zmq.ZMQError as error:
            self.close()
            raise StartupError(f"sockets.frames: cannot connect to {endpoint}: {error}") from error

    def changes(self) -> Iterator[bool]:
        """Whether the camera came up (True) or went down (False), each time since the last call."""
        while self.monitor.poll(0):
            alive = recv_monitor_message(self.monitor)["event"] == zmq.EVENT_HANDSHAKE_SUCCEEDED
            if alive != self.alive:
                self.alive = alive
                yield alive

    def close(self) -> None:
        """Stop watching and receiving."""
        self.socket.disable_monitor()
        self.monitor.close(0)
        self.socket.close(0)
