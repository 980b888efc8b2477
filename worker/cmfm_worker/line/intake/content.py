"""The content of a frame, as checksums: recognises a frame whose bytes are those of another part.

A sealed frame brings the CRC-32 of both arrays, which have been verified. Those of an unsealed frame are computed here:
1.2 ms for 400 × 400 pixels, on the intake's thread and without the interpreter's lock. Two frames that differ have both
checksums in common with a probability of 2⁻⁶⁴, and one array of two with 2⁻³².
"""

import zlib
from collections import OrderedDict, deque
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from cmfm_protocol.wire.frame import Frame
from cmfm_worker.line.messages import TriggerKey

MAX_STREAMS: Final = 64
"""Simulated streams whose last frame is remembered."""

BUFFERS: Final = 16
"""Frames of a camera with which each array is compared alone: a grabber has so many buffers at most. More of them would
make a chance match of 32 bits likely within a year."""


class Content(NamedTuple):
    """Size and checksums of a frame's arrays."""

    shape: tuple[int, ...]
    rgb_crc32: int
    xyz_crc32: int


def content_of(frame: Frame) -> Content:
    """Return the content of a decoded frame."""
    given = [spec.crc32 for spec in frame.header.arrays]
    rgb_crc32, xyz_crc32 = (
        crc32 if crc32 is not None else zlib.crc32(np.ascontiguousarray(array).data)
        for crc32, array in zip(given, (frame.rgb, frame.xyz), strict=True)
    )
    return Content(frame.rgb.shape, rgb_crc32, xyz_crc32)


class Repeat(NamedTuple):
    """The arrays that a frame has in common with an earlier one: `what` is "bytes" (both arrays), "rgb" or "xyz"."""

    what: str
    key: TriggerKey

    def text(self, stream_uuid: str) -> str:
        """Say it in the detail of a result of this stream."""
        of = "" if self.key.stream_uuid == stream_uuid else f" of stream {self.key.stream_uuid[:100]}"
        return f"the same {self.what} as seq {self.key.seq}{of}"


class _Seen(NamedTuple):
    source: str
    key: TriggerKey
    part_id: str
    content: Content


class Repeats:
    """Finds frames that repeat others: a frozen grabber, alternating buffers, a channel mix-up, an old recording.

    No sensor gives the same bytes twice. A frame is compared with the newest `remembered` frames of the line. One of
    another camera may show the same part once more: then both name it. Each array alone is compared with the newest
    BUFFERS frames of the same camera, unless it is uniform: nothing measured, or no light. A simulated frame is
    compared with the one before of its camera and stream alone, because simulators play their parts again and again.
    """

    def __init__(self, remembered: int) -> None:
        self._remembered = remembered
        self._frames: OrderedDict[Content, _Seen] = OrderedDict()
        self._newest: dict[str, deque[_Seen]] = {}  # by source
        self._simulated: OrderedDict[tuple[str, str], _Seen] = OrderedDict()  # by source and stream

    def find(self, source: str, frame: Frame, content: Content) -> Repeat | None:
        """Return what a frame of a camera (its endpoint) repeats of another number, or None. Remembers the frame."""
        header = frame.header
        seen = _Seen(source, TriggerKey(header.stream_uuid, header.seq), header.part_id, content)
        if header.simulated:
            return self._simulated_repeat(seen)
        found = self._same_frame(seen) or self._same_array(seen, frame)
        self._frames[content] = seen
        self._frames.move_to_end(content)
        if len(self._frames) > self._remembered:
            self._frames.popitem(last=False)
        self._newest.setdefault(source, deque(maxlen=BUFFERS)).append(seen)
        return found

    def _same_frame(self, seen: _Seen) -> Repeat | None:
        before = self._frames.get(seen.content)
        if before is None or before.key == seen.key:
            return None
        once_more = before.source != seen.source and before.part_id == seen.part_id != ""
        return None if once_more else Repeat("bytes", before.key)

    def _same_array(self, seen: _Seen, frame: Frame) -> Repeat | None:
        for before in reversed(self._newest.get(seen.source, ())):
            if before.content.shape != seen.content.shape or before.key == seen.key:
                continue
            if before.content.rgb_crc32 == seen.content.rgb_crc32 and not _is_uniform(frame.rgb):
                return Repeat("rgb", before.key)
            if before.content.xyz_crc32 == seen.content.xyz_crc32 and not _is_uniform(frame.xyz):
                return Repeat("xyz", before.key)
        return None

    def _simulated_repeat(self, seen: _Seen) -> Repeat | None:
        stream = seen.source, seen.key.stream_uuid
        before = self._simulated.get(stream)
        self._simulated[stream] = seen
        self._simulated.move_to_end(stream)
        if len(self._simulated) > MAX_STREAMS:
            self._simulated.popitem(last=False)
        if before is None or before.key == seen.key or before.content != seen.content:
            return None
        return Repeat("bytes", before.key)


def _is_uniform(array: NDArray[np.uint8] | NDArray[np.float32]) -> bool:
    """Tell whether all pixels have the same bytes."""
    pixels = np.ascontiguousarray(array).reshape(-1, 3)
    words = pixels.view(np.uint8 if array.dtype == np.uint8 else np.uint32)
    return bool((words == words[0]).all())
