"""A connection that is watched on its own socket and made anew when libzmq has given it up.

libzmq connects again after a connection is closed or refused. It does not connect again after a protocol error: a
message above ZMQ_MAXMSGSIZE, damaged ZMTP framing, a server with other security or of another kind. The socket then
stays silent for ever. Its monitor shows that: a disconnect or a failed handshake that no new attempt follows.
"""

import itertools
from collections.abc import Callable
from typing import Final

import zmq
from zmq.utils.monitor import recv_monitor_message

from cmfm_client.errors import EndpointError
from cmfm_client.sockets import ZmqSocket, check_endpoint
from cmfm_protocol.clock import NS_PER_MS

RETRIED: Final = zmq.EVENT_CONNECT_DELAYED | zmq.EVENT_CONNECT_RETRIED
FAILED: Final = (
    zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL
    | zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL
    | zmq.EVENT_HANDSHAKE_FAILED_AUTH
)
DOWN: Final = zmq.EVENT_DISCONNECTED | zmq.EVENT_CLOSED | FAILED
EVENTS: Final = zmq.EVENT_CONNECTED | zmq.EVENT_HANDSHAKE_SUCCEEDED | RETRIED | DOWN

RENEW_NS: Final = 250 * NS_PER_MS
"""Wait after a disconnect that libzmq does not follow up. It doubles with each failure, up to `RENEW_MAX_NS`."""

RENEW_MAX_NS: Final = 2000 * NS_PER_MS

HANDSHAKE_NS: Final = 3000 * NS_PER_MS
"""A server that accepts and completes no ZMTP handshake within this is not the peer, or not yet."""

OTHER_SECURITY: Final = "other security than expected: CURVE on one side only, or another key"
NO_HANDSHAKE: Final = (
    "what answers at the address completes no ZMTP handshake: another service, or one that hangs"
)
PROTOCOL_ERROR: Final = "protocol error: a message above the size limit, or damaged ZMTP framing"

_SECURITY: Final = frozenset(
    {
        zmq.PROTOCOL_ERROR_ZMTP_MECHANISM_MISMATCH,
        zmq.PROTOCOL_ERROR_ZMTP_CRYPTOGRAPHIC,
        zmq.PROTOCOL_ERROR_ZMTP_KEY_EXCHANGE,
    }
)


_numbers = itertools.count()


def watched(make: Callable[[], ZmqSocket], endpoint: str, name: str) -> "WatchedConnection":
    """Connect in the background and watch. Raises EndpointError; `name` says in it whose endpoint it is."""
    check_endpoint(endpoint, name)
    try:
        return WatchedConnection(make, endpoint)
    except zmq.ZMQError as error:
        raise EndpointError(f"{name} {endpoint!r} cannot be connected to: {error}") from error


class WatchedConnection:
    """One connecting socket and its monitor, `socket` and `monitor`; others after `renew`. One thread uses it.

    `make` returns the configured socket, not connected. Raises zmq.ZMQError for an invalid endpoint.
    """

    def __init__(self, make: Callable[[], ZmqSocket], endpoint: str) -> None:
        self.up = False
        self.descriptor: int | None = None  # of the connection, which libzmq owns and may close at any time
        self.trouble = ""  # why libzmq gave the connection up, until the next handshake succeeds
        self._make = make
        self._endpoint = endpoint
        self._suspect = PROTOCOL_ERROR  # the trouble, if libzmq gives up now
        self._wait_ns = RENEW_NS
        self._open()

    def update(self, now_ns: int) -> None:
        """Read what the monitor reports."""
        while self.monitor.poll(0):
            message = recv_monitor_message(self.monitor)
            self._take(int(message["event"]), int(message["value"]), now_ns)

    def given_up(self, now_ns: int) -> bool:
        """Tell whether only `renew` can bring the connection back."""
        return self._renew_ns is not None and now_ns >= self._renew_ns

    def renew(self) -> None:
        """Replace the socket. What it has received and not delivered is lost: read it before."""
        self.close()
        self.up, self.trouble, self.descriptor = False, self._suspect, None
        self._wait_ns = min(2 * self._wait_ns, RENEW_MAX_NS)
        self._open()

    def close(self) -> None:
        """Close the socket and its monitor."""
        self.socket.disable_monitor()
        self.monitor.close(0)
        self.socket.close(0)

    def _open(self) -> None:
        self.socket = self._make()
        self.monitor = _monitor_of(self.socket)
        self._renew_ns: int | None = None
        try:
            self.socket.connect(self._endpoint)
        except zmq.ZMQError:
            self.close()
            raise

    def _take(self, event: int, value: int, now_ns: int) -> None:
        if event == zmq.EVENT_HANDSHAKE_SUCCEEDED:
            self.up, self.trouble, self._renew_ns, self._wait_ns = True, "", None, RENEW_NS
        elif event == zmq.EVENT_CONNECTED:
            self._suspect, self._renew_ns, self.descriptor = NO_HANDSHAKE, now_ns + HANDSHAKE_NS, value
        elif event & RETRIED:
            self._renew_ns = None
        else:
            if event & FAILED:
                self._suspect = OTHER_SECURITY if value in _SECURITY else NO_HANDSHAKE
            elif self.up:
                self._suspect = PROTOCOL_ERROR
            self.up, self.descriptor = False, None
            self._renew_ns = now_ns + self._wait_ns


def _monitor_of(socket: ZmqSocket) -> ZmqSocket:
    """Return a socket that hears of the events of another; `cmfm_client.sockets` says why its queue has no limit."""
    address = f"inproc://cmfm-watched-{next(_numbers)}"
    socket.monitor(address, EVENTS)
    monitor: ZmqSocket = socket.context.socket(zmq.PAIR)
    monitor.setsockopt(zmq.RCVHWM, 0)
    monitor.connect(address)
    return monitor
