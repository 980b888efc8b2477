"""Finds a connection on which bytes come and no messages: a damaged length makes libzmq take frames for one message."""

from typing import Final

from cmfm_protocol.wire.limits import MAX_HEADER_BYTES, MAX_MESSAGE_BYTES
from cmfm_worker.line.net.received_bytes import ReceivedBytes

FACTOR: Final = 3
"""Bytes without a message that are waited for, as a multiple of the largest message so far."""


class Swallowed:
    """Compares what the kernel has received with what was read. No clock of its own.

    Bytes of a frame that fits the ring, `frame_bytes`, are waited for at any time. The limit doubles whenever it was
    reached, so that larger frames get through in the end.
    """

    def __init__(self, frame_bytes: int) -> None:
        self._received: ReceivedBytes | None = None
        self._before = 0  # bytes at the last message
        self._delivered = False
        self._largest = (frame_bytes + 2 * MAX_HEADER_BYTES) // FACTOR
        self._patience = 1

    def connected(self, descriptor: int | None) -> None:
        """Begin to watch a new connection, by its file descriptor; None for none."""
        self._received = ReceivedBytes(descriptor) if descriptor is not None else None
        self._delivered = True

    def heard(self, size: int) -> None:
        """Note a message of so many bytes."""
        self._delivered = True
        self._largest = max(self._largest, size)

    def too_much(self) -> bool:
        """Tell whether more bytes came since the last message than any message has. Call it when none is to be read."""
        received = self._received.read() if self._received is not None else None
        if received is None:
            return False
        if self._delivered:
            self._before, self._delivered = received, False
        return received - self._before > FACTOR * self._patience * self._largest

    def restart(self) -> None:
        """Wait twice as long from now on."""
        self._patience = min(2 * self._patience, MAX_MESSAGE_BYTES)
        self.connected(None)
