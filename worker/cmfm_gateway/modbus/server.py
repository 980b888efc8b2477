"""The Modbus TCP server: connections, their limits, TLS. One request after another on each, all in one loop."""

import asyncio
import contextlib
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Callable
from typing import Final

import structlog

from cmfm_gateway.errors import InputError, StartupError
from cmfm_gateway.modbus.requests import RequestHandler
from cmfm_gateway.settings.modbus import ModbusSection

MBAP: Final = struct.Struct(">HHHB")
"""Transaction, protocol (0), bytes that follow, unit."""

MAX_LENGTH: Final = 254
"""Unit and PDU: a Modbus PDU has at most 253 bytes."""

UNREAD_BYTES: Final = 65_536
"""Replies that a client may leave unread."""

UNREAD_LIMIT_S: Final = 5.0
"""Time after which a client that does not read its replies is disconnected."""

IDLE_LIMIT_S: Final = 600.0
"""A connection without a request for so long is closed."""

Count = Callable[[str], None]


class ModbusServer:
    """Serves `handler`'s registers. `count` is called with the name of each thing that went wrong."""

    def __init__(
        self, section: ModbusSection, tls: ssl.SSLContext | None, handler: RequestHandler, count: Count
    ) -> None:
        self._section, self._tls, self._handler, self._count = section, tls, handler, count
        self._log = structlog.get_logger("modbus")
        self._open: dict[
            asyncio.StreamWriter, float
        ] = {}  # → when it was heard, -inf before its first request
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def connections(self) -> int:
        """Connections that are open."""
        return len(self._open)

    @contextlib.asynccontextmanager
    async def listening(self) -> AsyncIterator[int]:
        """Listen for the length of the block; gives the port. Raises StartupError if the port is taken."""
        section = self._section
        try:
            server = await asyncio.start_server(
                self._accept, section.host, section.port, ssl=self._tls, limit=UNREAD_BYTES, backlog=128
            )
        except OSError as error:
            raise StartupError(f"modbus: cannot listen on {section.host}:{section.port}: {error}") from error
        try:
            yield int(server.sockets[0].getsockname()[1])
        finally:
            server.close()
            for writer in list(self._open):
                writer.transport.abort()  # not cancelled: asyncio's own callback would log that as an error
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is not None:
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        peer = (writer.get_extra_info("peername") or ("",))[0]
        if self._section.clients and peer not in self._section.clients:
            self._refuse(writer, "client_refused", peer)
            return
        self._make_room()
        self._open[writer] = float("-inf")
        writer.transport.set_write_buffer_limits(high=UNREAD_BYTES)
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, UNREAD_BYTES)
        try:
            await self._serve(reader, writer)
        except TimeoutError:  # before OSError, which it is one of
            self._refuse(writer, "client_too_slow", peer)
        except (asyncio.IncompleteReadError, OSError):
            pass  # the client has gone
        except _MalformedError as error:
            self._refuse(writer, "malformed", peer, detail=str(error))
        finally:
            self._open.pop(writer, None)
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        loop = asyncio.get_running_loop()
        while True:
            async with asyncio.timeout(IDLE_LIMIT_S):
                header = await reader.readexactly(MBAP.size)
            transaction, protocol, length, unit = MBAP.unpack(header)
            if protocol != 0 or not 2 <= length <= MAX_LENGTH:
                raise _MalformedError(f"protocol {protocol}, length {length}")
            async with asyncio.timeout(UNREAD_LIMIT_S):
                request = await reader.readexactly(length - 1)
            reply, exception = await self._handler.answer(request, unit)
            if exception:
                self._count(exception.lower())
                peer = writer.get_extra_info("peername")[0]
                self._log.warning("modbus_exception", exception=exception, request=request.hex(), peer=peer)
            self._open[writer] = loop.time()
            writer.write(MBAP.pack(transaction, 0, len(reply) + 1, unit) + reply)
            async with asyncio.timeout(UNREAD_LIMIT_S):
                await writer.drain()

    def _make_room(self) -> None:
        """Close the connection that was silent longest, one that never sent a request first (Modbus TCP guide, 4.2)."""
        if len(self._open) >= self._section.connections:
            silent = min(self._open, key=lambda writer: self._open[writer])
            self._open.pop(silent)
            self._refuse(silent, "connection_displaced", (silent.get_extra_info("peername") or ("",))[0])

    def _refuse(self, writer: asyncio.StreamWriter, what: str, peer: str, **detail: str) -> None:
        self._count(what)
        self._log.warning(what, peer=peer, connections=len(self._open), **detail)
        writer.transport.abort()


class _MalformedError(Exception):
    """Bytes that are not Modbus TCP; where the next request would begin is unknown."""


def server_context(section: ModbusSection) -> ssl.SSLContext | None:
    """Return the TLS settings; None without a certificate. Raises InputError naming the file."""
    if section.certificate is None or section.private_key is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(section.certificate, section.private_key)
        if section.client_ca is not None:
            context.load_verify_locations(section.client_ca)
            context.verify_mode = ssl.CERT_REQUIRED
    except (OSError, ssl.SSLError) as error:
        raise InputError(
            f"modbus: certificate {section.certificate}, private_key {section.private_key}, client_ca "
            f"{section.client_ca}: {error}"
        ) from error
    return context
