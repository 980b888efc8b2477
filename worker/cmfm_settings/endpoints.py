"""ZeroMQ endpoints and hosts in settings: which are valid, and who can reach them."""

import ipaddress
import re
from typing import Annotated, Final

from pydantic import AfterValidator

from cmfm_protocol.wire.limits import MAX_TEXT_BYTES

MAX_PORT: Final = 65_535
MAX_IPC_PATH_BYTES: Final = 107
"""Linux: sizeof(sockaddr_un.sun_path) less its last zero byte."""

_TCP: Final = re.compile(r"tcp://(\[[0-9A-Za-z:.%]+\]|[^\s\[\]/:]+):([0-9]+|\*)")
_NAMED: Final = re.compile(r"(ipc|inproc)://(.+)")


def _require_bound(endpoint: str) -> str:
    """Return the endpoint if a socket can be bound to it and a state message can name it; else raise ValueError."""
    _require_text(endpoint)
    if named := _NAMED.fullmatch(endpoint):
        if named[1] == "ipc" and len(named[2].encode()) > MAX_IPC_PATH_BYTES:
            raise ValueError(f"the path of an ipc endpoint has at most {MAX_IPC_PATH_BYTES} bytes")
        return endpoint
    tcp = _TCP.fullmatch(endpoint)
    if tcp is None:
        raise ValueError("expected tcp://HOST:PORT or ipc://PATH; an IPv6 address is written in brackets")
    if tcp[2] != "*" and not 1 <= int(tcp[2]) <= MAX_PORT:
        raise ValueError(f"port {tcp[2]} is not one of 1 to {MAX_PORT}")
    return endpoint


def _require_reachable(endpoint: str) -> str:
    """Return the endpoint if a socket can connect to it; else raise ValueError."""
    _require_bound(endpoint)
    if endpoint.startswith("tcp://") and "*" in endpoint:
        raise ValueError("name host and port of the other side; * is for sockets that are bound here")
    return endpoint


def _require_text(value: str) -> None:
    if not value.isprintable() or len(value.encode()) > MAX_TEXT_BYTES:
        raise ValueError(f"longer than {MAX_TEXT_BYTES} bytes, or not printable")


def _require_host(host: str) -> str:
    """Return the host if the system's resolver can be asked for it; else raise ValueError."""
    _require_text(host)
    try:
        host.encode("idna")
    except UnicodeError as error:
        raise ValueError(f"not a host name or address: {error}") from error
    return host


BoundEndpoint = Annotated[str, AfterValidator(_require_bound)]
"""An endpoint that the program binds."""

ServerEndpoint = Annotated[str, AfterValidator(_require_reachable)]
"""An endpoint that the program connects to."""

Host = Annotated[str, AfterValidator(_require_host)]
"""A host name or address that an HTTP server is bound to."""


def is_local(endpoint: str) -> bool:
    """Tell whether a bound endpoint can be reached from this host alone."""
    match = re.match(r"^tcp://\[?([^\]]+?)\]?:[^:]*$", endpoint)
    if match is None:
        return not endpoint.startswith("tcp://")
    return is_local_host(match.group(1))


def is_local_host(host: str) -> bool:
    """Tell whether a server bound to a host name or address can be reached from this host alone."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
