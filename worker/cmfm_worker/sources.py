"""Which cameras are there: connections of the frame socket as its monitor reports them.

A killed publisher's connection closes at once; one that is stopped, unplugged or hung misses its ZMTP
heartbeats. Both arrive here as a disconnect.
"""

from collections.abc import Iterator, Sequence

import zmq
from zmq.utils.monitor import recv_monitor_message

from cmfm_worker.sockets import Socket

EVENTS = zmq.EVENT_HANDSHAKE_SUCCEEDED | zmq.EVENT_DISCONNECTED


class Sources:
    """Liveness of the endpoints of one SUB socket."""

    def __init__(self, socket: Socket, endpoints: Sequence[str]) -> None:
        self._socket = socket
        self._alive = dict.fromkeys(endpoints, False)
        self.monitor = socket.get_monitor_socket(EVENTS)

    def changes(self) -> Iterator[tuple[str, bool]]:
        """Endpoints that came up (True) or went down (False) since the last call."""
        while self.monitor.poll(0):
            message = recv_monitor_message(self.monitor)
            endpoint = message["endpoint"].decode()
            alive = message["event"] == zmq.EVENT_HANDSHAKE_SUCCEEDED
            if self._alive.get(endpoint) != alive:
                self._alive[endpoint] = alive
                yield endpoint, alive

    def close(self) -> None:
        """Stop watching."""
        self._socket.disable_monitor()
        self.monitor.close(0)
