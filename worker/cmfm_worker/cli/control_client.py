"""A client of the running line's control socket, for commands that ask it for something."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

if TYPE_CHECKING:
    from cmfm_client.requests import RequestClient
    from cmfm_worker.settings.model import Settings

TIMEOUT_S: Final = 5.0

OwnKey = Annotated[
    Path | None,
    typer.Option(
        "--key",
        metavar="FILE",
        help="Own secret key, NAME.key_secret, for a line with [curve] secret_key. NAME.key is among its controllers.",
        show_default=False,
    ),
]
ServerKey = Annotated[
    Path | None,
    typer.Option(
        "--server-key", metavar="FILE", help="The line's public key, with --key.", show_default=False
    ),
]


@contextmanager
def control_client(
    settings: "Settings", key: Path | None, server_key: Path | None
) -> "Iterator[RequestClient]":
    """Yield a client of the line that runs with these settings on this machine.

    Raises InputError if the line does not answer, refuses what the body asks, or speaks CURVE and no key is given.
    """
    from cmfm_client.curve import ClientKeys
    from cmfm_client.errors import ClientError
    from cmfm_client.requests import RequestClient
    from cmfm_worker.errors import InputError

    if (key is None) is not (server_key is None):
        raise InputError("--key and --server-key go together: own secret key, and the line's public key")
    if key is None and settings.curve.secret_key is not None:
        raise InputError("the line speaks CURVE ([curve] secret_key): give --key and --server-key")
    keys = ClientKeys.read_if_given(key, server_key)
    try:
        with RequestClient(reachable(settings.sockets.control), keys=keys, timeout_s=TIMEOUT_S) as client:
            yield client
    except ClientError as error:
        raise InputError(str(error)) from error


def reachable(endpoint: str) -> str:
    """Return the endpoint to connect to for one that is bound on this machine, perhaps to every address."""
    return re.sub(r"^tcp://(\*|0\.0\.0\.0|\[::\])(?=:)", "tcp://127.0.0.1", endpoint)
