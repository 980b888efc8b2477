"""Rows at uneven places become a square grid: points and brightness between neighbouring measurements. Pure."""

import math
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

SAME_PLACE: Final = 1e-3
"""Share of the pitch within which a measurement is at a grid line: it needs no neighbour there."""


class Rows(NamedTuple):
    """Rows by their place along the belt: `y_m` (n,) rising, `x_m`, `z_m` and `grey` (n, w)."""

    y_m: NDArray[np.float64]
    x_m: Floats
    z_m: Floats
    grey: NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Grid:
    """A square grid of `pitch_m`: columns from `left_m`, `rows` × `columns`.

    `row_m`: spacing of the measured rows; farther neighbours have a gap between them. `steepest_deg`: steeper
    neighbours lie on two surfaces, with nothing known between them.
    """

    pitch_m: float
    left_m: float
    rows: int
    columns: int
    row_m: float
    steepest_deg: float = 80.0

    def resampled(self, rows: Rows, top_m: float) -> tuple[NDArray[np.uint8], Floats]:
        """Return colour (H, W, 3) and points (H, W, 3) of the grid whose first row lies at `top_m`.

        x is the place across the belt, y the place along it from the grid's middle row, z the distance. NaN where
        neighbouring measurements are missing; black where the brightness is.
        """
        across = self._across(rows)
        z, grey = self._along(rows.y_m, across, top_m + np.arange(self.rows, dtype=np.float64) * self.pitch_m)
        xyz = np.empty((self.rows, self.columns, 3), np.float32)
        xyz[..., 0] = self.left_m + np.arange(self.columns) * self.pitch_m
        xyz[..., 1] = ((np.arange(self.rows) - (self.rows - 1) / 2) * self.pitch_m)[:, None]
        xyz[..., 2] = z
        xyz[np.isnan(z)] = np.nan
        return np.repeat(np.rint(np.nan_to_num(grey)).astype(np.uint8)[..., None], 3, axis=-1), xyz

    def _across(self, rows: Rows) -> NDArray[np.float32]:
        """z and brightness (n, columns, 2) of each row at the grid's columns."""
        wanted = self.left_m + np.arange(self.columns, dtype=np.float64) * self.pitch_m
        found = np.full((len(rows.y_m), self.columns, 2), np.nan, np.float32)
        for place, (x, z, grey) in enumerate(zip(rows.x_m, rows.z_m, rows.grey, strict=True)):
            measured = np.flatnonzero(np.isfinite(x) & np.isfinite(z))
            rising = measured[_rises(x[measured])]
            if len(rising) > 1:
                found[place] = self._row(wanted, x[rising].astype(float), z[rising], grey[rising], rising)
        return found

    def _row(
        self,
        wanted: NDArray[np.float64],
        x: NDArray[np.float64],
        z: Floats,
        grey: NDArray[np.uint8],
        index: NDArray[np.intp],
    ) -> NDArray[np.float32]:
        right = np.clip(np.searchsorted(x, wanted), 1, len(x) - 1)
        left = right - 1
        width = x[right] - x[left]
        share = (wanted - x[left]) / width
        inside = (share >= -SAME_PLACE) & (share <= 1 + SAME_PLACE)
        z_left, z_right = z[left].astype(float), z[right].astype(float)
        joined = (index[right] - index[left] == 1) & (np.abs(z_right - z_left) <= self._steepest * width)
        z_found = _between(z_left, z_right, share, joined)
        grey_found = _between(grey[left].astype(float), grey[right].astype(float), share, joined)
        values = np.stack([z_found, grey_found], axis=-1)
        values[~inside] = np.nan
        return values.astype(np.float32)

    def _along(
        self, y_m: NDArray[np.float64], across: NDArray[np.float32], wanted: NDArray[np.float64]
    ) -> tuple[Floats, Floats]:
        """z and brightness (rows, columns) at places along the belt."""
        below = np.clip(np.searchsorted(y_m, wanted), 1, max(len(y_m) - 1, 1))
        above = below - 1
        below = np.minimum(below, len(y_m) - 1)
        width = np.maximum(y_m[below] - y_m[above], 1e-12)
        share = ((wanted - y_m[above]) / width)[:, None]
        z_above, z_below = across[above, :, 0].astype(float), across[below, :, 0].astype(float)
        near = (width <= 1.5 * self.row_m)[:, None]
        with np.errstate(invalid="ignore"):
            joined = near & (np.abs(z_below - z_above) <= self._steepest * width[:, None])
        inside = (share >= -SAME_PLACE) & (share <= 1 + SAME_PLACE)
        z = _between(z_above, z_below, share, joined)
        grey = _between(across[above, :, 1].astype(float), across[below, :, 1].astype(float), share, joined)
        missing = ~inside | np.isnan(z)
        return (
            np.where(missing, np.nan, z).astype(np.float32),
            np.where(missing, np.nan, grey).astype(np.float32),
        )

    @property
    def _steepest(self) -> float:
        return math.tan(math.radians(self.steepest_deg))


def _between(
    first: NDArray[np.float64],
    second: NDArray[np.float64],
    share: NDArray[np.float64],
    joined: NDArray[np.bool_],
) -> NDArray[np.float64]:
    """Between two measurements if they are joined; a measurement itself where it lies at the place; else NaN."""
    found = np.where(joined, first + (second - first) * share, np.nan)
    found = np.where(np.abs(share) <= SAME_PLACE, first, found)
    return np.where(np.abs(share - 1) <= SAME_PLACE, second, found)


def _rises(x: Floats) -> NDArray[np.bool_]:
    """Tell which values are above all before them: an overhang is seen twice at one place."""
    if not len(x):
        return np.zeros(0, dtype=bool)
    highest = np.maximum.accumulate(x)
    return np.concatenate([[True], x[1:] > highest[:-1]])
