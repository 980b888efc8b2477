"""The proxy between two processes: it forwards, it cuts in mid-message, and it can be slow."""

import socket
import time
from collections.abc import Iterator

import pytest

from cmfm_sim.chaos.proxy import Proxy


class Ends:
    """Both ends of a connection through a proxy."""

    def __init__(self) -> None:
        self.server = socket.create_server(("127.0.0.1", 0))
        self.server.settimeout(10)
        self.proxy = Proxy(self.server.getsockname()[1])
        self.near, self.far = self.connect()

    def connect(self) -> tuple[socket.socket, socket.socket]:
        port = int(self.proxy.endpoint.rpartition(":")[2])
        near = socket.create_connection(("127.0.0.1", port), timeout=10)
        far = self.server.accept()[0]
        far.settimeout(10)
        return near, far


@pytest.fixture
def ends() -> Iterator[Ends]:
    made = Ends()
    yield made
    for end in (made.near, made.far, made.server):
        end.close()
    made.proxy.close()


def received(end: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size and (chunk := end.recv(65536)):
        data += chunk
    return data


def test_both_directions_are_forwarded(ends: Ends) -> None:
    """Byte for byte."""
    ends.near.sendall(b"there" * 50_000)
    assert received(ends.far, 250_000) == b"there" * 50_000
    ends.far.sendall(b"back")
    assert received(ends.near, 4) == b"back"


def test_cut_ends_the_connection_in_mid_message(ends: Ends) -> None:
    """Part of what was sent arrives, then the end of the connection; the next connection is whole again."""
    ends.proxy.cut()
    ends.near.sendall(b"x" * 1000)
    assert 0 < len(received(ends.far, 1000)) < 1000
    near, far = ends.connect()
    near.sendall(b"whole")
    assert received(far, 5) == b"whole"
    near.close()
    far.close()


def test_slow_link_takes_its_time(ends: Ends) -> None:
    """20 kB take half a second, and everything arrives."""
    ends.proxy.slow()
    started_s = time.monotonic()
    ends.near.sendall(b"x" * 20_000)
    assert len(received(ends.far, 20_000)) == 20_000
    assert time.monotonic() - started_s > 0.3
