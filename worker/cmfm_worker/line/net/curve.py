"""The worker's CURVE keys on its sockets: server of its clients, client of its cameras (WIRE.md, security)."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal

import zmq

from cmfm_protocol.files.key_files import KeyFileError, KeyPair, read_pair, read_public
from cmfm_worker.errors import InputError
from cmfm_worker.line.net.allow_list import AllowList
from cmfm_worker.settings.sections.network import CurveSection

SocketName = Literal["results", "maps", "recovery", "control"]
"""A bound socket by its key under [sockets]; also its ZAP domain."""

SOCKET_NAMES: Final[tuple[SocketName, ...]] = ("results", "maps", "recovery", "control")


@dataclass(frozen=True, slots=True)
class CurveServer:
    """Makes a socket a CURVE server whose clients the ZAP handler checks."""

    own: KeyPair
    name: SocketName

    def configure(self, socket: "zmq.Socket[bytes]") -> None:
        """Set the options; call it before bind. Without a ZAP handler nobody can connect (ZMQ_ZAP_ENFORCE_DOMAIN)."""
        socket.setsockopt(zmq.CURVE_SERVER, 1)
        socket.setsockopt(zmq.CURVE_SECRETKEY, self.own.secret)
        socket.setsockopt(zmq.ZAP_DOMAIN, self.name.encode())
        socket.setsockopt(zmq.ZAP_ENFORCE_DOMAIN, 1)
        socket.monitor(monitor_address(self.name), zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL)


def monitor_address(name: SocketName) -> str:
    """Return where a CURVE server reports connections that failed before their key was known.

    Their client does not use CURVE, or expects another server's key.
    """
    return f"inproc://cmfm-refused-{name}"


@dataclass(frozen=True, slots=True)
class Keys:
    """All keys of a line. Without `own` nothing is encrypted and `curve_server` returns None."""

    own: KeyPair | None = None
    allowed: Mapping[SocketName, AllowList] = field(default_factory=dict)
    cameras: Mapping[str, bytes] = field(default_factory=dict)  # endpoint → public key

    def curve_server(self, name: SocketName) -> CurveServer | None:
        """Return the CURVE options of a bound socket, or None on a line that does not encrypt."""
        return None if self.own is None else CurveServer(self.own, name)

    def configure_client(self, socket: "zmq.Socket[bytes]", camera: str) -> None:
        """Make a socket a CURVE client of a camera (by its endpoint), if that camera has a key. Call before connect."""
        if self.own is not None and camera in self.cameras:
            socket.setsockopt(zmq.CURVE_SERVERKEY, self.cameras[camera])
            socket.setsockopt(zmq.CURVE_PUBLICKEY, self.own.public)
            socket.setsockopt(zmq.CURVE_SECRETKEY, self.own.secret)


def read_keys(settings: CurveSection) -> Keys:
    """Read the files that [curve] names. Raises InputError naming the key of line.toml and the file."""
    if settings.secret_key is None:
        return Keys()
    try:
        own = _read_own(settings.secret_key)
        readers, controllers = AllowList(settings.readers), AllowList(settings.controllers)
        cameras = {endpoint: read_public(path) for endpoint, path in settings.cameras.items()}
    except KeyFileError as error:
        raise InputError(f"[curve] {error}") from error
    allowed: dict[SocketName, AllowList] = dict.fromkeys(SOCKET_NAMES, readers)
    return Keys(own, allowed | {"control": controllers}, cameras)


def _read_own(path: Path) -> KeyPair:
    own = read_pair(path)
    if zmq.curve_public(own.secret) != own.public:
        raise KeyFileError(f"{path}: its public key does not belong to its secret key")
    return own
