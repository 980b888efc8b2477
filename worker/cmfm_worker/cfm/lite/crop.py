"""The square around the part that the network sees, and where in its feature maps a pixel lies."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor
from torch.nn import functional as F

MARGIN_PX: Final = 10
"""Pixels of the map around the part's bounding square, so that the network sees the outline."""

INPUT_PX: Final = 320
"""Side of the network's input. A small part is enlarged: its details are then as large as those the network knows."""


@dataclass(frozen=True)
class Square:
    """A square of the map: first row, first column and side, in pixels. It may reach beyond the map."""

    top: float
    left: float
    side: float

    @classmethod
    def around(cls, mask: Tensor) -> Square:
        """Return the square around a mask (H, W) bool that has a pixel. Waits for the device."""
        rows, columns = (mask.any(axis).nonzero()[:, 0] for axis in (1, 0))
        (top, bottom), (left, right) = (places[[0, -1]].tolist() for places in (rows, columns))
        side = max(bottom - top, right - left) + 1 + 2 * MARGIN_PX
        return cls((top + bottom + 1 - side) / 2, (left + right + 1 - side) / 2, side)

    def cut(self, picture: Tensor) -> Tensor:
        """Resample the square from a picture (C, H, W), bilinearly: (1, C, 320, 320). Edges are repeated."""
        steps = (torch.arange(INPUT_PX, device=picture.device) + 0.5) * (self.side / INPUT_PX)
        height, width = picture.shape[1:]
        y, x = (self.top + steps) * (2 / height) - 1, (self.left + steps) * (2 / width) - 1
        grid = torch.stack([x.expand(INPUT_PX, -1), y[:, None].expand(-1, INPUT_PX)], dim=-1)
        return _sampled(picture[None], grid[None])

    def read(self, maps: Tensor, pixels: Tensor) -> Tensor:
        """Read feature maps (1, C, h, w) of the square bilinearly at map pixels (P, 2), rows and columns: (P, C)."""
        corner = torch.tensor([self.top, self.left], device=pixels.device)
        place = (pixels + 0.5 - corner) * (2 / self.side) - 1
        return _sampled(maps, place.flip(1)[None, None])[0, :, 0].T


def _sampled(maps: Tensor, grid: Tensor) -> Tensor:
    return F.grid_sample(maps, grid, mode="bilinear", padding_mode="border", align_corners=False)
