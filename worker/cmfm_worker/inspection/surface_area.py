"""Computes the area of a part's surface in each pixel, from its organised points.

The area is measured on the surface, not across the line of sight: a scratch has the same size on a steep flank and
on top.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

NEAR_STEPS: Final = 4.0
"""Neighbours farther apart than this many typical steps lie on both sides of an edge; no surface joins them.

A surface tilted by 75° still counts as joined.
"""

_EVERY: Final = 4
"""Step between the lines that determine the typical step; every fourth line is enough."""

_MM2_PER_M2: Final = 1e6

Points = NDArray[np.float32]
Mask = NDArray[np.bool_]


def surface_mm2(xyz: Points, foreground: Mask, first_row: int, last_row: int) -> NDArray[np.float32]:
    """Compute the surface in each pixel, (H, W) mm²; 0 where it is unknown and outside the given rows.

    `xyz` (3, H, W) metres; `foreground` (H, W) marks points measured on the part. Both rows are included. A pixel's
    surface is the parallelogram of its steps across and down, |p_column × p_row|. It needs a near neighbour left or
    right and another above or below.
    """
    width = foreground.shape[1]
    band = slice(max(first_row - 1, 0), last_row + 2)  # with the rows' neighbours
    points, is_part = xyz[:, band].reshape(3, -1), foreground[band].ravel()
    pitch_column_m = _typical_step_m(xyz, foreground)
    pitch_row_m = _typical_step_m(xyz.swapaxes(1, 2), foreground.T)
    joined = np.arange(1, len(is_part)) % width != 0  # a row's end does not touch the next row's start
    p_column = _steps(points, is_part[1:] & is_part[:-1] & joined, 1, NEAR_STEPS * pitch_column_m)
    p_row = _steps(points, is_part[width:] & is_part[:-width], width, NEAR_STEPS * pitch_row_m)
    squared = _dot(p_column, p_column) * _dot(p_row, p_row) - _dot(p_column, p_row) ** 2
    area = np.zeros(foreground.shape, dtype=np.float32)
    area[band] = np.sqrt(np.maximum(squared, 0)).reshape(-1, width) * np.float32(_MM2_PER_M2)
    return area


def _typical_step_m(xyz: Points, foreground: Mask) -> float:
    """Compute the median distance of neighbours in a row, in metres; 0 without neighbours.

    Points that were duplicated when a small frame was enlarged do not count.
    """
    lines, mask = xyz[:, ::_EVERY], foreground[::_EVERY]
    step = lines[:, :, 1:] - lines[:, :, :-1]
    squared = _dot(step, step)[mask[:, 1:] & mask[:, :-1]]
    squared = squared[squared > 0]
    return float(np.sqrt(np.median(squared))) if squared.size else 0.0


def _steps(points: Points, joined: Mask, stride: int, near_m: float) -> Points:
    """Compute the step from pixel to pixel along one axis, (3, N) metres: the mean of steps to near neighbours, or 0.

    `points` (3, N) are in row order; `joined` (N - stride,) marks points whose next one, `stride` places on, is on
    the part.
    """
    step = points[:, stride:] - points[:, :-stride]
    near = joined & (_dot(step, step) <= np.float32(near_m**2))
    step *= near
    total, neighbours = np.zeros_like(points), np.zeros(points.shape[1], dtype=np.int8)
    for place in (slice(stride, None), slice(None, -stride)):
        total[:, place] += step
        neighbours[place] += near
    total *= np.where(neighbours == 2, np.float32(0.5), np.float32(1))
    return total


def _dot(a: Points, b: Points) -> Points:
    """Compute the scalar products of vectors (3, …): (…)."""
    product: Points = a[0] * b[0] + a[1] * b[1] + a[2] * b[2]
    return product
