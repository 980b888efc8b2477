"""ZeroMQ sockets of the simulator, with errors that name the endpoint (WIRE.md, sockets)."""

import re
import secrets
import socket as system_socket
from typing import Final

import zmq

from cmfm_sim.errors import FailedError, InputError

ZmqContext = zmq.Context[zmq.Socket[bytes]]
ZmqSocket = zmq.Socket[bytes]

HEARTBEAT_IVL_MS: Final = 250
"""A peer is asked this often whether it lives …"""

HEARTBEAT_TIMEOUT_MS: Final = 500
"""… and taken for dead when this long passes without an answer: 750 ms at most after its last sign of life."""

IPC_PATH_BYTES: Final = 107
"""Longest path of a Unix socket (sockaddr_un holds 108 bytes with the final zero)."""

FIRST_PORT: Final = 15_000
EPHEMERAL_PORTS: Final = 32_768
"""From here on Linux takes ports for outgoing connections, such as those of a subscriber that waits for its worker."""

_ENDPOINT: Final = re.compile(r"(tcp://(\S+):(\d{1,5}|\*)|ipc://\S.*)")


def check_endpoint(endpoint: str, option: str) -> str:
    """The endpoint, if it has the form of one. Raises InputError naming the option."""
    match = _ENDPOINT.fullmatch(endpoint)
    if match is None:
        raise InputError(f"{option} {endpoint!r} is no endpoint; expected tcp://HOST:PORT or ipc://PATH")
    if match[3] not in (None, "*") and not 0 < int(match[3]) < 65_536:
        raise InputError(f"{option} {endpoint!r}: a port is 1 to 65535")
    if endpoint.startswith("ipc://") and len(endpoint.removeprefix("ipc://").encode()) > IPC_PATH_BYTES:
        raise InputError(
            f"{option} {endpoint!r}: a path of more than {IPC_PATH_BYTES} bytes is no Unix socket's"
        )
    return endpoint


def keep_alive(socket: ZmqSocket) -> None:
    """Notice a dead peer within a second. Not for a connecting socket whose receive queue can fill up.

    Behind a full queue libzmq does not read the answers, gives a healthy peer up, and 4.3.5 can then abort the process
    (libzmq issue 3937, `_input_stopped`).
    """
    socket.setsockopt(zmq.HEARTBEAT_IVL, HEARTBEAT_IVL_MS)
    socket.setsockopt(zmq.HEARTBEAT_TIMEOUT, HEARTBEAT_TIMEOUT_MS)


def keep_alive_by_tcp(socket: ZmqSocket) -> None:
    """Notice a host that is gone within four seconds, however full the queue is."""
    socket.setsockopt(zmq.TCP_KEEPALIVE, 1)
    socket.setsockopt(zmq.TCP_KEEPALIVE_IDLE, 1)
    socket.setsockopt(zmq.TCP_KEEPALIVE_INTVL, 1)
    socket.setsockopt(zmq.TCP_KEEPALIVE_CNT, 3)


def bind(socket: ZmqSocket, endpoint: str, option: str) -> str:
    """Bind and return the endpoint with its real port. Raises InputError or FailedError; the socket is closed then."""
    try:
        check_endpoint(endpoint, option)
        socket.bind(endpoint)
    except InputError:
        socket.close(0)
        raise
    except zmq.ZMQError as error:
        socket.close(0)
        raise FailedError(f"cannot bind {option} {endpoint}: {error}; is another camera running?") from error
    return socket.getsockopt_string(zmq.LAST_ENDPOINT)


def connect(socket: ZmqSocket, endpoint: str, option: str) -> None:
    """Connect; there need be nobody yet. Raises InputError; the socket is closed then."""
    try:
        check_endpoint(endpoint, option)
        socket.connect(endpoint)
    except InputError:
        socket.close(0)
        raise
    except zmq.ZMQError as error:
        socket.close(0)
        raise InputError(f"{option} {endpoint!r} cannot be connected to: {error}") from error


def free_ports(count: int) -> list[int]:
    """Ports of 127.0.0.1 that nobody listens on at this moment, and that no outgoing connection will take."""
    held: list[system_socket.socket] = []
    try:
        while len(held) < count:
            probe = system_socket.socket(system_socket.AF_INET, system_socket.SOCK_STREAM)
            try:
                probe.bind(("127.0.0.1", FIRST_PORT + secrets.randbelow(EPHEMERAL_PORTS - FIRST_PORT)))
            except OSError:
                probe.close()
            else:
                held.append(probe)
        return [int(probe.getsockname()[1]) for probe in held]
    finally:
        for probe in held:
            probe.close()
