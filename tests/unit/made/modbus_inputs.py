"""A PLC's inputs and counters behind Modbus TCP, by the specification alone: it can go away and come back."""

from __future__ import annotations

import socket
import struct
import threading

MBAP = struct.Struct(">HHHB")
TABLES = {1: "coil", 2: "discrete_input", 3: "holding_register", 4: "input_register"}
LIMIT_S = 30.0


class ModbusInputs:
    """Serves one client at a time on a port of this host while it is on. Values outlast an outage."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._values: dict[tuple[str, int], int] = {}
        self._listening: socket.socket | None = None
        self._thread: threading.Thread | None = None
        self._connections: list[socket.socket] = []
        self.reads = 0

    def set(self, table: str, address: int, value: int) -> None:
        """Set a bit, or a register of 16 bits."""
        self._values[table, address] = value

    def on(self) -> None:
        """Begin to serve."""
        self._listening = socket.create_server(("127.0.0.1", self._port))
        self._thread = threading.Thread(target=self._serve, args=(self._listening,), daemon=True)
        self._thread.start()

    def off(self) -> None:
        """End every connection, and answer nobody."""
        if self._listening is None or self._thread is None:
            return
        self._listening.shutdown(socket.SHUT_RDWR)
        for connection in list(self._connections):
            connection.shutdown(socket.SHUT_RDWR)
        self._thread.join(LIMIT_S)
        self._listening.close()
        self._listening = None

    def _serve(self, listening: socket.socket) -> None:
        while True:
            try:
                connection, _ = listening.accept()
            except OSError:
                return
            self._connections.append(connection)
            with connection:
                try:
                    while self._answer(connection):
                        self.reads += 1
                except OSError:
                    pass
                finally:
                    self._connections.remove(connection)

    def _answer(self, connection: socket.socket) -> bool:
        header = _exactly(connection, MBAP.size)
        if header is None:
            return False
        transaction, _, length, unit = MBAP.unpack(header)
        request = _exactly(connection, length - 1)
        if request is None:
            return False
        function, address, count = struct.unpack(">BHH", request[:5])
        table = TABLES[function]
        values = [self._values.get((table, address + place)) for place in range(count)]
        if None in values:
            reply = struct.pack(">BB", function | 0x80, 2)  # illegal address
        elif function <= 2:
            bits = sum(int(bool(value)) << place for place, value in enumerate(values))
            reply = struct.pack(">BBB", function, 1, bits)
        else:
            reply = struct.pack(f">BB{count}H", function, 2 * count, *values)
        connection.sendall(MBAP.pack(transaction, 0, len(reply) + 1, unit) + reply)
        return True


def _exactly(connection: socket.socket, count: int) -> bytes | None:
    found = b""
    while len(found) < count:
        part = connection.recv(count - len(found))
        if not part:
            return None
        found += part
    return found
