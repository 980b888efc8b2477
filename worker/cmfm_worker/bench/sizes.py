"""How large one batch was, and what a stage of it must at least do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

F32: Final = 4
"""Bytes."""


@dataclass(frozen=True)
class Work:
    """Floating-point operations and bytes of one stage of one batch."""

    flop: float
    bytes: float

    def floor_s(self, flop_per_s: float, bytes_per_s: float) -> float:
        """The least time: nothing is faster than its operations or its bytes."""
        return max(self.flop / flop_per_s, self.bytes / bytes_per_s)


@dataclass(frozen=True)
class Sizes:
    """Of one batch: `frames`, host bytes `input_bytes`, foreground `points`, `pixels` of the mask, tokens of the
    picture that they need, `entries` of both sampling matrices, `map_pixels` of the rectangles that convolutions need.
    """

    frames: int
    input_bytes: int
    points: int
    pixels: int
    image_tokens: int
    entries: int
    map_pixels: int
