"""Gaussian filters weighted by the part's pixels alone, so that nothing around the part enters."""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor

from cmfm_worker.cfm.classic.filters import enlarge, gaussian_matrix

MIN_WEIGHT: Final = 1e-4
"""The least divisor of a mean: the share of the mask under the filter. At the part's own pixels it is always larger."""


def stride_of(sigma_px: float) -> int:
    """Return the grid step of a filter: 1 pixel below σ = 4 pixels, 2 from there, 4 from σ = 8, 8 from σ = 16."""
    return 1 if sigma_px < 4 else 2 if sigma_px < 8 else 4 if sigma_px < 16 else 8


def enlarge_to(planes: Tensor, like: Tensor) -> Tensor:
    """Resize bilinearly to the size of `like`: (B, C, h, w) → (B, C, H, W)."""
    return planes if planes.shape[-2:] == like.shape[-2:] else enlarge(planes, like.shape[-2:])


class MaskedFilters:
    """Means and deviations on the grid of their σ: (B, C, H, W) → (B, C, H / stride, W / stride).

    `weight` is 1 at the part's pixels and 0 elsewhere. H and W are multiples of 8, σ is in pixels. Matrices are kept
    for each size of plane.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._matrices: dict[tuple[int, float, int], Tensor] = {}

    def mean(self, planes: Tensor, weight: Tensor, sigma: float) -> Tensor:
        """Compute the Gaussian mean over the part's pixels."""
        stride = stride_of(sigma)
        under = self.smooth(weight, sigma, stride).clamp(min=MIN_WEIGHT)
        return self.smooth(planes * weight, sigma, stride) / under

    def mean_and_deviation(self, planes: Tensor, weight: Tensor, sigma: float) -> tuple[Tensor, Tensor]:
        """Compute the same mean and the standard deviation around it."""
        mean, square = self.mean(planes, weight, sigma), self.mean(planes.square(), weight, sigma)
        return mean, (square - mean.square()).clamp(min=0).sqrt()

    def smooth(self, planes: Tensor, sigma: float, stride: int) -> Tensor:
        """Compute the Gaussian mean over all pixels. Edges are repeated."""
        along_rows = self._matrix(planes.shape[-2], sigma, stride)
        along_columns = self._matrix(planes.shape[-1], sigma, stride)
        return torch.matmul(along_rows, torch.matmul(planes, along_columns.T))

    def _matrix(self, size_px: int, sigma: float, stride: int) -> Tensor:
        """Return a matrix, kept for each size. A side of the part's box has at most 28 sizes."""
        key = size_px, sigma, stride
        if key not in self._matrices:
            self._matrices[key] = gaussian_matrix(size_px, sigma, stride).to(self._device)
        return self._matrices[key]
