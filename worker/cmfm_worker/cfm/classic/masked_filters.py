"""Gaussian filters weighted by the part's pixels alone, so that nothing around the part enters."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

from cmfm_worker.cfm.classic.derivatives import GRID_PX, Derivatives
from cmfm_worker.cfm.classic.filters import gaussian_matrix

MIN_WEIGHT: Final = 1e-4
"""The least divisor of a mean: the share of the mask under the filter. At the part's own pixels it is always larger."""

COARSE_PX: Final = 4.0
"""From this σ on a mean is evaluated on the grid alone, and its derivatives are differences of grid neighbours."""


class Smoothing:
    """Plain Gaussian means of planes (C, H, W). σ is in pixels. Matrices are kept for each size of plane."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._matrices: dict[tuple[int, float, int], Tensor] = {}

    def __call__(self, planes: Tensor, sigma: float, stride: int = 1) -> Tensor:
        """Smooth and keep every `stride`-th row and column. Edges are repeated."""
        channels, height, width = planes.shape
        along_rows, along_columns = self._matrix(height, sigma, stride), self._matrix(width, sigma, stride)
        rows = (planes.reshape(channels * height, width) @ along_columns.T).view(channels, height, -1)
        return torch.matmul(along_rows, rows)

    def _matrix(self, size_px: int, sigma: float, stride: int) -> Tensor:
        """Return a matrix, kept for each size. The sides of a part's box have few sizes."""
        key = size_px, sigma, stride
        if key not in self._matrices:
            self._matrices[key] = gaussian_matrix(size_px, sigma, stride).to(self._device)
        return self._matrices[key]


@dataclass(frozen=True)
class Scale:
    """Planes at one σ on the grid: their masked mean with its derivatives, and the deviation around it (C, h, w).

    `mean_at_pixels` (C, H, W) is the mean at every pixel, for a σ below `COARSE_PX`.
    """

    mean: Derivatives
    deviation: Tensor
    mean_at_pixels: Tensor | None


class MaskedPlanes:
    """Planes (C, H, W) of a part and its `weight` (1, H, W), 1 at its pixels and 0 elsewhere, ready to be filtered.

    Products with the weight are made once. Each scale then takes one or two matrix products along each axis.
    """

    def __init__(self, planes: Tensor, weight: Tensor, smooth: Smoothing) -> None:
        self._smooth = smooth
        self.planes, self.weight = planes, weight
        self._weighted = torch.cat([weight, planes * weight])
        self._squares = planes.square() * weight
        self.pixels = weight.sum()

    @property
    def on_grid(self) -> Tensor:
        """Return the planes at every second pixel, (C, h, w)."""
        return self.planes[:, ::GRID_PX, ::GRID_PX]

    def mean_at_pixels(self, sigma: float) -> Tensor:
        """Return the Gaussian mean over the part's pixels, at every pixel: (C, H, W)."""
        return self._means(sigma)[0]

    def scale(self, sigma: float) -> Scale:
        """Return mean, derivatives and deviation at a σ."""
        if sigma >= COARSE_PX:
            mean, deviation = self.mean_and_deviation(sigma)
            return Scale(Derivatives.of_grid(mean), deviation, None)
        mean, under = self._means(sigma)
        derivatives = Derivatives.of_pixels(mean)
        square = self._smooth(self._squares, sigma, GRID_PX) / under[:, ::GRID_PX, ::GRID_PX]
        return Scale(derivatives, _deviation(square, derivatives.values), mean)

    def mean_and_deviation(self, sigma: float) -> tuple[Tensor, Tensor]:
        """Return both on the grid alone, (C, h, w) each."""
        both = self._smooth(torch.cat([self._weighted, self._squares]), sigma, GRID_PX)
        mean, square = (both[1:] / both[:1].clamp(min=MIN_WEIGHT)).chunk(2)
        return mean, _deviation(square, mean)

    def over_part(self) -> Tensor:
        """Return every plane's mean over the part, (C, 1, 1)."""
        return self._weighted[1:].sum((1, 2), keepdim=True) / self.pixels

    def _means(self, sigma: float) -> tuple[Tensor, Tensor]:
        smoothed = self._smooth(self._weighted, sigma)
        under = smoothed[:1].clamp(min=MIN_WEIGHT)
        return smoothed[1:] / under, under


def _deviation(square: Tensor, mean: Tensor) -> Tensor:
    return (square - mean.square()).clamp_(min=0).sqrt_()
