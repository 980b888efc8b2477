"""The square of a frame's own picture that the network sees, and where in its feature maps a pixel lies."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor
from torch.nn import functional as F

from cmfm_worker.cfm.prepare import SIZE_PX, square_pad_offsets

MARGIN_PX: Final = 10
"""Pixels of the map around the part's bounding square, so that the network sees the outline."""

INPUT_PX: Final = 320
"""Side of the network's input. A small part is enlarged: its details are then as large as those the network knows."""


@dataclass(frozen=True)
class Square:
    """A square of a picture: first row, first column and side, in whole pixels. It may reach beyond the picture.

    `origin` is the row and the column in the picture where the map begins, `scale` the picture's pixels along the side
    of one of the map's.
    """

    top: int
    left: int
    side: int
    origin: tuple[int, int]
    scale: float

    @classmethod
    def around(cls, mask: Tensor, size_px: tuple[int, int]) -> Square:
        """Return the square around a mask (224, 224) bool that has a pixel, in a picture of height and width `size_px`.

        Waits for the device.
        """
        pad_top, pad_left, whole = square_pad_offsets(*size_px)
        scale = whole / SIZE_PX
        rows, columns = (mask.any(axis).nonzero()[:, 0] for axis in (1, 0))
        (top, bottom), (left, right) = (places[[0, -1]].tolist() for places in (rows, columns))
        side = max(bottom - top, right - left) + 1 + 2 * MARGIN_PX
        first_row, first_column = ((a + b + 1 - side) / 2 * scale for a, b in ((top, bottom), (left, right)))
        return cls(
            math.floor(first_row) - pad_top,
            math.floor(first_column) - pad_left,
            math.ceil(side * scale),
            (-pad_top, -pad_left),
            scale,
        )

    def cut(self, picture: Tensor, change: Tensor | None = None) -> Tensor:
        """Resample the square from a picture (H, W, 3) uint8: (1, 3, 320, 320) float32 in [0, 1]. Edges are repeated.

        Only the square is read, so the cost is bounded by its pixels. A `change` (3, 224, 224) of the colours on the
        map is enlarged bilinearly and added.
        """
        pixels = self._pixels(picture).permute(2, 0, 1)[None]  # S S C -> 1 C S S
        if pixels.device.type != "cpu":  # on a CPU bytes are resampled as such, five times as fast
            pixels = pixels.float()
        cut = F.interpolate(pixels, (INPUT_PX, INPUT_PX), mode="bilinear", antialias=True).float() / 255.0
        return cut if change is None else (cut + self._enlarged(change)).clamp(0.0, 1.0)

    def read(self, maps: Tensor, pixels: Tensor) -> Tensor:
        """Read feature maps (1, C, h, w) of the square bilinearly at map pixels (P, 2), rows and columns: (P, C)."""
        corner = torch.tensor(self._corner, device=pixels.device)
        place = ((pixels + 0.5) * self.scale - corner) * (2 / self.side) - 1
        return _sampled(maps, place.flip(1)[None, None])[0, :, 0].T

    @property
    def _corner(self) -> tuple[int, int]:
        """First row and column of the square, counted from where the map begins."""
        return self.top - self.origin[0], self.left - self.origin[1]

    def _pixels(self, picture: Tensor) -> Tensor:
        """Return the pixels of the square, (S, S, 3)."""
        for axis, first in enumerate((self.top, self.left)):
            last, length = first + self.side, picture.shape[axis]
            if first >= 0 and last <= length:
                picture = picture.narrow(axis, first, self.side)
            else:
                places = torch.arange(first, last, device=picture.device).clamp(0, length - 1)
                picture = picture.index_select(axis, places)
        return picture

    def _enlarged(self, change: Tensor) -> Tensor:
        """Resample the square from a map (3, 224, 224): (1, 3, 320, 320)."""
        steps = (torch.arange(INPUT_PX, device=change.device) + 0.5) * (self.side / INPUT_PX)
        y, x = ((first + steps) * (2 / (SIZE_PX * self.scale)) - 1 for first in self._corner)
        grid = torch.stack([x.expand(INPUT_PX, -1), y[:, None].expand(-1, INPUT_PX)], dim=-1)
        return _sampled(change[None], grid[None])


def _sampled(maps: Tensor, grid: Tensor) -> Tensor:
    return F.grid_sample(maps, grid, mode="bilinear", padding_mode="border", align_corners=False)
