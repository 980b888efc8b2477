"""The proxy between two processes: it forwards, it cuts in mid-message, and it can be slow."""

import socket
import time
from collections.abc import Iterator

import pytest

from cmfm_sim.chaos.proxy import Damage, Proxy


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


MESSAGE = b"\x01\x1bcmfm/1/line1/station1/frame/\x00\x05hello"


@pytest.mark.parametrize(
    ("kind", "damaged"),
    [
        ("flag", b"\xff" + MESSAGE[1:]),
        ("length", MESSAGE[:1] + b"\x9b" + MESSAGE[2:]),
        ("oversize", b"\x02" + (1 << 40).to_bytes(8, "big") + MESSAGE),
    ],
)
def test_damage_changes_one_message_of_the_target(ends: Ends, kind: Damage, damaged: bytes) -> None:
    """One byte of framing, or a head that announces a terabyte. The other direction and the next message are whole."""
    ends.far.sendall(b"greeting")
    assert received(ends.near, 8) == b"greeting"
    ends.proxy.damage(kind)
    ends.near.sendall(MESSAGE)
    assert received(ends.far, len(MESSAGE)) == MESSAGE
    ends.far.sendall(MESSAGE)
    assert received(ends.near, len(damaged)) == damaged
    ends.far.sendall(MESSAGE)
    assert received(ends.near, len(MESSAGE)) == MESSAGE


def test_damaged_greeting_is_that_of_the_next_connection(ends: Ends) -> None:
    """The present connection ends; the first bytes of the next are wrong, and of the one after right."""
    ends.far.sendall(b"greeting")
    assert received(ends.near, 8) == b"greeting"
    ends.proxy.damage("greeting")
    assert received(ends.near, 1) == b""
    for greeting in (b"\x00MTP", b"ZMTP"):
        near, far = ends.connect()
        far.sendall(b"ZMTP")
        assert received(near, 4) == greeting
        near.close()
        far.close()


def test_foreign_service_answers_until_the_own_is_back(ends: Ends) -> None:
    """Whoever connects meanwhile hears HTTP."""
    ends.far.sendall(b"greeting")
    assert received(ends.near, 8) == b"greeting"
    ends.proxy.foreign()
    port = int(ends.proxy.endpoint.rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port), timeout=10) as visitor:
        assert received(visitor, 1000).startswith(b"HTTP/1.1 400")
    ends.proxy.own()
    near, far = ends.connect()
    near.sendall(b"own")
    assert received(far, 3) == b"own"
    near.close()
    far.close()
