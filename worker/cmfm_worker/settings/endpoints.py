"""ZeroMQ endpoints and hosts as settings name them: what is one, and who can reach it."""

import ipaddress
import re
from typing import Annotated

from pydantic import AfterValidator

from cmfm_protocol.wire.limits import MAX_TEXT_BYTES


def as_endpoint(value: str) -> str:
    """A ZeroMQ endpoint with a port where it needs one, such that the state message can name it."""
    if not re.fullmatch(r"tcp://.+:(\d+|\*)|(ipc|inproc)://.+", value):
        raise ValueError("expected tcp://HOST:PORT or ipc://PATH")
    if not value.isprintable() or len(value.encode()) > MAX_TEXT_BYTES:
        raise ValueError(f"longer than {MAX_TEXT_BYTES} bytes, or not printable")
    return value


Endpoint = Annotated[str, AfterValidator(as_endpoint)]


def is_local(endpoint: str) -> bool:
    """Whether only this host can reach a bound endpoint."""
    match = re.match(r"^tcp://\[?([^\]]+?)\]?:[^:]*$", endpoint)
    if match is None:
        return not endpoint.startswith("tcp://")
    return is_local_host(match.group(1))


def is_local_host(host: str) -> bool:
    """Whether a server bound to a host name or address can be reached from this host alone."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
