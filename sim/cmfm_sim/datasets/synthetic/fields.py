"""Scalar fields to draw parts with: smooth noise, soft steps and distances. Lengths are millimetres."""

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from cmfm_sim.datasets.synthetic.sampling import Field, Sampler

_REACH_MM = 72.0  # noise reaches this far from the origin each way: to the border of any scene


def smooth_noise(
    rng: np.random.Generator, u_mm: Field, v_mm: Field, scale_mm: float | tuple[float, float]
) -> Field:
    """Noise of zero mean and unit deviation that varies over `scale_mm` (one, or one each along u and v).

    It is a function of the point, not of the sampling: a finer grid shows the same noise.
    """
    scale_u, scale_v = (scale_mm, scale_mm) if isinstance(scale_mm, int | float) else scale_mm
    knots = [int(2 * _REACH_MM / scale) + 5 for scale in (scale_v, scale_u)]
    lattice = rng.standard_normal(knots, dtype=np.float32)
    rows, columns = (v_mm + _REACH_MM) / scale_v + 1.0, (u_mm + _REACH_MM) / scale_u + 1.0
    # A fine lattice shows no creases when sampled linearly; a coarse one is refined by a spline first.
    finer = [max(1, min(3, 192 // count)) for count in knots]
    smooth = finer != [1, 1]
    if smooth:
        lattice = ndimage.zoom(lattice, finer, order=3, grid_mode=True, mode="nearest")
        rows, columns = (rows + 0.5) * finer[0] - 0.5, (columns + 0.5) * finer[1] - 0.5
    # Between the lattice's points the deviation is smaller than on them; this is what either way loses.
    return Sampler.at(lattice.shape, rows, columns).linear(lattice) * np.float32(1.2 if smooth else 1.48)


def ramp(values: Field, low: float, high: float) -> Field:
    """0 at `low` and 1 at `high` (which may be below `low`), smooth between and flat beyond."""
    t = np.clip((values - np.float32(low)) / np.float32(high - low), 0.0, 1.0)
    smooth: Field = t * t * (3.0 - 2.0 * t)
    return smooth


def inside(distance_mm: Field, softness_mm: float = 0.5) -> Field:
    """1 inside an outline given by its signed distance (negative inside), 0 outside, soft across its edge."""
    return ramp(distance_mm, softness_mm, -softness_mm)


def box_distance(u_mm: Field, v_mm: Field, half_u: float, half_v: float, radius: float = 0.0) -> Field:
    """Signed distance to a box with corners of the given radius, centred on the origin."""
    du, dv = np.abs(u_mm) - np.float32(half_u - radius), np.abs(v_mm) - np.float32(half_v - radius)
    outside = np.hypot(np.maximum(du, 0.0), np.maximum(dv, 0.0))
    return outside + np.minimum(np.maximum(du, dv), 0.0) - np.float32(radius)


def polyline_distance(u_mm: Field, v_mm: Field, points: NDArray[np.float64]) -> Field:
    """Distance to the line through `points` (n, 2)."""
    nearest = np.full(u_mm.shape, np.inf, dtype=np.float32)
    for (u0, v0), (u1, v1) in pairwise(points):
        du, dv = u1 - u0, v1 - v0
        along = ((u_mm - u0) * du + (v_mm - v0) * dv) / max(du * du + dv * dv, 1e-12)
        along = np.clip(along, 0.0, 1.0)
        np.minimum(nearest, np.hypot(u_mm - u0 - along * du, v_mm - v0 - along * dv), out=nearest)
    return nearest.astype(np.float32)


def turned(u_mm: Field, v_mm: Field, centre_mm: tuple[float, float], angle_rad: float) -> tuple[Field, Field]:
    """Coordinates in a frame that is moved to `centre_mm` and turned by `angle_rad`."""
    cos, sin = np.float32(np.cos(angle_rad)), np.float32(np.sin(angle_rad))
    du, dv = u_mm - np.float32(centre_mm[0]), v_mm - np.float32(centre_mm[1])
    return cos * du + sin * dv, cos * dv - sin * du
