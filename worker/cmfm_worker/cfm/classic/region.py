"""Where on a frame features are computed: at every second pixel of the part, without stray points."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor
from torch.nn import functional as F

from cmfm_worker.cfm.classic.derivatives import GRID_PX
from cmfm_worker.cfm.prepare import SIZE_PX

BOX_STEP_PX: Final = 8
"""Features are computed in the part's bounding box, widened by at least this and to multiples of it."""

NEIGHBOURHOOD_PX: Final = 5
"""Side of the square in which a point must have neighbours of about its own depth."""

LEAST_SUPPORT: Final = 0.28
"""Share of the part's usual number of such neighbours that a point must have. A surface one pixel wide has 0.2, one two
pixels wide 0.4, a corner 0.36.
"""

JUMP_PITCHES: Final = 6.0
"""Neighbours lie on one surface if their depths differ by less than so many times the distance of neighbouring points.
That is a surface seen at 80 degrees.
"""


@dataclass(frozen=True)
class Region:
    """The box of a part (`rows`, `columns`), and `mask` (H, W) bool of its points in the box, stray points left out.

    The grid is every second row and column of the box. It starts at the row and column with most points: a sensor may
    have measured the odd ones alone.
    """

    rows: slice
    columns: slice
    mask: Tensor

    @classmethod
    def of(cls, foreground: Tensor, xyz: Tensor) -> Region:
        """Find the region of a part's foreground (224, 224) with points `xyz` (3, 224, 224)."""
        rows, columns = _span(foreground.any(1)), _span(foreground.any(0))
        kept = without_stray_points(foreground[rows, columns], xyz[:, rows, columns])
        counts = [int(kept[down::GRID_PX, right::GRID_PX].sum()) for down, right in _STARTS]
        most = max(counts)
        down, right = next(at for at, n in zip(_STARTS, counts, strict=True) if 2 * n >= most)
        kept = kept[down:, right:]
        return cls(slice(rows.start + down, rows.stop), slice(columns.start + right, columns.stop), kept)

    @property
    def grid_indices(self) -> Tensor:
        """Return the flat indices of the part's pixels on the grid, (P,)."""
        return self.mask[::GRID_PX, ::GRID_PX].flatten().nonzero()[:, 0]

    @property
    def grid_mask(self) -> Tensor:
        """Return the same pixels as a mask (224, 224) bool."""
        mask = torch.zeros((SIZE_PX, SIZE_PX), dtype=torch.bool, device=self.mask.device)
        mask[self.rows, self.columns][::GRID_PX, ::GRID_PX] = self.mask[::GRID_PX, ::GRID_PX]
        return mask


_STARTS: Final = tuple((down, right) for down in range(GRID_PX) for right in range(GRID_PX))


def without_stray_points(mask: Tensor, xyz: Tensor) -> Tensor:
    """Leave out points that few of their neighbours support: flying pixels at edges, glimpses through a slot.

    `mask` (H, W) bool, `xyz` (3, H, W) metres. Filters would take such a point for a cliff in the surface around it. A
    part with nothing else keeps all of its points.
    """
    reach = NEIGHBOURHOOD_PX // 2
    steps = (xyz[:, :, 1:] - xyz[:, :, :-1]).square().sum(0).sqrt()[mask[:, 1:] & mask[:, :-1]]
    if not len(steps):
        return mask
    jump_m = JUMP_PITCHES * steps.median()
    height, width = mask.shape
    depth = torch.where(mask, xyz[2], torch.nan)
    around = F.pad(depth, (reach,) * 4, value=torch.nan)
    support = torch.zeros_like(depth)
    for down in range(NEIGHBOURHOOD_PX):
        for right in range(NEIGHBOURHOOD_PX):
            support += (around[down : down + height, right : right + width] - depth).abs() < jump_m
    kept = mask & (support >= LEAST_SUPPORT * support[mask].median())
    return kept if kept.any() else mask


def _span(occupied: Tensor) -> slice:
    """Return the occupied rows or columns, widened so that derivatives have their neighbours."""
    places = occupied.nonzero()[:, 0]
    first = max(int(places[0]) - BOX_STEP_PX, 0) // BOX_STEP_PX * BOX_STEP_PX
    last = min(-(-(int(places[-1]) + 1 + BOX_STEP_PX) // BOX_STEP_PX) * BOX_STEP_PX, SIZE_PX)
    return slice(first, last)
