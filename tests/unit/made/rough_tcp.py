"""TCP between a camera and the worker that tests can damage, and services that are not cameras."""

import contextlib
import socket
import threading
from collections.abc import Callable

Damage = Callable[[bytes], bytes]


def at(place: int, bits: int) -> Damage:
    """Flip bits of the byte at a place."""
    return lambda data: data[:place] + bytes([data[place] ^ bits]) + data[place + 1 :]


class DamagingProxy:
    """Forwards a port of its own to `port`; `damage_next` changes the next bytes with `kind` that come from there."""

    def __init__(self, port: int, kind: bytes = b"/frame/") -> None:
        self._kind = kind
        self._target = ("127.0.0.1", port)
        self._damage: list[Damage] = []
        self._open: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.endpoint = f"tcp://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def damage_next(self, damage: Damage) -> None:
        """Change the next bytes from the camera."""
        self._damage.append(damage)

    @property
    def damaged(self) -> bool:
        """True once no damage waits."""
        return not self._damage

    def close(self) -> None:
        for opened in (self._listener, *self._open):
            with contextlib.suppress(OSError):
                opened.shutdown(socket.SHUT_RDWR)
            opened.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near = self._listener.accept()[0]
                try:
                    far = socket.create_connection(self._target)
                except OSError:
                    near.close()
                    continue
                self._open += [near, far]
                threading.Thread(target=self._pump, args=(near, far, False), daemon=True).start()
                threading.Thread(target=self._pump, args=(far, near, True), daemon=True).start()

    def _pump(self, source: socket.socket, sink: socket.socket, from_camera: bool) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(1 << 20):
                # Messages of one kind alone are damaged: the worker's second connection carries ZMTP's own heartbeats.
                if from_camera and self._damage and self._kind in data:
                    data = self._damage.pop()(data)
                sink.sendall(data)
        for end in (source, sink):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)


class ForeignService:
    """A TCP server that says `greeting` to whoever connects, and keeps or ends the connection."""

    def __init__(self, port: int, greeting: bytes, *, keeps: bool) -> None:
        self.visitors = 0
        self._greeting = greeting
        self._keeps = keeps
        self._open: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", port))
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End the service and every connection, also one that was accepted just now."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()
        for visitor in self._open:
            visitor.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                visitor = self._listener.accept()[0]
                self.visitors += 1
                with contextlib.suppress(OSError):  # a visitor may have left
                    visitor.sendall(self._greeting)
                if self._keeps:
                    self._open.append(visitor)
                else:
                    visitor.close()
