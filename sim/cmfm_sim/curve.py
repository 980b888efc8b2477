"""CURVE keys of the simulator: of a client of the worker, and of a camera (WIRE.md, security)."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer
import zmq
from zmq.auth.thread import ThreadAuthenticator

from cmfm_protocol.files.key_files import KeyFileError, KeyPair, read_allowed, read_pair, read_public
from cmfm_sim.errors import InputError
from cmfm_sim.sockets import ZmqContext, ZmqSocket

OwnKey = Annotated[
    Path | None,
    typer.Option(
        "--key",
        metavar="FILE",
        help="Own NAME.key_secret (`cmfm-worker keys new`), to speak CURVE.",
        show_default=False,
    ),
]
ServerKey = Annotated[
    Path | None,
    typer.Option(
        "--server-key", metavar="FILE", help="The worker's public key, with --key.", show_default=False
    ),
]
AllowedKeys = Annotated[
    Path | None,
    typer.Option(
        "--allowed-keys",
        metavar="DIR",
        help="Folder of the public keys (*.key) of workers that may connect. Default: all that know this camera's.",
        show_default=False,
    ),
]

ZAP_DOMAIN = "frames"


@dataclass(frozen=True, slots=True)
class ClientKeys:
    """A client's own pair and the public key of the worker that it talks to."""

    own: KeyPair
    server: bytes

    @classmethod
    def read(cls, own: Path | None, server: Path | None) -> "ClientKeys | None":
        """From the options' files; None where neither is given. Raises InputError, KeyFileError."""
        if own is None and server is None:
            return None
        if own is None or server is None:
            raise InputError("--key and --server-key go together: own secret key, and whom to expect")
        return cls(read_pair(own), read_public(server))

    def put_on(self, socket: ZmqSocket) -> None:
        """Before connect: talk to that worker alone, encrypted."""
        socket.setsockopt(zmq.CURVE_SERVERKEY, self.server)
        socket.setsockopt(zmq.CURVE_PUBLICKEY, self.own.public)
        socket.setsockopt(zmq.CURVE_SECRETKEY, self.own.secret)


@dataclass(frozen=True, slots=True)
class CameraKeys:
    """A camera's own pair, and the folder of the workers' keys that may connect (None: all that know its own)."""

    own: KeyPair
    allowed: Path | None = None

    @classmethod
    def read(cls, own: Path | None, allowed: Path | None) -> "CameraKeys | None":
        """From the options' files; None where there is no own key. Raises InputError, KeyFileError."""
        if own is None:
            if allowed is not None:
                raise InputError("--allowed-keys needs --key: without it nobody is asked for a key")
            return None
        if allowed is not None and (problems := read_allowed(allowed)[1]):
            raise KeyFileError("\n".join(problems))
        return cls(read_pair(own), allowed)

    def put_on(self, socket: ZmqSocket) -> None:
        """Before bind: encrypted, and asking for keys where there is a folder of them."""
        socket.setsockopt(zmq.CURVE_SERVER, 1)
        socket.setsockopt(zmq.CURVE_SECRETKEY, self.own.secret)
        if self.allowed is not None:
            socket.setsockopt_string(zmq.ZAP_DOMAIN, ZAP_DOMAIN)
            socket.setsockopt(zmq.ZAP_ENFORCE_DOMAIN, 1)

    def authenticate(self, context: ZmqContext) -> ThreadAuthenticator | None:
        """The thread that looks keys up, started; stop it before the context ends."""
        if self.allowed is None:
            return None
        authenticator = ThreadAuthenticator(context)
        authenticator.start()
        authenticator.configure_curve(domain=ZAP_DOMAIN, location=self.allowed)
        return authenticator
