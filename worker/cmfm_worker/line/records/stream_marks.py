"""The newest number of each stream that had its verdict, in the head of the journal's file.

The journal's rows are a ring: while the disk refuses the ledger's rows the oldest are overwritten, and a stream of
which all rows are gone would be unknown to the next worker. Its mark stays. A mark is written alternately to two slots,
so that a kill while one is being written leaves the other.
"""

import mmap
import struct
import zlib
from collections import OrderedDict
from dataclasses import dataclass
from typing import Final, NamedTuple

import msgpack

STREAMS: Final = 64
"""Streams with a mark, the newest: as many as the intake tracks at once."""

MARK_BYTES: Final = 512
HEAD_BYTES: Final = 2 * STREAMS * MARK_BYTES
HEADER: Final = struct.Struct("<QII")
"""How often the stream's marks were written, the length and the CRC-32 of what follows."""


class Mark(NamedTuple):
    """A stream, its newest number that had a verdict, and when (CLOCK_REALTIME)."""

    stream_uuid: str
    newest_seq: int
    done_ns: int


@dataclass(slots=True)
class _Slots:
    """The two slots of a stream, and what was written to them."""

    pair: int
    newest_seq: int = -1
    written: int = 0


class StreamMarks:
    """Marks in the first HEAD_BYTES of a mapping. One thread writes."""

    def __init__(self, memory: mmap.mmap) -> None:
        self._memory = memory
        self._streams: OrderedDict[str, _Slots] = OrderedDict()

    def note(self, stream_uuid: str, seq: int, done_ns: int) -> None:
        """Write that a number of a stream had its verdict."""
        slots = self._streams.pop(stream_uuid, None) or _Slots(self._free_pair())
        self._streams[stream_uuid] = slots  # the one that has been silent longest makes room first
        slots.newest_seq = max(slots.newest_seq, seq)
        slots.written += 1
        payload: bytes = msgpack.packb(Mark(stream_uuid, slots.newest_seq, done_ns))
        header = HEADER.pack(slots.written, len(payload), zlib.crc32(payload))
        at = (2 * slots.pair + slots.written % 2) * MARK_BYTES
        self._memory[at : at + HEADER.size + len(payload)] = header + payload

    def read(self) -> list[Mark]:
        """Return the marks that are complete, one a stream."""
        found: dict[str, tuple[int, Mark]] = {}
        for at in range(0, HEAD_BYTES, MARK_BYTES):
            number, length, crc32 = HEADER.unpack_from(self._memory, at)
            payload = self._memory[at + HEADER.size : at + min(HEADER.size + length, MARK_BYTES)]
            if number and zlib.crc32(payload) == crc32:
                mark = Mark(*msgpack.unpackb(payload))
                found[mark.stream_uuid] = max((number, mark), found.get(mark.stream_uuid, (0, mark)))
        return [mark for _, mark in found.values()]

    def _free_pair(self) -> int:
        if len(self._streams) < STREAMS:
            return len(self._streams)
        return self._streams.popitem(last=False)[1].pair
