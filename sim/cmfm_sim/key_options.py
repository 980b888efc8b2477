"""Command-line options for CURVE keys, and the keys that they name."""

from pathlib import Path
from typing import Annotated

import typer

from cmfm_client.curve import CameraKeys, ClientKeys
from cmfm_sim.errors import InputError

OwnKey = Annotated[
    Path | None,
    typer.Option(
        "--key",
        metavar="FILE",
        help="Own secret key, NAME.key_secret of `cmfm-worker keys new`. Turns CURVE on.",
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
        help="Folder with the public keys (*.key) of the workers that may connect. Default: every worker that knows "
        "this camera's public key.",
        show_default=False,
    ),
]


def client_keys(own: Path | None, server: Path | None) -> ClientKeys | None:
    """Keys of a client; None if neither option is given. Raises InputError for one alone, KeyFileError."""
    if own is None and server is None:
        return None
    if own is None or server is None:
        raise InputError("--key and --server-key go together: own secret key, and the worker's public key")
    return ClientKeys.read(own, server)


def camera_keys(own: Path | None, allowed: Path | None) -> CameraKeys | None:
    """Keys of a camera; None without an own key. Raises InputError, KeyFileError."""
    if own is not None:
        return CameraKeys.read(own, allowed)
    if allowed is not None:
        raise InputError("--allowed-keys needs --key: without it no worker is asked for a key")
    return None
