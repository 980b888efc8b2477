"""The parts of a buffer: where each component lies, and its channels as views of the buffer's bytes. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from cmfm_cameras.errors import Refusal, RefusedCaptureError
from cmfm_cameras.gentl.pixel_formats import FORMATS, PixelFormat

PACKED_GROUPS: Final = {10: (5, 4), 12: (3, 2)}
"""Bits of a packed pixel → bytes and pixels of the smallest group that begins and ends at a byte."""


@dataclass(frozen=True, slots=True)
class Part:
    """One component of a buffer. `code` is its PFNC pixel format; offset, size and padding count bytes.

    `x_offset` and `y_offset` are the place of its first pixel on the sensor, `source_id` the sensor.
    """

    code: int
    offset: int
    size: int
    width: int
    height: int
    x_offset: int = 0
    y_offset: int = 0
    x_padding: int = 0
    source_id: int = 0

    @property
    def format(self) -> PixelFormat:
        """The pixel format. Raises RefusedCaptureError for one that is not converted."""
        found = FORMATS.get(self.code)
        if found is None:
            raise RefusedCaptureError(
                Refusal.UNSUPPORTED,
                f"pixel format 0x{self.code:08X} is not converted; set PixelFormat to one of docs/cameras.md",
            )
        return found

    @property
    def pixels(self) -> tuple[int, int, int, int]:
        """The pixels of the sensor that it covers: first row and column, rows, columns."""
        return self.y_offset, self.x_offset, self.height, self.width


def is_known(part: Part) -> bool:
    """Tell whether a part's pixel format is one that is converted."""
    return part.code in FORMATS


def channels(raw: bytes | memoryview, part: Part) -> NDArray[Any]:
    """Return a view (H, W, channels) of an interleaved or single-channel part that is not packed."""
    found = part.format
    return _view(raw, part, part.offset, np.dtype(found.stored), found.channels)


def planes(raw: bytes | memoryview, part: Part) -> Iterator[NDArray[Any]]:
    """Yield a view (H, W) of each plane of a planar part."""
    found = part.format
    dtype = np.dtype(found.stored)
    plane_bytes = (part.width * dtype.itemsize + part.x_padding) * part.height
    for number in range(found.channels):
        yield _view(raw, part, part.offset + number * plane_bytes, dtype, 1)[..., 0]


def unpacked(raw: bytes | memoryview, part: Part) -> NDArray[np.uint16]:
    """Return the pixels (H, W) uint16 of a packed part, least significant bits first (PFNC "p")."""
    bits = part.format.bits
    row_bytes = -(-part.width * bits // 8)
    rows = _bytes(raw, part, part.offset, row_bytes)
    group_bytes, group_pixels = PACKED_GROUPS[bits]
    groups = -(-row_bytes // group_bytes)
    padded = np.zeros((part.height, groups * group_bytes), np.uint64)
    padded[:, :row_bytes] = rows
    words = np.zeros((part.height, groups), np.uint64)
    for number in range(group_bytes):
        words |= padded[:, number::group_bytes] << np.uint64(8 * number)
    pixels = [
        (words >> np.uint64(bits * number)) & np.uint64((1 << bits) - 1) for number in range(group_pixels)
    ]
    return np.stack(pixels, axis=-1).reshape(part.height, -1)[:, : part.width].astype(np.uint16)


def _view(raw: bytes | memoryview, part: Part, offset: int, dtype: np.dtype[Any], count: int) -> NDArray[Any]:
    row_bytes = part.width * dtype.itemsize * count
    _require_bytes(raw, part, offset, row_bytes)
    return np.ndarray(
        (part.height, part.width, count),
        dtype,
        buffer=raw,
        offset=offset,
        strides=(row_bytes + part.x_padding, dtype.itemsize * count, dtype.itemsize),
    )


def _bytes(raw: bytes | memoryview, part: Part, offset: int, row_bytes: int) -> NDArray[np.uint8]:
    _require_bytes(raw, part, offset, row_bytes)
    strides = (row_bytes + part.x_padding, 1)
    return np.ndarray((part.height, row_bytes), np.uint8, buffer=raw, offset=offset, strides=strides)


def _require_bytes(raw: bytes | memoryview, part: Part, offset: int, row_bytes: int) -> None:
    end = offset + (row_bytes + part.x_padding) * (part.height - 1) + row_bytes
    most = min(len(raw), part.offset + part.size)
    if part.height < 1 or part.width < 1 or offset < 0 or end > most:
        raise RefusedCaptureError(
            Refusal.INCOMPLETE,
            f"{part.format.name} of {part.height} × {part.width} pixels needs bytes up to {end}; {most} are there",
        )
