"""Reads a field between its grid points."""

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Field: TypeAlias = NDArray[np.floating[Any]]
"""A scalar a point, float32. Its type is wider: numpy's types lose float32 at every product with a number."""


@dataclass(frozen=True, slots=True)
class Sampler:
    """Places on one grid, looked up once and read from any field on it."""

    first: NDArray[np.int32]
    columns: int
    down: Field
    right: Field

    @classmethod
    def at(cls, shape: tuple[int, ...], rows: Field, columns: Field) -> "Sampler":
        """Places at fractional `rows` and `columns` (any one shape); those outside move to the nearest edge."""
        rows = np.clip(rows, 0.0, np.float32(shape[0] - 1))
        columns = np.clip(columns, 0.0, np.float32(shape[1] - 1))
        row = np.minimum(rows.astype(np.int32), shape[0] - 2)
        column = np.minimum(columns.astype(np.int32), shape[1] - 2)
        down, right = (rows - row).astype(np.float32), (columns - column).astype(np.float32)
        return cls(row * np.int32(shape[1]) + column, shape[1], down, right)

    def linear(self, field: Field) -> Field:
        """Values of a field (rows, columns) at the places, linearly interpolated."""
        flat = field.reshape(-1)
        upper, lower = flat.take(self.first), flat.take(self.first + self.columns)
        upper += self.right * (flat.take(self.first + 1) - upper)
        lower += self.right * (flat.take(self.first + (self.columns + 1)) - lower)
        upper += self.down * (lower - upper)
        return upper

    def nearest(self, field: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Values of a field at the nearest grid points."""
        step = np.where(self.down >= 0.5, self.columns, 0) + (self.right >= 0.5)
        values: NDArray[np.bool_] = field.reshape(-1).take(self.first + step)
        return values
