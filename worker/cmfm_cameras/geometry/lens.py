"""A camera's lens: pinhole intrinsics with Brown-Conrady distortion, as OpenCV has them."""

from dataclasses import dataclass
from functools import lru_cache
from typing import Final, TypeVar

import numpy as np
from numpy.typing import NDArray

Real = TypeVar("Real", np.float32, np.float64)

MAX_COEFFICIENTS: Final = 8
"""k1, k2, p1, p2, k3, k4, k5, k6."""

ALLOWED_COUNTS: Final = (0, 4, 5, 8)

NEWTON_STEPS: Final = 20
RAY_TOLERANCE_PX: Final = 1e-6
"""Largest difference between a pixel and its ray, projected again."""

WIDEST_TAN: Final = 20.0
"""Tangent of the widest angle from the axis that is looked at: 87°."""


@dataclass(frozen=True, slots=True)
class Lens:
    """Intrinsics of a camera: size of its picture, focal lengths, principal point and distortion.

    A pixel's centre has integer coordinates, (0, 0) at the top left, as in OpenCV. `distortion` holds k1, k2, p1, p2,
    then k3, then k4, k5, k6 of the rational model; 0, 4, 5 or 8 numbers.
    """

    width_px: int
    height_px: int
    fx_px: float
    fy_px: float
    cx_px: float
    cy_px: float
    distortion: tuple[float, ...] = ()

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of the picture."""
        return self.height_px, self.width_px

    @property
    def widest_tan(self) -> float:
        """Tangent of the widest angle from the axis at which the distortion can be inverted."""
        return _widest_tan(self.distortion)

    def project(self, points: NDArray[Real]) -> tuple[NDArray[Real], NDArray[Real]]:
        """Return column and row (...) of points (..., 3) in the camera's frame; NaN behind the camera.

        NaN also beyond `widest_tan`, where the polynomial folds back into the picture.
        """
        x, y, z = (points[..., axis] for axis in range(3))
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            depth = np.where(z > 0, z, np.nan).astype(points.dtype)
            x, y = x / depth, y / depth
            if self.distortion:
                widest_square = points.dtype.type(self.widest_tan**2)
                x = np.where(x * x + y * y <= widest_square, x, np.nan).astype(points.dtype)
                x, y = distort(x, y, self.distortion)
        return x * points.dtype.type(self.fx_px) + points.dtype.type(self.cx_px), (
            y * points.dtype.type(self.fy_px) + points.dtype.type(self.cy_px)
        )

    def rays(self) -> NDArray[np.float64]:
        """Return x and y at z = 1 of each pixel's ray, (H, W, 2); NaN where no ray reaches a pixel."""
        columns, rows = np.meshgrid(
            np.arange(self.width_px, dtype=float), np.arange(self.height_px, dtype=float)
        )
        return self.rays_of(columns, rows)

    def rays_of(self, columns: NDArray[np.float64], rows: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return x and y at z = 1 of the rays through pixels, (..., 2); NaN where no ray reaches a pixel."""
        x_px, y_px = (columns - self.cx_px) / self.fx_px, (rows - self.cy_px) / self.fy_px
        if not self.distortion:
            return np.stack([x_px, y_px], axis=-1)
        x, y = x_px.copy(), y_px.copy()
        with np.errstate(all="ignore"):
            for _ in range(NEWTON_STEPS):
                x, y = _newton_step(x, y, x_px, y_px, self.distortion)
            x_again, y_again = distort(x, y, self.distortion)
            error_px = np.hypot((x_again - x_px) * self.fx_px, (y_again - y_px) * self.fy_px)
            found = (error_px <= RAY_TOLERANCE_PX) & (x * x + y * y <= self.widest_tan**2)
        return np.stack([np.where(found, x, np.nan), np.where(found, y, np.nan)], axis=-1)


def distort(
    x: NDArray[Real], y: NDArray[Real], distortion: tuple[float, ...]
) -> tuple[NDArray[Real], NDArray[Real]]:
    """Return the distorted x and y of normalised ones (at z = 1), in their dtype."""
    k1, k2, p1, p2, k3, k4, k5, k6 = (x.dtype.type(value) for value in _all_eight(distortion))
    square = x * x + y * y
    radial = 1 + square * (k1 + square * (k2 + square * k3))
    if k4 or k5 or k6:
        radial = radial / (1 + square * (k4 + square * (k5 + square * k6)))
    product = 2 * x * y
    return (
        x * radial + p1 * product + p2 * (square + 2 * x * x),
        y * radial + p1 * (square + 2 * y * y) + p2 * product,
    )


def _newton_step(
    x: NDArray[np.float64],
    y: NDArray[np.float64],
    wanted_x: NDArray[np.float64],
    wanted_y: NDArray[np.float64],
    distortion: tuple[float, ...],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """One step of Newton's method towards the undistorted x and y of `wanted_x` and `wanted_y`."""
    k1, k2, p1, p2, k3, k4, k5, k6 = _all_eight(distortion)
    s = x * x + y * y
    above, above_slope = 1 + s * (k1 + s * (k2 + s * k3)), k1 + s * (2 * k2 + 3 * s * k3)
    below, below_slope = 1 + s * (k4 + s * (k5 + s * k6)), k4 + s * (2 * k5 + 3 * s * k6)
    radial, slope = above / below, (above_slope * below - above * below_slope) / below**2
    xx = radial + 2 * x * x * slope + 2 * p1 * y + 6 * p2 * x
    xy = 2 * x * y * slope + 2 * p1 * x + 2 * p2 * y
    yy = radial + 2 * y * y * slope + 6 * p1 * y + 2 * p2 * x
    now_x, now_y = distort(x, y, distortion)
    off_x, off_y = now_x - wanted_x, now_y - wanted_y
    determinant = xx * yy - xy * xy
    return x - (yy * off_x - xy * off_y) / determinant, y - (xx * off_y - xy * off_x) / determinant


@lru_cache(maxsize=16)
def _widest_tan(distortion: tuple[float, ...]) -> float:
    """The radius at which the radial part stops growing: further points would be drawn nearer to the middle."""
    k1, k2, _, _, k3, k4, k5, k6 = _all_eight(distortion)
    radius = np.linspace(0.0, WIDEST_TAN, 20_001)
    square = radius**2
    below = 1 + square * (k4 + square * (k5 + square * k6))
    with np.errstate(divide="ignore", invalid="ignore"):
        drawn = radius * (1 + square * (k1 + square * (k2 + square * k3))) / below
    stops = np.flatnonzero(~(np.diff(drawn) > 0) | (below[1:] <= 0))
    return float(radius[stops[0]]) if len(stops) else WIDEST_TAN


def _all_eight(distortion: tuple[float, ...]) -> tuple[float, ...]:
    return (*distortion, *[0.0] * (MAX_COEFFICIENTS - len(distortion)))
