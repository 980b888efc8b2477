"""The journal: the newest verdicts in a memory-mapped file beside the ledger, each written before its result is sent.

A store into a shared mapping is with the kernel at once: it outlives kill -9 (but not a power cut), takes microseconds,
and cannot meet a full disk, because the file is written out when it is made. So the worker after a killed one knows
every verdict that was sent, completes the ledger with it and never gives a trigger a second result.

The file is a head (`stream_marks`) and a ring of slots: `<number, length, CRC-32>` and a ledger row in msgpack. A slot
that was being written when the process was killed does not fit its CRC-32 and is skipped; its result had not been sent.
"""

import mmap
import struct
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgpack

from cmfm_worker.line.records.stream_marks import HEAD_BYTES, StreamMarks

SLOTS: Final = 4096
"""Rows kept by default: more than a flush interval has, and minutes of a fast line while the disk refuses rows."""

SLOT_BYTES: Final = 2048
HEADER: Final = struct.Struct("<QII")

Row = tuple[object, ...]


def file_bytes(slots: int) -> int:
    """Return the size of a journal's file."""
    return HEAD_BYTES + slots * SLOT_BYTES


class Journal:
    """One file, one writer thread. Raises OSError if the file cannot be made or mapped.

    `marks` holds the newest number of each stream. A file that is there keeps its number of slots until `resize`.
    """

    def __init__(self, path: Path, slots: int = SLOTS) -> None:
        self._path = path
        if path.exists() and not path.is_file():  # writing to a pipe would wait for ever
            raise OSError(None, f"{path} is not a file")
        size = path.stat().st_size if path.is_file() else 0
        if size <= HEAD_BYTES or (size - HEAD_BYTES) % SLOT_BYTES:
            size = file_bytes(slots)
            path.write_bytes(bytes(size))  # real blocks: a hole would need room later
        self._open(size)

    def _open(self, size: int) -> None:
        with self._path.open("r+b") as file:
            self._map = mmap.mmap(file.fileno(), size)
        self._slots = (size - HEAD_BYTES) // SLOT_BYTES
        self._number = 0
        self.marks = StreamMarks(self._map)

    def resize(self, slots: int) -> None:
        """Forget all rows, which are in the ledger, and have so many slots. Raises OSError."""
        if slots == self._slots:
            self.clear()
            return
        self._map.close()
        self._path.write_bytes(bytes(file_bytes(slots)))
        self._open(file_bytes(slots))

    def note(self, row: Sequence[object]) -> None:
        """Write a row over the oldest. A row too long for a slot, which the wire's limits exclude, is skipped."""
        payload: bytes = msgpack.packb(row)
        if len(payload) > SLOT_BYTES - HEADER.size:
            return
        at = HEAD_BYTES + self._number % self._slots * SLOT_BYTES
        self._number += 1
        header = HEADER.pack(self._number, len(payload), zlib.crc32(payload))
        self._map[at : at + HEADER.size + len(payload)] = header + payload

    def rows(self) -> list[Row]:
        """The complete rows, oldest first."""
        found = [
            slot
            for at in range(HEAD_BYTES, len(self._map), SLOT_BYTES)
            if (slot := self._slot(at)) is not None
        ]
        return [row for _, row in sorted(found, key=lambda slot: slot[0])]

    def clear(self) -> None:
        """Forget all rows and marks: they are in the ledger."""
        self._map[:] = bytes(len(self._map))
        self._number = 0
        self.marks = StreamMarks(self._map)

    def close(self) -> None:
        """Unmap the file."""
        self._map.close()

    def _slot(self, at: int) -> tuple[int, Row] | None:
        number, length, crc32 = HEADER.unpack_from(self._map, at)
        if not number or length > SLOT_BYTES - HEADER.size:
            return None
        payload = self._map[at + HEADER.size : at + HEADER.size + length]
        return (number, tuple(msgpack.unpackb(payload))) if zlib.crc32(payload) == crc32 else None
