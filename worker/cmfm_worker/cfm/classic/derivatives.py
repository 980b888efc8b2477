"""Derivatives of smoothed planes at every second pixel, by central differences."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from torch import Tensor
from torch.nn import functional as F

GRID_PX: Final = 2
"""Features are computed at every second pixel along either axis: Ψ is smoothed by more than that."""


@dataclass(frozen=True)
class Derivatives:
    """Values, first derivatives and Laplacian of planes on the grid, (C, h, w) each, in units a pixel.

    `down` and `right` are the first derivatives. Edges are repeated.
    """

    values: Tensor
    down: Tensor
    right: Tensor
    laplacian: Tensor

    @classmethod
    def of_pixels(cls, planes: Tensor) -> Derivatives:
        """Differentiate planes (C, H, W) that are given at every pixel, by differences of neighbouring pixels."""
        return cls._differences(planes, every=GRID_PX, spacing_px=1)

    @classmethod
    def of_grid(cls, planes: Tensor) -> Derivatives:
        """Differentiate planes (C, h, w) that are given on the grid alone."""
        return cls._differences(planes, every=1, spacing_px=GRID_PX)

    @classmethod
    def _differences(cls, planes: Tensor, every: int, spacing_px: int) -> Derivatives:
        height, width = planes.shape[1:]
        padded = F.pad(planes[None], (1, 1, 1, 1), mode="replicate")[0]

        def moved(down: int, right: int) -> Tensor:
            return padded[:, 1 + down : 1 + down + height : every, 1 + right : 1 + right + width : every]

        above, below, left, right = moved(-1, 0), moved(1, 0), moved(0, -1), moved(0, 1)
        values = planes[:, ::every, ::every]
        return cls(
            values,
            (below - above) / (2 * spacing_px),
            (right - left) / (2 * spacing_px),
            (above + below + left + right - 4.0 * values) / spacing_px**2,
        )

    @property
    def steepness(self) -> Tensor:
        """Return the gradient's magnitude, (C, h, w)."""
        return (self.down.square() + self.right.square()).sqrt()


def curvatures(plane: Tensor) -> tuple[Tensor, Tensor]:
    """Return the largest and the smallest second derivative over all directions, on the grid: twice (1, h, w).

    `plane` (1, H, W) is given at every pixel. A line has one of the two, in whichever direction it runs; a spot has
    both.
    """
    height, width = plane.shape[1:]
    padded = F.pad(plane[None], (2, 2, 2, 2), mode="replicate")[0]

    def moved(down: int, right: int) -> Tensor:
        return padded[:, 2 + down : 2 + down + height : GRID_PX, 2 + right : 2 + right + width : GRID_PX]

    middle = 2.0 * moved(0, 0)
    yy = (moved(2, 0) - middle + moved(-2, 0)) / 4
    xx = (moved(0, 2) - middle + moved(0, -2)) / 4
    yx = (moved(1, 1) - moved(1, -1) - moved(-1, 1) + moved(-1, -1)) / 4
    mean, half = (yy + xx) / 2, ((yy - xx).square() / 4 + yx.square()).sqrt()
    return mean + half, mean - half
