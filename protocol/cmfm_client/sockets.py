"""ZeroMQ sockets with the options that an inspection line needs, and why each is set.

libzmq's defaults suit chat, not a line. The traps, each explained here and nowhere else:

- **High-water marks.** `SNDHWM` and `RCVHWM` count messages a peer, not bytes: the default of 1000 frames of 10 MB is
  10 GB. Set a small one for frames (an old frame is worth nothing) and a large one for results (1 kB each).
- **Silent loss.** A PUB or XPUB socket drops what a slow subscriber has no room for, and says nothing. `XPUB_NODROP`
  makes the send fail instead (`zmq.Again` after `SNDTIMEO`), so that the sender can count the loss. The first message
  frame is refused, so a message never leaves in part.
- **Slow joiner.** What is published before a subscription has arrived is gone, and a SUB socket connects in the
  background. A camera waits for the subscription on its XPUB; a subscriber asks the recovery socket for the rest.
- **Linger.** A socket with the default `LINGER` of -1 keeps its context from ending until every message is delivered,
  which is for ever if the peer is gone. Give `close` a limit in milliseconds.
- **Heartbeats.** `HEARTBEAT_IVL` finds a peer that hangs or was unplugged; TCP alone takes minutes. Never set it on a
  connecting socket whose receive queue can fill up, nor `HEARTBEAT_TTL` on its peer: behind a full queue libzmq does
  not read the replies, takes a healthy peer for dead, and up to 4.3.5 can abort the process (libzmq issue 3937,
  `_input_stopped`). Nor set it on a socket that sends frames: a receiver with a full queue replies to no PING, and is
  cut off with all that is on its way. TCP keepalive does not have that fault and takes four seconds.
- **CONFLATE.** Never set it: of a message of several frames it delivers the last frame alone.
- **Size.** `MAXMSGSIZE` has no limit by default. It applies to each message frame; a peer that sends a larger one is
  cut off before anything is allocated.
- **Reconnecting.** A connecting socket tries again every 100 ms by itself. `RECONNECT_IVL_MAX` lets the interval grow,
  here to one second.
- **Protocol errors.** After one, such as a message above `MAXMSGSIZE`, damaged framing, CURVE on one side only or
  another service at the address, libzmq does not connect again: the socket is silent for ever. `WatchedConnection`
  sees that on the socket's monitor and makes the connection anew.
- **Lengths.** A damaged message length below `MAXMSGSIZE` makes libzmq wait for bytes that never come, and take all
  that follows for them. ZMTP heartbeats end such a connection. Where they cannot be set, a small `MAXMSGSIZE` bounds
  the loss.
- **Monitors.** Behind 2000 events that nobody has read, the context's I/O thread waits, and with it every socket and
  the end of the context. The receiving side of a monitor needs `RCVHWM` 0.
- **REQ.** After a lost reply a REQ socket refuses to send. A DEALER that sends REQ's empty delimiter does not.
- **Routing ids.** A ROUTER ignores a client whose `ROUTING_ID` is that of a connection which it still believes in: a
  client that was unplugged and starts again is unheard until TCP gives the old one up. `ROUTER_HANDOVER` lets the
  newer one take over.
- **Late delivery.** A connecting socket queues messages for a peer that is not there and delivers them when it comes,
  minutes later. `IMMEDIATE` lets it send only over a connection, so that a request that timed out is not done later.
- **IPv6.** It is off by default; an endpoint such as `tcp://[::1]:5556` needs it.
- **IPC.** A path is limited to 107 bytes. `bind` takes a path away from the process that holds it without a word.
- **Order.** Options hold for connections made after they are set: set them, CURVE keys above all, before `bind` or
  `connect`.
- **Threads.** A socket belongs to one thread at a time. A context may be shared.
"""

import re
import socket as system_socket
from typing import Final

import zmq

from cmfm_client.errors import BindError, EndpointError

ZmqContext = zmq.Context[zmq.Socket[bytes]]
ZmqSocket = zmq.Socket[bytes]

HEARTBEAT_IVL_MS: Final = 250
"""Interval at which a peer is asked for a sign of life."""

HEARTBEAT_TIMEOUT_MS: Final = 500
"""Time without a reply after which a peer is dead: 750 ms after its last sign of life at most."""

RECONNECT_MAX_MS: Final = 1000
"""Longest interval between two attempts to connect."""

IPC_PATH_BYTES: Final = 107
"""Longest path of a Unix socket: sockaddr_un holds 108 bytes with the final zero."""

_ENDPOINT: Final = re.compile(r"(tcp://(\S+):(\d{1,5}|\*)|ipc://\S.*)")


def check_endpoint(endpoint: str, name: str) -> str:
    """Return an endpoint that has a valid form. Raises EndpointError; `name` says in it whose endpoint it is."""
    match = _ENDPOINT.fullmatch(endpoint)
    if match is None:
        raise EndpointError(f"{name} {endpoint!r} is not an endpoint; expected tcp://HOST:PORT or ipc://PATH")
    if match[3] not in (None, "*") and not 0 < int(match[3]) < 65_536:
        raise EndpointError(f"{name} {endpoint!r}: a port is 1 to 65535")
    if endpoint.startswith("ipc://") and len(endpoint.removeprefix("ipc://").encode()) > IPC_PATH_BYTES:
        raise EndpointError(
            f"{name} {endpoint!r}: the path of a Unix socket has at most {IPC_PATH_BYTES} bytes"
        )
    return endpoint


def notice_dead_peer(socket: ZmqSocket) -> None:
    """Notice a dead peer within a second by ZMTP heartbeats. Not for a connecting socket whose queue can fill up."""
    socket.setsockopt(zmq.HEARTBEAT_IVL, HEARTBEAT_IVL_MS)
    socket.setsockopt(zmq.HEARTBEAT_TIMEOUT, HEARTBEAT_TIMEOUT_MS)


def notice_dead_host(socket: ZmqSocket) -> None:
    """Notice an unreachable host within four seconds by TCP keepalive, also behind a full queue."""
    socket.setsockopt(zmq.TCP_KEEPALIVE, 1)
    socket.setsockopt(zmq.TCP_KEEPALIVE_IDLE, 1)
    socket.setsockopt(zmq.TCP_KEEPALIVE_INTVL, 1)
    socket.setsockopt(zmq.TCP_KEEPALIVE_CNT, 3)


def bind(socket: ZmqSocket, endpoint: str, name: str) -> str:
    """Bind and return the endpoint with its real port; `tcp://127.0.0.1:*` takes a free one.

    Raises EndpointError or BindError; the socket is closed then.
    """
    try:
        check_endpoint(endpoint, name)
        _require_unserved(endpoint, name)
        _allow_ipv6(socket, endpoint)
        socket.bind(endpoint)
    except (EndpointError, BindError):
        socket.close(0)
        raise
    except zmq.ZMQError as error:
        socket.close(0)
        raise BindError(f"cannot bind {name} {endpoint}: {error}; is another process there?") from error
    return socket.getsockopt_string(zmq.LAST_ENDPOINT)


def connect(socket: ZmqSocket, endpoint: str, name: str) -> None:
    """Connect in the background; the peer may come later. Raises EndpointError; the socket is closed then."""
    try:
        check_endpoint(endpoint, name)
        prepare_to_connect(socket, endpoint)
        socket.connect(endpoint)
    except EndpointError:
        socket.close(0)
        raise
    except zmq.ZMQError as error:
        socket.close(0)
        raise EndpointError(f"{name} {endpoint!r} cannot be connected to: {error}") from error


def prepare_to_connect(socket: ZmqSocket, endpoint: str) -> None:
    """Set the options of a socket that is going to be connected to an endpoint."""
    socket.setsockopt(zmq.RECONNECT_IVL_MAX, RECONNECT_MAX_MS)
    _allow_ipv6(socket, endpoint)


def _allow_ipv6(socket: ZmqSocket, endpoint: str) -> None:
    socket.setsockopt(zmq.IPV6, "[" in endpoint)


def _require_unserved(endpoint: str, name: str) -> None:
    """Raise BindError if a process listens on an ipc endpoint: `bind` would take it away from that process."""
    path = endpoint.removeprefix("ipc://")
    if path == endpoint or path.startswith("@"):
        return
    with system_socket.socket(system_socket.AF_UNIX, system_socket.SOCK_STREAM) as probe:
        if probe.connect_ex(path) == 0:
            raise BindError(f"cannot bind {name} {endpoint}: another process listens there")
