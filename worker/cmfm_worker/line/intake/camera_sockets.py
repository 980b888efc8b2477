"""The cameras: two SUB sockets for each endpoint, one for its frames and one to feel its pulse.

A killed publisher's connections close at once; one that is stopped, unplugged or hung misses its ZMTP heartbeats. Both
arrive here as a disconnect of the pulse, which carries nothing else: frames that wait behind a full queue never make a
camera look dead (`sockets.subscriber`). Each camera has sockets of its own because a message does not tell which
connection it came by, and a monitor names a host by its address once it had to reconnect.
"""

from collections.abc import Iterator, Sequence

import zmq
from zmq.utils.monitor import recv_monitor_message

from cmfm_protocol.wire.limits import MAX_MESSAGE_BYTES
from cmfm_worker.errors import StartupError
from cmfm_worker.line.net.curve import Keys
from cmfm_worker.line.net.sockets import Context, pulse, subscriber
from cmfm_worker.settings.sections.network import IntakeSection

EVENTS = zmq.EVENT_HANDSHAKE_SUCCEEDED | zmq.EVENT_DISCONNECTED


class Source:
    """One camera endpoint. Raises StartupError where it is none; that nobody answers there is no error."""

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
        self._pulse = pulse(context, heartbeat_ms=settings.heartbeat_ms)
        self.monitor = self._pulse.get_monitor_socket(EVENTS)
        for prefix in prefixes:
            self.socket.setsockopt(zmq.SUBSCRIBE, prefix)
        try:
            for socket in (self.socket, self._pulse):
                socket.setsockopt(zmq.IPV6, "[" in endpoint)
                keys.configure_client(socket, endpoint)
                socket.connect(endpoint)
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
        self._pulse.disable_monitor()
        self.monitor.close(0)
        self._pulse.close(0)
        self.socket.close(0)
