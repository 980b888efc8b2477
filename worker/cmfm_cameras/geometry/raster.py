"""Draws cells of a grid into a picture with a z-buffer: inverse depth, which is linear over a plane's picture.

A cell is four neighbouring points of a depth sensor, drawn as two triangles. Each pixel keeps the largest inverse
depth, so what is nearest wins. Numpy alone: whole bands of cells are drawn at once, pixel offset by pixel offset.
"""

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Flags = NDArray[np.bool_]
Indices = NDArray[np.intp]

EDGE: Final = np.float32(1e-3)
"""Share of a cell by which its triangles reach over their edges, so that rounding leaves no cracks between them."""

SMALL_PX: Final = 6
"""Cells up to so many pixels high and wide are drawn by offsets, larger ones line by line."""


class Points(NamedTuple):
    """Points (n,): column `u` and row `v` in the picture, `x` and `y` at z = 1, and inverse depth `w` (1/m)."""

    u: Floats
    v: Floats
    x: Floats
    y: Floats
    w: Floats


class Cells(NamedTuple):
    """Cells by the positions of their corners among the points, in cyclic order: triangles a b c and a c d."""

    a: Indices
    b: Indices
    c: Indices
    d: Indices

    def take(self, cells: Indices | Flags) -> "Cells":
        """Return some of the cells."""
        return Cells(*(corner[cells] for corner in self))

    def turned(self) -> "Cells":
        """Return the same cells with their corners moved on by one: the other diagonal."""
        return Cells(self.b, self.c, self.d, self.a)


class Canvas(NamedTuple):
    """A picture that is drawn into: rows, columns, and x and y at z = 1 of each pixel's ray (rows · columns,).

    Shares in a cell are computed at z = 1, where a plane's inverse depth is exactly linear, whatever the lens does.
    """

    rows: int
    columns: int
    x: Floats
    y: Floats


class Box(NamedTuple):
    """First row and column of the pixels that each cell can cover, and how many there are."""

    row: NDArray[np.int32]
    column: NDArray[np.int32]
    rows: NDArray[np.int32]
    columns: NDArray[np.int32]

    def take(self, cells: Indices | Flags) -> "Box":
        """Return those of some cells."""
        return Box(*(values[cells] for values in self))


def draw(
    points: Points, cells: Cells, canvas: Canvas, buffer: Floats, halves: tuple[bool, bool] = (True, True)
) -> None:
    """Draw cells into `buffer` (rows · columns,), a z-buffer of inverse depths. Cells with NaN are left out.

    `halves`: which of the triangles a b c and a c d are drawn.
    """
    box = Box(*_span(points.v, cells, canvas.rows), *_span(points.u, cells, canvas.columns))
    box = Box(box[0], box[2], box[1], box[3])
    some = (box.rows > 0) & (box.columns > 0)
    small = some & (box.rows <= SMALL_PX) & (box.columns <= SMALL_PX)
    chosen = np.flatnonzero(small)
    _draw_small(points, cells.take(chosen), box.take(chosen), canvas, buffer, halves)
    chosen = np.flatnonzero(some & ~small)
    large, box = cells.take(chosen), box.take(chosen)
    for drawn, triangle in zip(halves, ((0, 1, 2), (0, 2, 3)), strict=True):
        if drawn and len(chosen):
            corners = np.stack([large[corner] for corner in triangle])
            _draw_lines(points, corners, box, canvas, buffer)


def _span(values: Floats, cells: Cells, size: int) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """First whole number in the picture that each cell covers, and how many; none for NaN."""
    a, b, c, d = (values[corner] for corner in cells)
    low, high = np.minimum(np.minimum(a, b), np.minimum(c, d)), np.maximum(np.maximum(a, b), np.maximum(c, d))
    known = low <= high  # False for NaN
    low, high = np.where(known, low - EDGE, size), np.where(known, high + EDGE, -1)
    first = np.ceil(np.clip(low, 0, size)).astype(np.int32)
    last = np.floor(np.clip(high, -1, size - 1)).astype(np.int32)
    return first, last - first + 1


def _draw_small(
    points: Points, cells: Cells, box: Box, canvas: Canvas, buffer: Floats, halves: tuple[bool, bool]
) -> None:
    """Draw by offsets from each cell's first pixel."""
    shapes = _shapes(points, cells)
    first = box.row * canvas.columns + box.column
    for down in range(int(box.rows.max(initial=0))):
        for right in range(int(box.columns.max(initial=0))):
            reached = np.flatnonzero((box.rows > down) & (box.columns > right))
            every = len(reached) == len(first)
            pixels = (first if every else first[reached]) + np.int32(down * canvas.columns + right)
            here = shapes if every else [values[reached] for values in shapes]
            value, inside = _value_at(here, canvas.x[pixels], canvas.y[pixels], halves)
            np.maximum.at(buffer, pixels[inside], value[inside])


def _shapes(points: Points, cells: Cells) -> list[Floats]:
    """x, y, w of each cell's corner a, then those of b, c and d less those of a."""
    shapes = [values[cells.a] for values in (points.x, points.y, points.w)]
    for corner in (cells.b, cells.c, cells.d):
        shapes += [
            values[corner] - at_a
            for values, at_a in zip((points.x, points.y, points.w), shapes[:3], strict=True)
        ]
    return shapes


def _value_at(
    shapes: list[Floats], ray_x: Floats, ray_y: Floats, halves: tuple[bool, bool]
) -> tuple[Floats, Flags]:
    """The inverse depth of each cell at a pixel's ray, and whether the ray meets the cell."""
    ax, ay, aw, bx, by, bw, cx, cy, cw, dx, dy, dw = shapes
    x, y = ray_x - ax, ray_y - ay
    across = x * cy - y * cx  # its sign tells the side of the diagonal a-c
    area_b, area_d = bx * cy - by * cx, dx * cy - dy * cx
    in_first = across * area_b >= 0
    ex, ey, ew = np.where(in_first, bx, dx), np.where(in_first, by, dy), np.where(in_first, bw, dw)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        per_area = 1 / np.where(in_first, area_b, area_d)
        share, share_c = across * per_area, (ex * y - ey * x) * per_area
    inside = (share >= -EDGE) & (share_c >= -EDGE) & (share + share_c <= 1 + EDGE)
    if not all(halves):
        inside &= in_first == halves[0]
    with np.errstate(invalid="ignore", over="ignore"):
        return aw + share * ew + share_c * cw, inside


def _draw_lines(points: Points, corners: Indices, box: Box, canvas: Canvas, buffer: Floats) -> None:
    """Draw large triangles, `corners` (3, n), line by line of the picture."""
    which = np.repeat(np.arange(len(box.rows)), box.rows)
    row = box.row[which] + _count_up(box.rows)
    u, v, x, y, w = (values[corners].astype(np.float64) for values in points)
    left, right = _crossed(u[:, which], v[:, which], row)
    first = np.ceil(np.clip(left - EDGE, 0, canvas.columns)).astype(np.int64)
    last = np.floor(np.clip(right + EDGE, -1, canvas.columns - 1)).astype(np.int64)
    count = np.maximum(last - first + 1, 0)
    line = np.repeat(np.arange(len(which)), count)
    pixels, triangle = row[line] * canvas.columns + first[line] + _count_up(count), which[line]
    slope_x, slope_y = _slopes(x, y, w)
    value = (
        w[0, triangle]
        + slope_x[triangle] * (canvas.x[pixels] - x[0, triangle])
        + slope_y[triangle] * (canvas.y[pixels] - y[0, triangle])
    )
    value = np.clip(value, w.min(axis=0)[triangle], w.max(axis=0)[triangle])  # slivers have no reliable slope
    np.maximum.at(buffer, pixels, value.astype(np.float32))


def _count_up(counts: NDArray[np.integer]) -> NDArray[np.int64]:
    """0, 1, … below each count, one after the other."""
    before = np.cumsum(counts, dtype=np.int64) - counts
    return np.asarray(np.arange(int(counts.sum())) - np.repeat(before, counts))


def _crossed(
    u: NDArray[np.float64], v: NDArray[np.float64], row: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Where each triangle (corners first) is entered and left on a row; an empty range if it is not met."""
    left, right = np.full(row.shape, np.inf), np.full(row.shape, -np.inf)
    for start, end in ((0, 1), (1, 2), (2, 0)):
        with np.errstate(divide="ignore", invalid="ignore"):
            share = (row - v[start]) / (
                v[end] - v[start]
            )  # NaN or infinite for an edge along the row: the others meet it
        met = (share >= 0) & (share <= 1)
        at = u[start] + np.where(met, share, 0) * (u[end] - u[start])
        left, right = np.where(met, np.minimum(left, at), left), np.where(met, np.maximum(right, at), right)
    return left, right


def _slopes(
    x: NDArray[np.float64], y: NDArray[np.float64], w: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Change of the inverse depth of each triangle with x and with y; 0 for triangles without area."""
    bx, by, bw = x[1] - x[0], y[1] - y[0], w[1] - w[0]
    cx, cy, cw = x[2] - x[0], y[2] - y[0], w[2] - w[0]
    area = bx * cy - by * cx
    with np.errstate(divide="ignore", invalid="ignore"):
        slope_x, slope_y = (bw * cy - cw * by) / area, (cw * bx - bw * cx) / area
    return np.nan_to_num(slope_x, posinf=0, neginf=0), np.nan_to_num(slope_y, posinf=0, neginf=0)
