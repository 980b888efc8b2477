"""Buffers as a GenTL producer fills them: components of known numbers, in any layout, with padding between them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from cmfm_cameras.gentl.parts import Part
from cmfm_cameras.gentl.pixel_formats import FORMATS, PixelFormat

BY_NAME = {found.name: found for found in FORMATS.values()}
GAP = 13
"""Bytes between two components: offsets of real buffers are not multiples of anything."""


def buffer_of(
    *components: tuple[str, NDArray[np.generic]], x_padding: int = 0, x_offset: int = 0, y_offset: int = 0
) -> tuple[bytes, list[Part]]:
    """The bytes and parts of a buffer with these components, each a format and its values (H, W, channels)."""
    content, parts = bytearray(b"\xa5" * GAP), []
    for name, values in components:
        found = BY_NAME[name]
        data = _bytes_of(found, values, x_padding)
        height, width = values.shape[:2]
        parts.append(Part(found.code, len(content), len(data), width, height, x_offset, y_offset, x_padding))
        content += data + b"\xa5" * GAP
    return bytes(content), parts


def _bytes_of(found: PixelFormat, values: NDArray[np.generic], x_padding: int) -> bytes:
    if not found.stored:
        return b"".join(_packed(row, found.bits) + b"\x5a" * x_padding for row in values[..., 0])
    typed = values.astype(found.stored)
    planes: Sequence[NDArray[np.generic]] = list(np.moveaxis(typed, -1, 0)) if found.planar else [typed]
    rows = [row.tobytes() + b"\x5a" * x_padding for plane in planes for row in plane]
    return b"".join(rows)


def _packed(row: NDArray[np.generic], bits: int) -> bytes:
    """A row of pixels without gaps, the least significant bit first (PFNC "p")."""
    number = sum(int(value) << (bits * place) for place, value in enumerate(row.tolist()))
    return number.to_bytes(-(-len(row) * bits // 8), "little")
