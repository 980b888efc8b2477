"""Registers a depth sensor's points to the picture of another camera: a point for each pixel that both have seen.

Neighbouring points of the sensor's grid span its surface. The surface is drawn into the picture with a z-buffer, so
each pixel gets the point that its own ray meets, between the sensor's points, and what is nearer hides what is behind.

A pixel stays without a point where one of the two sees nothing. Where neighbouring points lie on two surfaces, or
points between them are missing, nobody knows what is there: a curtain is drawn from one to the other. It gives no
points, and hides what is behind it. Without it, a pixel on the flank of a part would get the tray's points from behind
the part.
"""

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray

from cmfm_cameras.geometry.lens import Lens
from cmfm_cameras.geometry.pose import Pose
from cmfm_cameras.geometry.raster import Canvas, Cells, Points, draw
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


class Registration:
    """Registers points to the picture of a camera with `lens`; `pose` moves points into that camera's frame.

    `steepest_deg` is the steepest tilt of a surface; steeper cells are steps between two surfaces.
    """

    def __init__(self, lens: Lens, pose: Pose, *, steepest_deg: float = STEEPEST_DEG) -> None:
        self._lens = lens
        self._pose = pose
        self._steepest = math.tan(math.radians(steepest_deg))
        rays = lens.rays().astype(np.float32)
        self._canvas = Canvas(*lens.shape, np.ravel(rays[..., 0]), np.ravel(rays[..., 1]))

    def register(self, xyz: Floats) -> Floats:
        """Return points (H, W, 3) float32 at the picture's pixels, in its camera's frame, NaN without a measured one.

        `xyz` (h, w, 3) are a sensor's points in metres in its own frame, NaN or (0, 0, 0) where nothing was measured.
        """
        size = self._canvas.rows * self._canvas.columns
        surface, curtains = np.zeros(size, np.float32), np.zeros(size, np.float32)
        limit = np.float32(self._steepest * spacing(xyz))
        sign = np.float32(orientation(xyz))
        for top in range(0, len(xyz) - 1, BAND_ROWS):
            self._draw_band(xyz[top : top + BAND_ROWS + 1], limit, sign, surface, curtains)
        surface[curtains > surface * HIDDEN] = 0
        return self._back(surface)

    def _back(self, surface: Floats) -> Floats:
        with np.errstate(divide="ignore"):
            z = np.where(surface > 0, 1 / surface, np.float32(np.nan))
        xyz = np.empty((self._canvas.rows, self._canvas.columns, 3), np.float32)
        for axis, values in enumerate((self._canvas.x * z, self._canvas.y * z, z)):
            xyz[..., axis] = values.reshape(xyz.shape[:2])
        return xyz

    def _draw_band(
        self, xyz: Floats, limit: np.float32, sign: np.float32, surface: Floats, curtains: Floats
    ) -> None:
        known = measured(xyz)
        filled = xyz if known.all() else bridged(xyz, known, limit)
        points, cells = self._points(filled.reshape(-1, 3)), _all_cells(xyz.shape)
        step = _is_step(filled[..., 2], limit)
        corners = [known.ravel()[corner] for corner in cells]
        count = np.add.reduce(corners, dtype=np.int8)
        is_surface = (_area(points, cells) * sign > 0) & ~step
        whole = is_surface & (count == 4)
        draw(points, cells.take(np.flatnonzero(whole)), self._canvas, surface)
        if whole.all():
            return
        half = is_surface & (count == 3)
        turned = cells
        for missing in (1, 2, 3, 0):  # the corners b, c, d, a in turn
            some = turned.take(np.flatnonzero(half & ~corners[missing]))
            draw(points, some, self._canvas, surface, (False, True))
            draw(points, some, self._canvas, curtains, (True, False))
            turned = turned.turned()
        draw(points, cells.take(np.flatnonzero(~whole & ~half)), self._canvas, curtains)
        self._draw_overhangs(filled.reshape(-1, 3), cells.take(np.flatnonzero(step)), limit, curtains)

    def _draw_overhangs(self, filled: Floats, steps: Cells, limit: np.float32, curtains: Floats) -> None:
        """Draw each step at the depth of its near side too: the near surface may reach that far, to the next ray."""
        corners = filled[np.stack(steps)]  # (4, n, 3)
        z = corners[..., 2]
        near = z.min(axis=0)
        corners = corners * np.where(z - near > limit * near, near / z, 1)[..., None]
        cells = Cells(*np.arange(corners.shape[0] * corners.shape[1]).reshape(corners.shape[:2]))
        draw(self._points(corners.reshape(-1, 3)), cells, self._canvas, curtains)

    def _points(self, points: Floats) -> Points:
        moved = self._pose.apply(points)
        u, v = self._lens.project(moved)
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            w = np.float32(1) / moved[..., 2]
            return Points(u, v, moved[..., 0] * w, moved[..., 1] * w, w)


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


def bridged(xyz: Floats, known: Flags, limit: np.float32) -> Floats:
    """Return points with those that are missing put between their measured neighbours in the row.

    They say where an unknown surface can be: on a straight line, or at the nearer one's depth if the neighbours lie on
    two surfaces. NaN stays where a row has no measured point on one side.
    """
    columns = np.arange(xyz.shape[1])
    left = np.maximum.accumulate(np.where(known, columns, -1), axis=1)
    right = np.minimum.accumulate(np.where(known, columns, xyz.shape[1])[:, ::-1], axis=1)[:, ::-1]
    rows, missing = np.nonzero(~known & (left >= 0) & (right < xyz.shape[1]))
    left, right = left[rows, missing], right[rows, missing]
    before, after = xyz[rows, left], xyz[rows, right]
    share = ((missing - left) / (right - left)).astype(np.float32)[:, None]
    between = before * (1 - share) + after * share
    near = np.minimum(before[:, 2], after[:, 2])
    two = np.maximum(before[:, 2], after[:, 2]) - near > limit * near
    filled = np.where(known[..., None], xyz, np.float32(np.nan))
    filled[rows, missing] = between * np.where(two, near / between[:, 2], 1)[:, None]
    return filled


def _corner_samples(xyz: Floats, rows: int, columns: int) -> tuple[Floats, Floats, Floats]:
    samples = xyz[:-1:rows, :-1:columns], xyz[:-1:rows, 1::columns], xyz[1::rows, :-1:columns]
    here, right, below = (
        np.where(measured(sample)[..., None], sample, np.float32(np.nan)) for sample in samples
    )
    return here, right[:, : here.shape[1]], below[: here.shape[0]]


def _is_step(z: Floats, limit: np.float32) -> Flags:
    """Tell for each cell ((h − 1) · (w − 1),) whether its points lie on two surfaces."""
    near, far = np.minimum(z[:, 1:], z[:, :-1]), np.maximum(z[:, 1:], z[:, :-1])
    near, far = np.minimum(near[1:], near[:-1]), np.maximum(far[1:], far[:-1])
    return np.ravel(far - near > limit * near)


def _all_cells(shape: tuple[int, ...]) -> Cells:
    """Every cell of a band of points (h, w, 3)."""
    rows, columns = shape[:2]
    first = (np.arange(rows - 1)[:, None] * columns + np.arange(columns - 1)).ravel()
    return Cells(first, first + 1, first + columns + 1, first + columns)


def _area(points: Points, cells: Cells) -> Floats:
    """Twice the signed area of each cell in the picture; NaN for cells with a point that is not in front of it."""
    (a_u, b_u, c_u, d_u), (a_v, b_v, c_v, d_v) = (
        tuple(values[corner] for corner in cells) for values in (points.u, points.v)
    )
    return (c_u - a_u) * (d_v - b_v) - (c_v - a_v) * (d_u - b_u)
