"""The sizes of one batch, and the least work of a stage."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

F32: Final = 4
"""Bytes of a float32."""


@dataclass(frozen=True)
class Work:
    """Floating-point operations and bytes of one stage of one batch."""

    flop: float
    bytes: float

    def floor_s(self, flop_per_s: float, bytes_per_s: float) -> float:
        """Return the least time: a stage is not faster than its operations, and not faster than its bytes."""
        return max(self.flop / flop_per_s, self.bytes / bytes_per_s)


@dataclass(frozen=True)
class Sizes:
    """The sizes of one batch.

    `input_bytes` are those on the host, `points` those of the foreground, `pixels` those of the mask. `image_tokens`
    are the 2D tokens that the mask needs, `entries` those of both sampling matrices, and `map_pixels` the pixels of
    the rectangles that convolutions need.
    """

    frames: int
    input_bytes: int
    points: int
    pixels: int
    image_tokens: int
    entries: int
    map_pixels: int
