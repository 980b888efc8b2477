"""Bytes without messages: what a connection may receive before it is taken for one with a damaged length."""

import socket
from collections.abc import Iterator

import pytest

from cmfm_protocol.wire.limits import MAX_HEADER_BYTES
from cmfm_worker.line.intake.swallowed import Swallowed
from cmfm_worker.line.net.received_bytes import ReceivedBytes


class Connection:
    """A TCP connection: what is sent on one side is received on the other."""

    def __init__(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as server:
            self._sender = socket.create_connection(server.getsockname())
            self.receiver = server.accept()[0]

    def send(self, size: int) -> None:
        while size:
            chunk = min(size, 1 << 16)
            self._sender.sendall(bytes(chunk))
            while chunk:
                received = len(self.receiver.recv(chunk))
                chunk, size = chunk - received, size - received

    def close(self) -> None:
        self._sender.close()
        self.receiver.close()


@pytest.fixture
def connection() -> Iterator[Connection]:
    made = Connection()
    yield made
    made.close()


FITS = 10_000_000
LIMIT = FITS + 2 * MAX_HEADER_BYTES
LARGE = 5_000_000


def watched(connection: Connection) -> Swallowed:
    """The watch of a connection whose ring takes frames of 10 MB."""
    swallowed = Swallowed(FITS)
    swallowed.connected(connection.receiver.fileno())
    assert not swallowed.too_much()
    return swallowed


def test_frames_that_are_delivered_are_never_too_much(connection: Connection) -> None:
    """However many come, and small messages between them."""
    swallowed = watched(connection)
    for size in [LARGE, 100, 100, 2 * LARGE, 100] * 3:
        connection.send(size)
        swallowed.heard(size)
        assert not swallowed.too_much()


@pytest.mark.parametrize(("frame", "limit"), [(1000, LIMIT), (LARGE, 3 * LARGE)])
def test_bytes_of_several_frames_without_a_message_are_too_much(
    connection: Connection, frame: int, limit: int
) -> None:
    """Of three of the largest so far, and at least of one that fits the ring. The next time of twice as many."""
    swallowed = watched(connection)
    swallowed.heard(frame)
    assert not swallowed.too_much()
    for times in (1, 2):
        connection.send(times * limit - 3)
        assert not swallowed.too_much()
        connection.send(10)
        assert swallowed.too_much()
        swallowed.restart()
        swallowed.connected(connection.receiver.fileno())
        assert not swallowed.too_much()


def test_frame_that_fits_the_ring_is_waited_for_after_small_ones(connection: Connection) -> None:
    """Recipes with pictures of several sizes, and triggers and heartbeats between them."""
    swallowed = watched(connection)
    swallowed.heard(200)
    connection.send(FITS)
    assert not swallowed.too_much()


def test_descriptor_that_became_another_connection_is_not_read(connection: Connection) -> None:
    """libzmq has closed the connection, and the kernel has given its number to another one."""
    connection.send(5)
    received = ReceivedBytes(connection.receiver.fileno())
    assert received.read() == 5
    number = connection.receiver.fileno()
    connection.receiver.close()
    assert received.read() is None
    other = Connection()
    try:
        assert number in (other.receiver.fileno(), other._sender.fileno())
        assert received.read() is None
    finally:
        other.close()


def test_connection_that_is_not_tcp_is_not_read() -> None:
    """An ipc endpoint has no such counter."""
    near, far = socket.socketpair()
    with near, far:
        assert ReceivedBytes(near.fileno()).read() is None
