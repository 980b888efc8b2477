"""Asks what answers at an endpoint: opens a connection, reads the ZMTP greeting and the type of the socket.

libzmq's monitor tells that a handshake failed and not why. This reads the first bytes itself (ZMTP 3.0, RFC 23) and
hangs up; it subscribes to nothing.
"""

import socket
from contextlib import closing
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

TIMEOUT_S: Final = 2.0
GREETING: Final = b"\xff" + bytes(7) + b"\x01\x7f" + b"\x03\x00" + b"NULL".ljust(20, b"\0") + bytes(32)
MAX_COMMAND_BYTES: Final = 512
VERSION_AT, MECHANISM_AT, MECHANISM_END = 10, 12, 32
LONG, COMMAND = 0x02, 0x04
SHOWN_BYTES: Final = 40


class Answer(StrEnum):
    """The kind of service that answers at an endpoint."""

    NOBODY = "nobody"
    UNREACHABLE = "unreachable"
    UNKNOWN_HOST = "unknown_host"
    SILENT = "silent"
    FOREIGN = "foreign"
    OLD_ZMTP = "old_zmtp"
    ZMTP = "zmtp"


@dataclass(frozen=True, slots=True)
class Probe:
    """The answer. `detail` for people; `mechanism` NULL, PLAIN or CURVE, `socket_type` only with NULL."""

    answer: Answer
    detail: str = ""
    mechanism: str = ""
    socket_type: str = ""


def probe(endpoint: str, timeout_s: float = TIMEOUT_S) -> Probe:
    """Ask what answers at a tcp or ipc endpoint. Never raises for what a peer does."""
    try:
        connection = _connect(endpoint, timeout_s)
    except socket.gaierror as error:
        return Probe(Answer.UNKNOWN_HOST, str(error))
    except (ConnectionRefusedError, FileNotFoundError) as error:
        return Probe(Answer.NOBODY, str(error))
    except OSError as error:
        return Probe(Answer.UNREACHABLE, str(error) or "no answer")
    with closing(connection):
        return _greet(connection)


def _connect(endpoint: str, timeout_s: float) -> socket.socket:
    kind, _, address = endpoint.partition("://")
    if kind == "ipc":
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.settimeout(timeout_s)
        try:
            connection.connect("\0" + address[1:] if address.startswith("@") else address)
        except OSError:
            connection.close()
            raise
        return connection
    host, _, port = address.rpartition(":")
    return socket.create_connection((host.strip("[]"), int(port)), timeout=timeout_s)


def _greet(connection: socket.socket) -> Probe:
    try:
        connection.sendall(
            GREETING[: VERSION_AT + 1]
        )  # the peer's mechanism first: another one ends the connection
    except OSError:
        return Probe(Answer.SILENT, "it closes the connection")
    found = _receive(connection, len(GREETING))
    if not found:
        return Probe(Answer.SILENT, "it accepts connections and says nothing")
    if found[0] != 0xFF or (len(found) > 9 and found[9] != 0x7F):
        shown = found[:SHOWN_BYTES].decode("ascii", errors="backslashreplace")
        return Probe(Answer.FOREIGN, repr(shown))
    if len(found) < len(GREETING) or found[VERSION_AT] < 3:
        return Probe(Answer.OLD_ZMTP, f"{len(found)} bytes of greeting")
    mechanism = found[MECHANISM_AT:MECHANISM_END].rstrip(b"\0").decode("ascii", errors="replace")
    version = f"ZMTP {found[VERSION_AT]}.{found[VERSION_AT + 1]}"
    return Probe(Answer.ZMTP, version, mechanism, _socket_type(connection) if mechanism == "NULL" else "")


def _socket_type(connection: socket.socket) -> str:
    """The Socket-Type of the peer's READY command; "" if it sends none."""
    try:
        connection.sendall(
            GREETING[VERSION_AT + 1 :]
        )  # and no READY: a type that does not fit ends the connection
    except OSError:
        return ""
    head = _receive(connection, 2)
    if len(head) < 2 or head[0] & LONG or not head[0] & COMMAND:
        return ""
    command = _receive(connection, min(head[1], MAX_COMMAND_BYTES))
    name, _, rest = command.partition(b"Socket-Type")
    if not name.startswith(b"\x05READY") or len(rest) < 4:
        return ""
    size = int.from_bytes(rest[:4], "big")
    return rest[4 : 4 + size].decode("ascii", errors="replace")


def _receive(connection: socket.socket, count: int) -> bytes:
    """Up to `count` bytes; fewer if the peer ends the connection or stays silent."""
    found = b""
    try:
        while len(found) < count and (data := connection.recv(count - len(found))):
            found += data
    except OSError:
        pass
    return found
