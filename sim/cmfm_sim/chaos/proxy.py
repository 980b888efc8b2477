"""A TCP proxy between two processes of a line: cuts connections, slows them down, damages ZMTP framing."""

import contextlib
import socket
import threading
import time
from typing import Final, Literal

CHUNK_BYTES: Final = 65_536
SLOW_BYTES_PER_S: Final = 40_000
"""A slow link takes seconds for one frame."""

SLOW_TICK_S: Final = 0.05
ACCEPT_S: Final = 0.2

TOPIC: Final = b"cmfm/1/"
"""Start of a message on the wire, behind one byte of flags and one of length (ZMTP 3, short message frames)."""

HUGE: Final = b"\x02" + (1 << 40).to_bytes(8, "big")
"""Head of a message frame of a terabyte: flags (long), length."""

FOREIGN: Final = b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n"

Damage = Literal["flag", "length", "greeting", "oversize"]


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
        self._foreign = threading.Event()
        self._damage: Damage | None = None
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

    def damage(self, kind: Damage) -> None:
        """Damage the framing of the next message from the target, or the greeting of the next connection."""
        self._damage = kind
        if kind == "greeting":
            self._hang_up()

    def foreign(self) -> None:
        """Answer as another service from now on, instead of the target."""
        self._foreign.set()
        self._hang_up()

    def own(self) -> None:
        """Forward to the target again."""
        self._foreign.clear()

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
            if self._foreign.is_set():
                with contextlib.suppress(OSError):
                    near.sendall(FOREIGN)
                near.close()
                continue
            try:
                far = socket.create_connection(self._target, timeout=ACCEPT_S)
            except OSError:  # no process listens; the caller notices the same
                near.close()
                continue
            far.settimeout(None)
            self._open |= {near, far}
            for ends in ((near, far, False), (far, near, True)):
                threading.Thread(target=self._pump, args=ends, name="pump", daemon=True).start()

    def _pump(self, source: socket.socket, sink: socket.socket, from_target: bool) -> None:
        greeting = True
        with contextlib.suppress(OSError):
            while data := source.recv(CHUNK_BYTES):
                if from_target:
                    data = self._damaged(data, greeting=greeting)
                    greeting = False
                if self._cut.is_set():
                    sink.sendall(data[: len(data) // 2])
                    self._cut.clear()
                    self._hang_up()
                    break
                self._forward(sink, data)
        for end in (source, sink):
            self._shut(end)

    def _damaged(self, data: bytes, *, greeting: bool) -> bytes:
        """The data, damaged as planned if it is the greeting or has the beginning of a message."""
        kind, at = self._damage, data.find(TOPIC) - 2
        if kind is None or (kind == "greeting") is not greeting or (kind != "greeting" and at < 0):
            return data
        self._damage = None
        if kind == "greeting":
            return b"\x00" + data[1:]
        if kind == "flag":
            return data[:at] + b"\xff" + data[at + 1 :]
        if kind == "length":
            return data[: at + 1] + bytes([data[at + 1] ^ 0x80]) + data[at + 2 :]
        return data[:at] + HUGE + data[at:]

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
