"""A rigid motion between the frames of two devices."""

from dataclasses import dataclass
from typing import Final, TypeVar

import numpy as np
from numpy.typing import NDArray

Real = TypeVar("Real", np.float32, np.float64)

ROTATION_TOLERANCE: Final = 1e-6
"""Largest difference of R·Rᵀ from the identity. Nine digits in a file stay well below it."""


@dataclass(frozen=True, slots=True)
class Pose:
    """A rotation (3 rows of 3) and a translation in metres: `apply(p)` is rotation · p + translation_m."""

    rotation: tuple[tuple[float, float, float], ...] = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))
    translation_m: tuple[float, float, float] = (0.0, 0.0, 0.0)

    @classmethod
    def of(cls, rotation: NDArray[np.float64], translation_m: NDArray[np.float64]) -> "Pose":
        """Return the pose of a matrix (3, 3) and a vector (3,)."""
        first, second, third = (tuple(float(value) for value in row) for row in np.asarray(rotation))
        x, y, z = (float(value) for value in np.asarray(translation_m).ravel())
        return cls((_triple(first), _triple(second), _triple(third)), (x, y, z))

    @property
    def matrix(self) -> NDArray[np.float64]:
        """The rotation (3, 3)."""
        return np.array(self.rotation)

    @property
    def inverse(self) -> "Pose":
        """The motion back."""
        back = self.matrix.T
        return Pose.of(back, -back @ np.array(self.translation_m))

    def apply(self, points: NDArray[Real]) -> NDArray[Real]:
        """Move points (..., 3), in their dtype."""
        rotation = self.matrix.T.astype(points.dtype)
        moved: NDArray[Real] = points @ rotation + np.array(self.translation_m).astype(points.dtype)
        return moved


def rotation_problem(rotation: NDArray[np.float64]) -> str | None:
    """Say why a matrix (3, 3) is not a rotation; None if it is one."""
    error = float(np.abs(rotation @ rotation.T - np.eye(3)).max())
    if not error <= ROTATION_TOLERANCE:
        return (
            f"its rows are not perpendicular and of length 1 (R·Rᵀ differs from the identity by {error:.2g})"
        )
    if np.linalg.det(rotation) < 0:
        return "it mirrors (its determinant is −1): two axes are swapped, or one has the wrong sign"
    return None


def _triple(row: tuple[float, ...]) -> tuple[float, float, float]:
    x, y, z = row
    return x, y, z
