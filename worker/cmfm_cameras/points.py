"""Points from what sensors measure: other units, other marks of missing points, distances along the axis. Pure."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

MISSING: Final = np.float32(np.nan)


def in_metres(
    points: NDArray[np.floating] | NDArray[np.integer], metres: float, *, zero_is_missing: bool = True
) -> NDArray[np.float32]:
    """Return points (H, W, 3) as float32 metres, a new array; `metres` is the unit of the input.

    A point is NaN in all coordinates if one of its coordinates is not finite or, with `zero_is_missing`, if its z is 0.
    """
    with np.errstate(over="ignore"):  # beyond float32 it becomes inf: not measured
        xyz: NDArray[np.float32] = np.multiply(points, metres, dtype=np.float32, casting="unsafe")
    missing = ~np.isfinite(xyz).all(axis=-1)
    if zero_is_missing:
        missing |= xyz[..., 2] == 0
    xyz[missing] = MISSING
    return xyz


def points_of_distances(
    z_m: NDArray[np.float32], fx: float, fy: float, cx: float, cy: float
) -> NDArray[np.float32]:
    """Return the points (H, W, 3) float32 of distances (H, W) along the optical axis; NaN stays NaN.

    `fx`, `fy`, `cx`, `cy` are pixels of a camera without distortion; pixel centres are whole numbers from 0.
    """
    height, width = z_m.shape
    xyz = np.empty((height, width, 3), np.float32)
    np.multiply(z_m, ((np.arange(width) - cx) / fx).astype(np.float32)[None, :], out=xyz[..., 0])
    np.multiply(z_m, ((np.arange(height) - cy) / fy).astype(np.float32)[:, None], out=xyz[..., 1])
    xyz[..., 2] = z_m
    return xyz
