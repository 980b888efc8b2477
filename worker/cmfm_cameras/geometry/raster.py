"""Draws cells of a grid into a picture with a z-buffer: inverse depth, which is linear over a plane's picture.

A cell is four neighbouring points of a depth sensor, drawn as two triangles. Each pixel keeps the largest inverse depth,
so what is nearest wins. Numpy alone: whole bands of cells are drawn at once, pixel offset by pixel offset.
"""

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Flags = NDArray[np.bool_]

EDGE: Final = np.float32(1e-3)
"""Share of a cell by which its triangles reach over their edges, so that rounding leaves no cracks between them."""

SMALL_PX: Final = 6
"""Cells up to so many pixels high and wide are drawn by offsets, larger ones line by line."""

FEW: Final = 4096
"""Elements of a working array that are cheap to handle even if most are not needed."""


class Corners(NamedTuple):
    """Column, row and inverse depth (1/m) of a corner of each cell."""

    u: Floats
    v: Floats
    w: Floats

    def take(self, cells: NDArray[np.intp] | Flags) -> "Corners":
        """Return those of some cells."""
        return Corners(self.u[cells], self.v[cells], self.w[cells])


class Cells(NamedTuple):
    """Cells by their corners in cyclic order: triangles a b c and a c d."""

    a: Corners
    b: Corners
    c: Corners
    d: Corners

    def take(self, cells: NDArray[np.intp] | Flags) -> "Cells":
        """Return some of the cells."""
        return Cells(*(corner.take(cells) for corner in self))

    def turned(self) -> "Cells":
        """Return the same cells with their corners moved on by one: the other diagonal."""
        return Cells(self.b, self.c, self.d, self.a)


class Box(NamedTuple):
    """First row and column of the pixels that each cell can cover, and how many there are."""

    row: NDArray[np.int32]
    column: NDArray[np.int32]
    rows: NDArray[np.int32]
    columns: NDArray[np.int32]

    def take(self, cells: NDArray[np.intp] | Flags) -> "Box":
        """Return those of some cells."""
        return Box(*(values[cells] for values in self))


def draw(cells: Cells, shape: tuple[int, int], buffer: Floats, halves: tuple[bool, bool] = (True, True)) -> None:
    """Draw cells into `buffer` (rows · columns,), a z-buffer of inverse depths. Cells with NaN are left out.

    `halves`: which of the triangles a b c and a c d are drawn.
    """
    box = _box(cells, shape)
    chosen = np.flatnonzero((box.rows > 0) & (box.columns > 0))
    if not len(chosen):
        return
    cells, box = cells.take(chosen), box.take(chosen)
    small = (box.rows <= SMALL_PX) & (box.columns <= SMALL_PX)
    if small.all():
        _draw_small(cells, box, shape[1], buffer, halves)
        return
    _draw_small(cells.take(small), box.take(small), shape[1], buffer, halves)
    large, large_box = cells.take(~small), box.take(~small)
    for drawn, triangle in zip(halves, ((0, 1, 2), (0, 2, 3)), strict=True):
        if drawn:
            _draw_lines([large[corner] for corner in triangle], large_box, shape, buffer)


def _box(cells: Cells, shape: tuple[int, int]) -> Box:
    first_column, columns = _span([corner.u for corner in cells], shape[1])
    first_row, rows = _span([corner.v for corner in cells], shape[0])
    return Box(first_row, first_column, rows, columns)


def _span(values: list[Floats], size: int) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """First whole number in the picture that each cell covers, and how many; 0 for NaN."""
    low = np.minimum(np.minimum(values[0], values[1]), np.minimum(values[2], values[3]))
    high = np.maximum(np.maximum(values[0], values[1]), np.maximum(values[2], values[3]))
    known = low <= high  # False for NaN
    first = np.ceil(np.clip(np.where(known, low - EDGE, size), -1, size)).astype(np.int32)
    np.maximum(first, 0, out=first)
    last = np.floor(np.clip(np.where(known, high + EDGE, -1), -1, size - 1)).astype(np.int32)
    return first, last - first + 1


def _draw_small(cells: Cells, box: Box, width: int, buffer: Floats, halves: tuple[bool, bool]) -> None:
    """Draw by offsets from each cell's first pixel."""
    for down in range(int(box.rows.max(initial=0))):
        for right in range(int(box.columns.max(initial=0))):
            if down or right:
                reached = (box.rows > down) & (box.columns > right)
                some, where = cells.take(reached), box.take(reached)
            else:
                some, where = cells, box
            if not len(where.row):
                continue
            row, column = where.row + down, where.column + right
            value, inside = _value_at(some, column, row, halves)
            pixels = (row * width + column)[inside]
            np.maximum.at(buffer, pixels, value[inside])


def _value_at(
    cells: Cells, column: NDArray[np.int32], row: NDArray[np.int32], halves: tuple[bool, bool]
) -> tuple[Floats, Flags]:
    """The inverse depth of each cell at a pixel, and whether the pixel lies in the cell."""
    a, b, c, d = cells
    x, y = column - a.u, row - a.v
    cx, cy = c.u - a.u, c.v - a.v
    across = x * cy - y * cx  # of which side of the diagonal a-c the pixel is
    bx, by, dx, dy = b.u - a.u, b.v - a.v, d.u - a.u, d.v - a.v
    area_b, area_d = bx * cy - by * cx, cx * dy - cy * dx
    in_first = across * area_b >= 0
    ex, ey = np.where(in_first, bx, dx), np.where(in_first, by, dy)
    area = np.where(in_first, area_b, -area_d)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        share = across / area
        share_c = (ex * y - ey * x) / area
    inside = (share >= -EDGE) & (share_c >= -EDGE) & (share + share_c <= 1 + EDGE)
    if not all(halves):
        inside &= in_first == halves[0]
    value = a.w + share * (np.where(in_first, b.w, d.w) - a.w) + share_c * (c.w - a.w)
    return value.astype(np.float32, copy=False), inside


def _draw_lines(corners: list[Corners], box: Box, shape: tuple[int, int], buffer: Floats) -> None:
    """Draw large triangles line by line of the picture."""
    height_px, width_px = shape
    which = np.repeat(np.arange(len(box.rows)), box.rows)
    starts = np.cumsum(box.rows) - box.rows
    row = box.row[which] + (np.arange(len(which)) - starts[which])
    u, v, w = (np.stack([corner[part] for corner in corners]).astype(np.float64) for part in range(3))
    left, right = _crossed(u[:, which], v[:, which], row)
    first = np.ceil(np.clip(left - EDGE, 0, width_px)).astype(np.int64)
    last = np.floor(np.clip(right + EDGE, -1, width_px - 1)).astype(np.int64)
    count = np.maximum(last - first + 1, 0)
    line = np.repeat(np.arange(len(which)), count)
    column = first[line] + (np.arange(len(line)) - (np.cumsum(count) - count)[line])
    triangle, row = which[line], row[line]
    slope_u, slope_v = _slopes(u, v, w)
    value = w[0, triangle] + slope_u[triangle] * (column - u[0, triangle]) + slope_v[triangle] * (row - v[0, triangle])
    value = np.clip(value, w.min(axis=0)[triangle], w.max(axis=0)[triangle])  # slivers have no reliable slope
    np.maximum.at(buffer, row * width_px + column, value.astype(np.float32))


def _crossed(
    u: NDArray[np.float64], v: NDArray[np.float64], row: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Where each triangle (corners first) is entered and left on a row; an empty range if it is not met."""
    left, right = np.full(row.shape, np.inf), np.full(row.shape, -np.inf)
    for start, end in ((0, 1), (1, 2), (2, 0)):
        height = v[end] - v[start]
        with np.errstate(divide="ignore", invalid="ignore"):
            share = (row - v[start]) / height
        met = (share >= 0) & (share <= 1)
        at = u[start] + np.where(met, share, 0) * (u[end] - u[start])
        left, right = np.where(met, np.minimum(left, at), left), np.where(met, np.maximum(right, at), right)
        flat = (height == 0) & (v[start] == row)
        left = np.where(flat, np.minimum(left, np.minimum(u[start], u[end])), left)
        right = np.where(flat, np.maximum(right, np.maximum(u[start], u[end])), right)
    return left, right


def _slopes(
    u: NDArray[np.float64], v: NDArray[np.float64], w: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Change of the inverse depth of each triangle a column and a row."""
    bu, bv, bw = u[1] - u[0], v[1] - v[0], w[1] - w[0]
    cu, cv, cw = u[2] - u[0], v[2] - v[0], w[2] - w[0]
    area = bu * cv - bv * cu
    with np.errstate(divide="ignore", invalid="ignore"):
        slope_u, slope_v = (bw * cv - cw * bv) / area, (cw * bu - bw * cu) / area
    return np.nan_to_num(slope_u, posinf=0, neginf=0), np.nan_to_num(slope_v, posinf=0, neginf=0)
