"""Surroundings of the part in a prepared frame: the distance to the edges of the view, and other pieces.

A recipe learns these numbers from nominal parts, and a part outside their range is not decided by its score.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import torch
from torch import Tensor

FIELD_SHARE: Final = 0.05
"""A row or column belongs to the measured field if it has at least this share of the points of the fullest one.

Single stray points beside the field do not make it larger.
"""


class Surroundings(NamedTuple):
    """The surroundings of one part, in pixels of the 224×224 grid.

    `edge_px` is the distance of the part to the nearest edge of the picture: 0 if it touches it. `field_px` is the same
    for the rectangle in which the sensor measured anything; it equals `edge_px` where no tray was removed. `pieces`
    and `beside_px` are those of `cfm.clusters.Cleaned`; they are 1 and 0 where no tray was removed.
    """

    edge_px: int
    field_px: int
    pieces: int
    beside_px: int


class Box(NamedTuple):
    """First and last row, first and last column: each (B,) int64, or one number for all frames."""

    top: Tensor | int
    bottom: Tensor | int
    left: Tensor | int
    right: Tensor | int


def surroundings_of(
    foreground: Tensor, valid: Tensor, plane: Tensor, picture: Box, pieces: Tensor, beside_px: Tensor
) -> Tensor:
    """Return the `Surroundings` of B frames as one tensor (B, 4) int32. Nothing waits for the device.

    `foreground` and `valid` (B, 224, 224) bool, `plane` (B, 4) NaN where no tray was removed, `picture` the rows and
    columns of the grid that show the picture, `pieces` and `beside_px` (B,) of `cfm.clusters.Cleaned`. The numbers of a
    frame without foreground mean nothing.
    """
    part = _box(foreground, 0.0)
    edge_px = _distance(part, picture)
    field_px = _distance(part, _box(valid, FIELD_SHARE))
    field_px = torch.where(plane[:, 3].isnan(), edge_px, torch.minimum(edge_px, field_px))
    return torch.stack([edge_px, field_px, pieces, beside_px], dim=1).int()


def _box(mask: Tensor, share: float) -> Box:
    """Return the box (B,) of the rows and columns with more than `share` of the pixels of the fullest one."""
    return Box(*_ends(mask.sum(2), share), *_ends(mask.sum(1), share))


def _ends(counts: Tensor, share: float) -> tuple[Tensor, Tensor]:
    full = (counts > share * counts.amax(1, keepdim=True)).int()
    return full.argmax(1), full.shape[1] - 1 - full.flip(1).argmax(1)


def _distance(part: Box, around: Box) -> Tensor:
    sides = (
        part.top - around.top,
        around.bottom - part.bottom,
        part.left - around.left,
        around.right - part.right,
    )
    return torch.stack([torch.as_tensor(side) for side in sides]).amin(0).clamp(min=0)
