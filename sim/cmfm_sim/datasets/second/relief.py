"""Shapes and textures on a pixel grid: solids that are joined by their greatest height, and spectral noise."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Array: TypeAlias = NDArray[np.floating[Any]]
Mask: TypeAlias = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Grid:
    """Points that the pixels see, in millimetres: `x` along columns, `y` along rows, both (n, n), on a part's axes."""

    x: Array
    y: Array

    @classmethod
    def square(cls, size_px: int, side_mm: float) -> "Grid":
        """A picture of `side_mm`, its centre at the origin."""
        axis = ((np.arange(size_px) + 0.5) / size_px * side_mm - side_mm / 2).astype(np.float32)
        x, y = np.meshgrid(axis, axis)
        return cls(x, y)

    @property
    def pitch_mm(self) -> float:
        """The distance of neighbouring pixels."""
        return float(np.hypot(self.x[0, 1] - self.x[0, 0], self.y[0, 1] - self.y[0, 0]))

    def seen_from(self, x: float, y: float, turn_rad: float = 0.0) -> "Grid":
        """The same pixels on axes at (x, y), turned."""
        dx, dy = self.x - x, self.y - y
        cos, sin = math.cos(turn_rad), math.sin(turn_rad)  # Python's numbers leave float32 what it is
        return replace(self, x=dx * cos + dy * sin, y=dy * cos - dx * sin)

    @property
    def radius(self) -> Array:
        """Distance from the origin."""
        return np.asarray(np.hypot(self.x, self.y))

    @property
    def angle(self) -> Array:
        """Direction from the origin, -π to π."""
        return np.asarray(np.arctan2(self.y, self.x))


Texture: TypeAlias = Callable[[float, float], Array]
"""`texture(finest_mm, slope)`: noise of unit deviation; `slope` 0 is white, 2 and more are clouds."""


def texture_source(grid: Grid, rng: np.random.Generator) -> Texture:
    """Noise whose power falls with frequency, from a Fourier transform; each call gives another one."""
    count = len(grid.x)
    frequency = np.hypot(*np.meshgrid(np.fft.rfftfreq(count), np.fft.fftfreq(count))).astype(np.float32)
    frequency /= np.float32(grid.pitch_mm)

    def texture(finest_mm: float, slope: float) -> Array:
        shape = np.exp(-((frequency * finest_mm) ** 2)) / (frequency + 1.0 / 60.0) ** slope
        shape[0, 0] = 0.0
        white = rng.standard_normal((count, count), dtype=np.float32)
        noise = np.fft.irfft2(np.fft.rfft2(white) * shape, s=(count, count))
        return np.asarray(noise / noise.std(), dtype=np.float32)

    return texture


def edge(signed: Array, width_mm: float) -> Array:
    """1 where `signed` millimetres are well inside (positive), 0 outside, a logistic step between."""
    return np.asarray(1.0 / (1.0 + np.exp(-np.clip(signed / (0.25 * width_mm), -40.0, 40.0))))


def cap(grid: Grid, radius_x: float, radius_y: float, power: float) -> Array:
    """A superellipsoid's height share: 1 in its middle, 0 on its rim and outside."""
    return np.asarray(
        np.clip(1.0 - np.abs(grid.x / radius_x) ** power - np.abs(grid.y / radius_y) ** power, 0, 1)
        ** (1.0 / power)
    )


def rgb(red: float, green: float, blue: float) -> Array:
    """A linear colour."""
    return np.array([red, green, blue], dtype=np.float32)


def blend(first: Array, second: Array, share: Array | float) -> Array:
    """`share` of the second colour (or picture) in the first."""
    weight = np.asarray(share, dtype=np.float32)[..., None]
    return np.asarray(first + (second - first) * weight)
