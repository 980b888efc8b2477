"""One TCP connection: cuts messages out of the bytes, within limits, and ends it on the first message that is wrong."""

import asyncio
import struct
from typing import Any, Final

from asyncua import ua
from asyncua.common.utils import Buffer
from asyncua.server.binary_server_asyncio import BinaryServer, OPCUAProtocol
from asyncua.ua.ua_binary import header_from_binary, uatcp_to_binary

from cmfm_gateway.opcua.serving import limits
from cmfm_gateway.opcua.serving.processor import GuardedProcessor
from cmfm_gateway.opcua.serving.refusals import CutOffError, peer_text, status_name

_HEADER: Final = struct.Struct("<3scI")
_TYPES: Final = frozenset({b"HEL", b"OPN", b"MSG", b"CLO"})


class GuardedProtocol(OPCUAProtocol):
    """A connection whose bytes, queue, rate of reading and errors are bounded."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Refuse the connection if there are too many without a session; else start its loop."""
        peer = transport.get_extra_info("peername")
        waiting = sum(1 for client in self.clients if not _is_activated(client))
        if len(self.clients) >= self.iserver.max_connections or waiting >= limits.MAX_UNACTIVATED:
            self.iserver.refusals.note("too_many_connections", peer_text(peer))
            transport.close()
            return
        self._bytes = bytearray()
        self._setup_bytes = 0
        self._can_write = asyncio.Event()
        self._can_write.set()
        super().connection_made(transport)
        self.processor = GuardedProcessor(self.iserver, self.transport, self.limits)
        self.processor.set_policies(self.policies)

    def pause_writing(self) -> None:
        """Stop processing: the client does not read what it was sent."""
        self._can_write.clear()

    def resume_writing(self) -> None:
        """Go on: the client has read."""
        self._can_write.set()

    def data_received(self, data: bytes) -> None:
        """Queue each complete message chunk. A wrong one ends the connection."""
        if self.transport is None or self.transport.is_closing():
            return
        self._bytes += data
        try:
            self._count_setup(len(data))
            self._queue_chunks()
        except CutOffError as error:
            self._end(error)

    def _queue_chunks(self) -> None:
        """Queue the chunks that are there, as many as may wait; reading goes on only when they are processed."""
        while not self.messages.full() and (chunk := self._next_chunk()) is not None:
            buffer = Buffer(chunk)
            self.messages.put_nowait((header_from_binary(buffer), buffer))
        if self.messages.full():
            self.transport.pause_reading()
        else:
            self.transport.resume_reading()

    def _count_setup(self, size: int) -> None:
        """Raise CutOffError if the connection has sent too much before its session was activated."""
        if not _is_activated(self):
            self._setup_bytes += size
            if self._setup_bytes > limits.MAX_SETUP_BYTES:
                raise CutOffError("too_large", ua.StatusCodes.BadTcpMessageTooLarge, "before activation")

    def _next_chunk(self) -> bytes | None:
        if len(self._bytes) < _HEADER.size:
            return None
        kind, _, size = _HEADER.unpack_from(self._bytes)
        if kind not in _TYPES:
            raise CutOffError("malformed", ua.StatusCodes.BadTcpMessageTypeInvalid, f"type {bytes(kind)!r}")
        if size > limits.MAX_CHUNK_BYTES:
            raise CutOffError("too_large", ua.StatusCodes.BadTcpMessageTooLarge, f"chunk of {size} bytes")
        if size <= _HEADER.size + 4:
            raise CutOffError("malformed", ua.StatusCodes.BadTcpMessageTypeInvalid, f"chunk of {size} bytes")
        if len(self._bytes) < size:
            return None
        chunk = bytes(self._bytes[:size])
        del self._bytes[:size]
        return chunk

    async def _process_one_msg(self, header: Any, buf: Buffer) -> bool:
        """Process a chunk. Return False, with the connection ended, if it was wrong."""
        if self.transport is None or self.transport.is_closing():
            return False
        try:
            self._queue_chunks()
            async with asyncio.timeout(limits.WRITE_LIMIT_S):
                await self._can_write.wait()
            going_on: bool = await super()._process_one_msg(header, buf)
        except TimeoutError:
            self._end(CutOffError("slow_reader", ua.StatusCodes.BadTimeout))
        except CutOffError as error:
            self._end(error)
        except Exception as error:  # noqa: BLE001  (whatever a client sends ends its own connection alone)
            detail = f"{type(error).__name__}: {error}"[:200]
            self._end(CutOffError("malformed", ua.StatusCodes.BadSecurityChecksFailed, detail))
        else:
            return going_on
        return False

    def _end(self, error: CutOffError) -> None:
        """Tell the client why, count it, and close; bytes that cannot be sent are dropped."""
        self.iserver.refusals.note(error.cause, peer_text(self.peer_name), str(error))
        if self.transport is None or self.transport.is_closing():
            return
        if error.cause == "slow_reader":
            self.transport.abort()
            return
        told = ua.ErrorMessage(ua.StatusCode(error.status), status_name(error.status))
        self.transport.write(uatcp_to_binary(ua.MessageType.Error, told))
        self.transport.close()


class GuardedBinaryServer(BinaryServer):
    """A listener whose connections are guarded."""

    def _make_protocol(self) -> GuardedProtocol:
        return GuardedProtocol(
            iserver=self.iserver,
            policies=self._policies,
            clients=self.clients,
            closing_tasks=self.closing_tasks,
            limits=self.limits,
        )


def _is_activated(client: OPCUAProtocol) -> bool:
    session = client.processor.session if client.processor is not None else None
    return session is not None and session.is_activated()
