"""The worker's keys on its sockets: server of its clients, client of its cameras (WIRE.md, security)."""

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
    """What makes a socket that is about to be bound a CURVE server whose clients the gate is asked about."""

    own: KeyPair
    door: SocketName

    def put_on(self, socket: "zmq.Socket[bytes]") -> None:
        """Call before bind. Without a gate nobody comes in (ZMQ_ZAP_ENFORCE_DOMAIN)."""
        socket.setsockopt(zmq.CURVE_SERVER, 1)
        socket.setsockopt(zmq.CURVE_SECRETKEY, self.own.secret)
        socket.setsockopt(zmq.ZAP_DOMAIN, self.door.encode())
        socket.setsockopt(zmq.ZAP_ENFORCE_DOMAIN, 1)
        socket.monitor(monitor_address(self.door), zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL)


def monitor_address(door: SocketName) -> str:
    """Where a locked socket reports connections that failed before they had a key: no CURVE, or another server's."""
    return f"inproc://cmfm-refused-{door}"


@dataclass(frozen=True, slots=True)
class Keys:
    """All keys of a line; without `own` nothing is encrypted and every lock is None."""

    own: KeyPair | None = None
    allowed: Mapping[SocketName, AllowList] = field(default_factory=dict)
    cameras: Mapping[str, bytes] = field(default_factory=dict)  # endpoint → public key

    def curve_server(self, socket_name: SocketName) -> CurveServer | None:
        """For a bound socket."""
        return None if self.own is None else CurveServer(self.own, socket_name)

    def introduce(self, socket: "zmq.Socket[bytes]", camera: str) -> None:
        """Make a socket that is about to connect to a camera a CURVE client, where that camera has a key."""
        if self.own is not None and camera in self.cameras:
            socket.setsockopt(zmq.CURVE_SERVERKEY, self.cameras[camera])
            socket.setsockopt(zmq.CURVE_PUBLICKEY, self.own.public)
            socket.setsockopt(zmq.CURVE_SECRETKEY, self.own.secret)


def read_keys(settings: CurveSection) -> Keys:
    """Read what [curve] names. Raises InputError naming the key of line.toml and the file."""
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
