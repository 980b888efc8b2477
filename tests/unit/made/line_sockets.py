"""Sockets that tests may ask for; none is left open."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import zmq

Connect = Callable[[int, str], zmq.Socket[bytes]]


@pytest.fixture
def endpoint(tmp_path: Path) -> str:
    """An ipc endpoint that nobody uses."""
    return f"ipc://{tmp_path}/camera"


@pytest.fixture
def connect() -> Iterator[Connect]:
    """Makes a connected socket of a kind that gives up after 5 s; a SUB one subscribes to everything."""
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()

    made: list[zmq.Socket[bytes]] = []

    def make(kind: int, endpoint: str) -> zmq.Socket[bytes]:
        socket = context.socket(kind)
        socket.setsockopt(zmq.RCVTIMEO, 5000)
        if kind == zmq.SUB:
            socket.setsockopt(zmq.SUBSCRIBE, b"")
        socket.connect(endpoint)
        made.append(socket)
        return socket

    yield make
    for socket in made:
        socket.close(0)
    context.term()
