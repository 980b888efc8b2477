"""The bytes that the kernel has received on a TCP connection: they rise also while libzmq delivers no message."""

import contextlib
import os
import socket
import struct
from typing import Final

TCP_INFO_BYTES: Final = 136
BYTES_RECEIVED: Final = struct.Struct("<Q")
BYTES_RECEIVED_AT: Final = 128
"""Place of `tcpi_bytes_received` in Linux's `struct tcp_info` (since 4.2)."""


class ReceivedBytes:
    """Reads the counter of a connection by its file descriptor, which libzmq owns.

    libzmq may close the connection at any time, and the descriptor may then be another file: its inode tells.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._inode = _inode(descriptor)

    def read(self) -> int | None:
        """Return the number of bytes, None if the connection is not TCP or is closed."""
        if self._inode is None or _inode(self._descriptor) != self._inode:
            return None
        with contextlib.suppress(OSError):
            duplicate = socket.socket(fileno=os.dup(self._descriptor))
            with duplicate:
                info = duplicate.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, TCP_INFO_BYTES)
            if len(info) == TCP_INFO_BYTES:
                return int(BYTES_RECEIVED.unpack_from(info, BYTES_RECEIVED_AT)[0])
        return None


def _inode(descriptor: int) -> int | None:
    try:
        return os.fstat(descriptor).st_ino
    except OSError:
        return None
