"""CURVE keys of a client of the worker, and of a camera (WIRE.md, security).

`cmfm-worker keys new` makes a pair: `NAME.key_secret` stays with its owner, `NAME.key` goes to the peer.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import zmq
from zmq.auth.thread import ThreadAuthenticator

from cmfm_client.sockets import ZmqContext, ZmqSocket
from cmfm_protocol.files.key_files import KeyFileError, KeyPair, read_allowed, read_pair, read_public

ZAP_DOMAIN: Final = "frames"


@dataclass(frozen=True, slots=True)
class ClientKeys:
    """A client's own pair, and the public key of the worker that it talks to."""

    own: KeyPair
    server: bytes

    @classmethod
    def read(cls, own: Path | str, server: Path | str) -> "ClientKeys":
        """Read `NAME.key_secret` and the worker's `worker.key`. Raises KeyFileError naming the file."""
        return cls(read_pair(Path(own)), read_public(Path(server)))

    @classmethod
    def read_if_given(cls, own: Path | str | None, server: Path | str | None) -> "ClientKeys | None":
        """As `read`; None, for a connection without encryption, unless both files are given. Raises KeyFileError."""
        return None if own is None or server is None else cls.read(own, server)

    def apply_to(self, socket: ZmqSocket) -> None:
        """Make a socket a CURVE client that talks to that worker alone. Call before connect."""
        socket.setsockopt(zmq.CURVE_SERVERKEY, self.server)
        socket.setsockopt(zmq.CURVE_PUBLICKEY, self.own.public)
        socket.setsockopt(zmq.CURVE_SECRETKEY, self.own.secret)


@dataclass(frozen=True, slots=True)
class CameraKeys:
    """A camera's own pair, and the folder with the public keys of the workers that may connect.

    With `allowed` None every worker that knows the camera's public key may connect.
    """

    own: KeyPair
    allowed: Path | None = None

    @classmethod
    def read(cls, own: Path | str, allowed: Path | str | None = None) -> "CameraKeys":
        """Read `NAME.key_secret` and check the folder. Raises KeyFileError naming the file."""
        folder = Path(allowed) if allowed is not None else None
        if folder is not None and (problems := read_allowed(folder)[1]):
            raise KeyFileError("\n".join(problems))
        return cls(read_pair(Path(own)), folder)

    def apply_to(self, socket: ZmqSocket) -> None:
        """Make a socket a CURVE server. Call before bind."""
        socket.setsockopt(zmq.CURVE_SERVER, 1)
        socket.setsockopt(zmq.CURVE_SECRETKEY, self.own.secret)
        if self.allowed is not None:
            socket.setsockopt_string(zmq.ZAP_DOMAIN, ZAP_DOMAIN)
            socket.setsockopt(zmq.ZAP_ENFORCE_DOMAIN, 1)

    def authenticate(self, context: ZmqContext) -> ThreadAuthenticator | None:
        """Start the thread that checks keys against the folder; stop it before the context ends. None without one."""
        if self.allowed is None:
            return None
        authenticator = ThreadAuthenticator(context)
        authenticator.start()
        authenticator.configure_curve(domain=ZAP_DOMAIN, location=self.allowed)
        return authenticator
