"""Addresses of this line's servers: how a client on this machine reaches them, and whether one is free."""

import errno
import re
import socket
from contextlib import closing
from enum import StrEnum
from typing import Final

_ANY: Final = {"*": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}  # noqa: S104 (compared)
_TCP: Final = re.compile(r"tcp://\[?([^\]]+?)\]?:(\d+)")


class Bindable(StrEnum):
    """Whether a TCP port can be bound."""

    FREE = "free"
    TAKEN = "taken"
    NOT_ALLOWED = "not allowed"
    NOT_HERE = "not an address of this machine"
    UNKNOWN = "unknown host or interface"


def local_host(host: str) -> str:
    """Return the host by which a client on this machine reaches a server that is bound to `host`."""
    return _ANY.get(host, host)


def host_and_port(endpoint: str) -> tuple[str, int] | None:
    """Return host and port of a tcp endpoint with a fixed port; None for others."""
    match = _TCP.fullmatch(endpoint)
    return (match[1], int(match[2])) if match else None


def reachable(endpoint: str) -> str:
    """Return the endpoint that a client on this machine connects to, for one that is bound."""
    address = host_and_port(endpoint)
    if address is None:
        return endpoint
    host = local_host(address[0])
    return f"tcp://{f'[{host}]' if ':' in host else host}:{address[1]}"


def bindable(host: str, port: int) -> Bindable:
    """Try to bind a TCP port for a moment, without listening."""
    wanted = "0.0.0.0" if host == "*" else host  # noqa: S104 (as the settings say)
    try:
        family, kind, _, _, address = socket.getaddrinfo(
            wanted, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except OSError:
        return Bindable.UNKNOWN
    with closing(socket.socket(family, kind)) as tried:
        tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            tried.bind(address)
        except OSError as error:
            return _REFUSALS.get(error.errno or 0, Bindable.UNKNOWN)
    return Bindable.FREE


_REFUSALS: Final = {
    errno.EADDRINUSE: Bindable.TAKEN,
    errno.EACCES: Bindable.NOT_ALLOWED,
    errno.EADDRNOTAVAIL: Bindable.NOT_HERE,
}
