"""ZeroMQ sockets with the line's options, and errors that name the endpoint.

`cmfm_client.sockets` explains the options and the traps that they avoid.
"""

import socket as os_socket
from typing import Final

import zmq

from cmfm_protocol.wire.limits import MAX_REQUEST_BYTES
from cmfm_worker.errors import StartupError
from cmfm_worker.line.net.curve import CurveServer

Context = zmq.Context[zmq.Socket[bytes]]
Socket = zmq.Socket[bytes]

LINGER_MS: Final = 2000
"""How long a closing socket still tries to deliver: verdicts of a drain must reach slow subscribers."""

HANDSHAKE_MS: Final = 5000
"""A peer that connects and does not complete its handshake within this is disconnected."""


def bind(
    context: Context, kind: int, endpoint: str, *, send_hwm: int, curve: CurveServer | None = None
) -> Socket:
    """Return a bound socket, a CURVE server if `curve` is given. Raises StartupError naming the endpoint.

    It sends no ZMTP heartbeats: a client may fill the queue with its requests and go away.
    """
    if is_served(endpoint):
        raise StartupError(f"cannot bind {endpoint}: it is in use; is another worker running?")
    socket = context.socket(kind)
    socket.setsockopt(zmq.IPV6, "[" in endpoint)
    socket.setsockopt(zmq.SNDHWM, send_hwm)
    socket.setsockopt(zmq.LINGER, LINGER_MS)
    _keep_alive_by_tcp(socket, idle_s=10)
    socket.setsockopt(zmq.HANDSHAKE_IVL, HANDSHAKE_MS)
    socket.setsockopt(zmq.MAXMSGSIZE, MAX_REQUEST_BYTES)
    if kind == zmq.ROUTER:
        socket.setsockopt(zmq.ROUTER_HANDOVER, 1)
    if curve is not None:
        curve.configure(socket)
    try:
        socket.bind(endpoint)
    except zmq.ZMQError as error:
        socket.close(0)
        raise StartupError(f"cannot bind {endpoint}: {error}; is another worker running?") from error
    return socket


def is_served(endpoint: str) -> bool:
    """Whether a process listens on an ipc endpoint: ZeroMQ would silently take it away from that process."""
    path = endpoint.removeprefix("ipc://")
    if path == endpoint or path.startswith("@"):
        return False
    with os_socket.socket(os_socket.AF_UNIX, os_socket.SOCK_STREAM) as probe:
        try:
            probe.connect(path)
        except OSError:  # nobody listens, or the path is wrong and `bind` will say so
            return False
        return True


def subscriber(context: Context, *, receive_hwm: int, max_bytes: int) -> Socket:
    """Return an unconnected SUB socket that reconnects quickly; TCP notices a host that is gone within 4 s.

    It sends no ZMTP heartbeats, because its queue can fill up; a `liveness_subscriber` beside it does.
    """
    socket = context.socket(zmq.SUB)
    socket.setsockopt(zmq.RCVHWM, receive_hwm)
    socket.setsockopt(zmq.LINGER, 0)
    _keep_alive_by_tcp(socket, idle_s=1)
    socket.setsockopt(zmq.RECONNECT_IVL, 50)
    socket.setsockopt(zmq.RECONNECT_IVL_MAX, 1000)
    socket.setsockopt(zmq.MAXMSGSIZE, max_bytes)
    return socket


def liveness_subscriber(context: Context, *, heartbeat_ms: int) -> Socket:
    """Return an unconnected SUB socket that subscribes to nothing and is connected only while its peer responds.

    A silent peer is disconnected after three heartbeats.
    """
    socket = subscriber(context, receive_hwm=1, max_bytes=MAX_REQUEST_BYTES)
    socket.setsockopt(zmq.HEARTBEAT_IVL, heartbeat_ms)
    socket.setsockopt(zmq.HEARTBEAT_TIMEOUT, 2 * heartbeat_ms)
    socket.setsockopt(zmq.HEARTBEAT_TTL, 3 * heartbeat_ms)
    return socket


def _keep_alive_by_tcp(socket: Socket, *, idle_s: int) -> None:
    """Let the kernel close a connection whose peer has been unreachable for four times `idle_s`."""
    socket.setsockopt(zmq.TCP_KEEPALIVE, 1)
    socket.setsockopt(zmq.TCP_KEEPALIVE_IDLE, idle_s)
    socket.setsockopt(zmq.TCP_KEEPALIVE_INTVL, idle_s)
    socket.setsockopt(zmq.TCP_KEEPALIVE_CNT, 3)
