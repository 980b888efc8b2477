"""Frames encoded once and sent many times: only the header is packed anew, so that a feed costs little CPU time."""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgpack

from cmfm_protocol.files.dataset import PartFiles, list_parts, read_rgb, read_xyz
from cmfm_protocol.wire.frame import FrameHeader, encode_frame
from cmfm_protocol.wire.topics import topic

TOPIC: Final = topic("line1", "station1", "frame")

DEFECT_EVERY: Final = 20
"""One part in so many is defective, as on a bad day of a line."""


@dataclass(frozen=True, eq=False, slots=True)
class PreparedPart:
    """A part's sealed frame, complete except for its header."""

    name: str
    defective: bool
    header: dict[str, Any]
    arrays: tuple[bytes, bytes]

    @classmethod
    def read(cls, files: PartFiles) -> "PreparedPart":
        """Read and encode a part. Raises DatasetError."""
        header = FrameHeader("prepared", 0, files.id, 1, 1.0, "", simulated=True)
        _, body, rgb, xyz, _ = encode_frame(TOPIC, header, read_rgb(files.rgb), read_xyz(files.xyz))
        return cls(files.id, bool(files.label), msgpack.unpackb(body), (bytes(rgb), bytes(xyz)))

    def message(self, **fields: object) -> list[bytes]:
        """The message with these header fields (stream_uuid, seq, trigger_ns, deadline_ms, …), sealed."""
        body = msgpack.packb({**self.header, **fields})
        return [TOPIC, body, *self.arrays, zlib.crc32(body).to_bytes(4, "big")]


class Parts:
    """The parts of a test split in a line's proportions: `of(seq)` lies under the camera at a trigger."""

    def __init__(self, parts: Sequence[PreparedPart], defect_every: int = DEFECT_EVERY) -> None:
        self.good = [part for part in parts if not part.defective]
        self.defective = [part for part in parts if part.defective]
        self._every = defect_every

    @classmethod
    def read(cls, root: Path, category: str) -> "Parts":
        """The test split of a category. Raises DatasetError."""
        return cls([PreparedPart.read(files) for files in list_parts(root, category, "test")])

    def of(self, seq: int) -> PreparedPart:
        """Good parts in turn, and every DEFECT_EVERY-th a defective one."""
        turn, place = divmod(seq, self._every)
        if self.defective and place == self._every - 1:
            return self.defective[turn % len(self.defective)]
        return self.good[seq % len(self.good)]
