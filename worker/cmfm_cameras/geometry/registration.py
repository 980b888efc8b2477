"""Registers a depth sensor's points to the picture of another camera: a point for each pixel that both have seen.

Neighbouring points of the sensor's grid span its surface. The surface is drawn into the picture with a z-buffer, so
each pixel gets the point that its own ray meets, between the sensor's points, and what is nearer hides what is behind.

A pixel stays without a point where one of the two sees nothing. Where neighbouring points lie on two surfaces, or points
between them are missing, nobody knows what is there: a curtain is drawn from one to the other. It gives no points, and
hides what is behind it. Without it, a pixel on the flank of a part would get the tray's points from behind the part.
"""

import math
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from cmfm_cameras.geometry.lens import Lens
from cmfm_cameras.geometry.pose import Pose
from cmfm_cameras.geometry.raster import Cells, Corners, draw
from cmfm_protocol.wire.points import measured

Floats = NDArray[np.float32]
Flags = NDArray[np.bool_]

BAND_ROWS: Final = 48
"""Rows of the sensor's grid that are drawn at once: their arrays stay in the processor's cache."""

HIDDEN: Final = np.float32(1.002)
"""Ratio of inverse depths from which a curtain hides a point: it touches the surfaces that it hangs from."""

SAMPLE_POINTS: Final = 64
"""Points a side of the sample that the grid's spacing is estimated from."""

STEEPEST_DEG: Final = 80.0
"""Tilt of a surface against the sensor's line of sight from which a cell is taken for a step between two surfaces."""


class Grid(NamedTuple):
    """What a band of the sensor's rows becomes: its corners in the picture, and which cells are surface."""

    corners: Corners
    known: Flags
    step: Flags


class Registration:
    """Registers points to the picture of a camera with `lens`; `pose` moves points into that camera's frame.

    `steepest_deg` is the steepest tilt of a surface; steeper cells are steps between two surfaces.
    """

    def __init__(self, lens: Lens, pose: Pose, *, steepest_deg: float = STEEPEST_DEG) -> None:
        self._lens = lens
        self._pose = pose
        self._steepest = math.tan(math.radians(steepest_deg))
        self._rays = lens.rays().astype(np.float32)

    def register(self, xyz: Floats) -> Floats:
        """Return points (H, W, 3) float32 at the picture's pixels, in its camera's frame, NaN where there is none.

        `xyz` (h, w, 3) are a sensor's points in metres in its own frame, NaN or (0, 0, 0) where nothing was measured.
        """
        size = self._lens.height_px * self._lens.width_px
        surface, curtains = np.zeros(size, np.float32), np.zeros(size, np.float32)
        limit = self._steepest * spacing(xyz)
        sign = np.float32(orientation(xyz))
        for top in range(0, len(xyz) - 1, BAND_ROWS):
            self._draw_band(xyz[top : top + BAND_ROWS + 1], limit, sign, surface, curtains)
        surface[curtains > surface * HIDDEN] = 0
        return self._points(surface)

    def _points(self, surface: Floats) -> Floats:
        with np.errstate(divide="ignore"):
            z = np.where(surface > 0, 1 / surface, np.float32(np.nan)).reshape(self._lens.shape)
        xyz = np.empty((*self._lens.shape, 3), np.float32)
        np.multiply(self._rays, z[..., None], out=xyz[..., :2])
        xyz[..., 2] = z
        return xyz

    def _draw_band(self, xyz: Floats, limit: float, sign: np.float32, surface: Floats, curtains: Floats) -> None:
        grid = self._grid(xyz, limit)
        cells = _cells(grid.corners)
        known = _cells_of(grid.known)
        count = np.add.reduce([corner.astype(np.int8) for corner in known])
        is_front = _area(cells) * sign > 0
        whole = (count == 4) & ~grid.step & is_front
        draw(_flat(cells, whole), self._lens.shape, surface)
        if whole.all():
            return
        turned = cells
        for missing in (1, 2, 3, 0):  # the corners b, c, d, a in turn
            half = (count == 3) & ~known[missing] & ~grid.step & is_front
            draw(_flat(turned, half), self._lens.shape, surface, (False, True))
            draw(_flat(turned, half), self._lens.shape, curtains, (True, False))
            turned = turned.turned()
        draw(_flat(cells, ~whole & ((count != 3) | grid.step | ~is_front)), self._lens.shape, curtains)

    def _grid(self, xyz: Floats, limit: float) -> Grid:
        known = measured(xyz)
        filled = xyz if known.all() else bridged(xyz, known)
        step = _is_step(filled[..., 2], limit)
        moved = self._pose.apply(filled)
        u, v = self._lens.project(moved)
        with np.errstate(divide="ignore", invalid="ignore"):
            return Grid(Corners(u, v, 1 / moved[..., 2]), known, step)


def spacing(xyz: Floats) -> float:
    """Return the typical distance of neighbouring points over their z, the larger of rows and columns; 0 if unknown."""
    rows, columns = (max(1, side // SAMPLE_POINTS) for side in xyz.shape[:2])
    here = xyz[:-1:rows, :-1:columns]
    spans = []
    for axis, there in ((0, xyz[:-1:rows, 1::columns]), (1, xyz[1::rows, :-1:columns])):
        both = measured(here) & measured(there[: here.shape[0], : here.shape[1]])
        apart = np.abs(there[..., axis] - here[..., axis])[both] / here[..., 2][both]
        spans.append(float(np.median(apart)) if len(apart) else 0.0)
    return max(spans)


def orientation(xyz: Floats) -> int:
    """Return 1 if the grid's columns and rows run as x and y do, −1 if one of them is mirrored."""
    rows, columns = (max(1, side // SAMPLE_POINTS) for side in xyz.shape[:2])
    here, right, below = (part[..., :2] / part[..., 2:] for part in _corner_samples(xyz, rows, columns))
    along, down = right - here, below - here
    with np.errstate(invalid="ignore"):
        area = np.sign(along[..., 0] * down[..., 1] - along[..., 1] * down[..., 0])
    return -1 if float(np.nansum(area)) < 0 else 1


def bridged(xyz: Floats, known: Flags) -> Floats:
    """Return points with those that are missing put on a straight line between their measured neighbours in the row.

    They say where an unknown surface can be; NaN stays where a row has no measured point on one side.
    """
    columns = np.arange(xyz.shape[1])
    left = np.maximum.accumulate(np.where(known, columns, -1), axis=1)
    right = np.minimum.accumulate(np.where(known, columns, xyz.shape[1])[:, ::-1], axis=1)[:, ::-1]
    rows, missing = np.nonzero(~known & (left >= 0) & (right < xyz.shape[1]))
    before, after = left[rows, missing], right[rows, missing]
    share = ((missing - before) / (after - before)).astype(np.float32)[:, None]
    filled = np.where(known[..., None], xyz, np.float32(np.nan))
    filled[rows, missing] = xyz[rows, before] * (1 - share) + xyz[rows, after] * share
    return filled


def _corner_samples(xyz: Floats, rows: int, columns: int) -> tuple[Floats, Floats, Floats]:
    samples = xyz[:-1:rows, :-1:columns], xyz[:-1:rows, 1::columns], xyz[1::rows, :-1:columns]
    here, right, below = (np.where(measured(sample)[..., None], sample, np.float32(np.nan)) for sample in samples)
    return here, right[:, : here.shape[1]], below[: here.shape[0]]


def _is_step(z: Floats, limit: float) -> Flags:
    """Tell for each cell (h − 1, w − 1) whether its points lie on two surfaces."""
    above, below = np.minimum(z[:, 1:], z[:, :-1]), np.maximum(z[:, 1:], z[:, :-1])
    low, high = np.minimum(above[1:], above[:-1]), np.maximum(below[1:], below[:-1])
    return high - low > limit * low


def _cells(corners: Corners) -> Cells:
    a, b, c, d = (Corners(*parts) for parts in zip(*(_cells_of(part) for part in corners), strict=True))
    return Cells(a, b, c, d)


def _cells_of(values: NDArray[np.generic]) -> tuple[NDArray[np.generic], ...]:
    """The four corners of each cell, in cyclic order."""
    return values[:-1, :-1], values[:-1, 1:], values[1:, 1:], values[1:, :-1]


def _flat(cells: Cells, chosen: Flags) -> Cells:
    if chosen.all():
        return Cells(*(Corners(*(part.ravel() for part in corner)) for corner in cells))
    return cells.take(chosen)


def _area(cells: Cells) -> Floats:
    """Twice the signed area of each cell in the picture; NaN for cells with a point that is not in front of it."""
    a, b, c, d = cells
    return (c.u - a.u) * (d.v - b.v) - (c.v - a.v) * (d.u - b.u)
