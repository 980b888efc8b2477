"""A TCP proxy between two processes of a line that cuts connections in mid-message or slows them down."""

import contextlib
import socket
import threading
import time
from typing import Final

CHUNK_BYTES: Final = 65_536
SLOW_BYTES_PER_S: Final = 40_000
"""A slow link takes seconds for one frame."""

SLOW_TICK_S: Final = 0.05
ACCEPT_S: Final = 0.2


class Proxy:
    """Listens on a port of its own and forwards to `port`, both on 127.0.0.1. Close it, or use it as a context.

    One thread accepts, two more pump each connection.
    """

    def __init__(self, port: int) -> None:
        self._target = ("127.0.0.1", port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(ACCEPT_S)
        self._cut = threading.Event()
        self._slow = threading.Event()
        self._closing = threading.Event()
        self._open: set[socket.socket] = set()
        self._thread = threading.Thread(target=self._accept, name="proxy", daemon=True)
        self._thread.start()

    def __enter__(self) -> "Proxy":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def endpoint(self) -> str:
        """The endpoint to connect to instead of the target's."""
        return f"tcp://127.0.0.1:{self._listener.getsockname()[1]}"

    def cut(self) -> None:
        """Close the connections in the middle of the next data."""
        self._cut.set()

    def slow(self) -> None:
        """Forward at SLOW_BYTES_PER_S from now on."""
        self._slow.set()

    def fast(self) -> None:
        """Forward as fast as possible again."""
        self._slow.clear()

    def close(self) -> None:
        """Close everything."""
        self._closing.set()
        self._thread.join()
        self._listener.close()
        self._hang_up()

    def _accept(self) -> None:
        while not self._closing.is_set():
            try:
                near = self._listener.accept()[0]
            except TimeoutError:
                continue
            try:
                far = socket.create_connection(self._target, timeout=ACCEPT_S)
            except OSError:  # no process listens; the caller notices the same
                near.close()
                continue
            far.settimeout(None)
            self._open |= {near, far}
            for source, sink in ((near, far), (far, near)):
                threading.Thread(target=self._pump, args=(source, sink), name="pump", daemon=True).start()

    def _pump(self, source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(CHUNK_BYTES):
                if self._cut.is_set():
                    sink.sendall(data[: len(data) // 2])
                    self._cut.clear()
                    self._hang_up()
                    break
                self._forward(sink, data)
        for end in (source, sink):
            self._shut(end)

    def _forward(self, sink: socket.socket, data: bytes) -> None:
        while self._slow.is_set() and data:
            step = int(SLOW_BYTES_PER_S * SLOW_TICK_S)
            sink.sendall(data[:step])
            data = data[step:]
            time.sleep(SLOW_TICK_S)
        sink.sendall(data)

    def _hang_up(self) -> None:
        for end in list(self._open):
            self._shut(end)

    def _shut(self, end: socket.socket) -> None:
        self._open.discard(end)
        with contextlib.suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)  # wakes the thread that reads it
        end.close()
