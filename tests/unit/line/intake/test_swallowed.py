"""Bytes without messages: what a connection may receive before it is taken for one with a damaged length."""

import socket
from collections.abc import Iterator

import pytest

from cmfm_protocol.wire.limits import MAX_MESSAGE_BYTES
from cmfm_worker.line.intake.swallowed import FRAME_BYTES, Swallowed
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


def test_frames_that_are_delivered_are_never_too_much(connection: Connection) -> None:
    """However many come, and small messages between them."""
    swallowed = Swallowed()
    swallowed.connected(connection.receiver.fileno())
    for size in [FRAME_BYTES, 100, 100, 2 * FRAME_BYTES, 100] * 10:
        connection.send(size)
        swallowed.heard(size)
        assert not swallowed.too_much()


def test_bytes_of_several_frames_without_a_message_are_too_much(connection: Connection) -> None:
    """Three times the largest frame. The next time twice as much is waited for: frames may have become larger."""
    swallowed = Swallowed()
    swallowed.connected(connection.receiver.fileno())
    swallowed.heard(FRAME_BYTES)
    assert not swallowed.too_much()
    for times in (3, 6):
        connection.send(times * FRAME_BYTES)
        assert not swallowed.too_much()
        connection.send(1)
        assert swallowed.too_much()
        swallowed.restart()
        swallowed.connected(connection.receiver.fileno())
        assert not swallowed.too_much()


def test_first_frame_may_be_as_large_as_the_wire_allows(connection: Connection) -> None:
    """Triggers and heartbeats before it say nothing of its size."""
    swallowed = Swallowed()
    swallowed.connected(connection.receiver.fileno())
    swallowed.heard(200)
    assert not swallowed.too_much()
    connection.send(MAX_MESSAGE_BYTES // 8)
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
