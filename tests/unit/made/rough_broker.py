"""A broker that misbehaves: it answers each packet of MQTT 5 as a test says, by the bytes."""

import asyncio
from collections.abc import Callable
from types import TracebackType

CONNECT, CONNACK, PUBLISH, PUBACK, SUBSCRIBE, SUBACK, PINGREQ, PINGRESP, DISCONNECT = (
    1,
    2,
    3,
    4,
    8,
    9,
    12,
    13,
    14,
)

Answer = bytes | None
"""Bytes to send back, nothing, or the end of the connection (`CLOSE`)."""

CLOSE = b"close"
GOOD_CONNACK = bytes([CONNACK << 4, 3, 0, 0, 0])


def connack(*properties: bytes, reason: int = 0) -> bytes:
    """A CONNACK with properties as bytes."""
    body = b"".join(properties)
    return bytes([CONNACK << 4, 3 + len(body), 0, reason, len(body)]) + body


def receive_maximum(count: int) -> bytes:
    return bytes([0x21]) + count.to_bytes(2, "big")


def maximum_packet(size: int) -> bytes:
    return bytes([0x27]) + size.to_bytes(4, "big")


def puback(mid: int, reason: int = 0) -> bytes:
    return bytes([PUBACK << 4, 4]) + mid.to_bytes(2, "big") + bytes([reason, 0])


def disconnect(reason: int) -> bytes:
    return bytes([DISCONNECT << 4, 2, reason, 0])


class RoughBroker:
    """Counts connections and publications.

    `connected` decides by count what a CONNECT is answered with, `published` by topic, packet and count a PUBLISH of
    QoS 1. At the subscriptions `closes_at`, counted from 1, the connection ends.
    """

    def __init__(
        self,
        *,
        connected: Callable[[int], Answer] = lambda _: GOOD_CONNACK,
        published: Callable[[str, int, int], Answer] = lambda _topic, mid, _count: puback(mid),
        closes_at: tuple[int, ...] = (),
    ) -> None:
        self.connections = 0
        self.subscriptions = 0
        self.publications: list[tuple[str, bytes]] = []
        self._connected = connected
        self._published = published
        self._closes_at = closes_at
        self._tasks: set[asyncio.Task[None]] = set()
        self._writer: asyncio.StreamWriter | None = None

    async def __aenter__(self) -> "RoughBroker":
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()

    def send(self, packet: bytes) -> None:
        """Send bytes over the newest connection, whatever came before."""
        assert self._writer is not None
        self._writer.write(packet)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self._writer = writer
        try:
            while (answer := await self._answer(reader)) != CLOSE:
                if answer:
                    writer.write(answer)
                    await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()
            self._tasks.discard(task)

    async def _answer(self, reader: asyncio.StreamReader) -> Answer:
        first = (await reader.readexactly(1))[0]
        body = await reader.readexactly(await _length(reader))
        kind = first >> 4
        if kind == CONNECT:
            self.connections += 1
            return self._connected(self.connections)
        if kind == PUBLISH:
            return self._take(first, body)
        if kind == SUBSCRIBE:
            self.subscriptions += 1
            answer = bytes([SUBACK << 4, 4]) + body[:2] + bytes([0, 1])
            return CLOSE if self.subscriptions in self._closes_at else answer
        if kind == PINGREQ:
            return bytes([PINGRESP << 4, 0])
        return CLOSE if kind == DISCONNECT else None

    def _take(self, first: int, body: bytes) -> Answer:
        end = 2 + int.from_bytes(body[:2], "big")
        topic = body[2:end].decode()
        self.publications.append((topic, body[end:]))
        if not first & 0x06:
            return None  # QoS 0
        return self._published(topic, int.from_bytes(body[end : end + 2], "big"), len(self.publications))


async def _length(reader: asyncio.StreamReader) -> int:
    length, shift = 0, 0
    while True:
        byte = (await reader.readexactly(1))[0]
        length |= (byte & 0x7F) << shift
        shift += 7
        if not byte & 0x80:
            return length
