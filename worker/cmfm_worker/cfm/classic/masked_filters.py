"""Gaussian filters weighted by a part's pixels alone, so that nothing of what lies around the part gets in."""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor

from cmfm_worker.cfm.classic.filters import enlarge, gaussian_matrix

MIN_WEIGHT: Final = 1e-4
"""Share of the mask under a filter below which its mean is not trusted; at the part's own pixels it is always more."""


def stride_of(sigma_px: float) -> int:
    """Wide filters are evaluated on a coarser grid: every 2nd place from σ = 4 pixels, 4th from 8, 8th from 16."""
    return 1 if sigma_px < 4 else 2 if sigma_px < 8 else 4 if sigma_px < 16 else 8


def enlarge_to(planes: Tensor, like: Tensor) -> Tensor:
    """Bilinear back to the size of `like`: (B, C, h, w) -> (B, C, H, W)."""
    return planes if planes.shape[-2:] == like.shape[-2:] else enlarge(planes, like.shape[-2:])


class MaskedFilters:
    """Means and deviations on the grid of their scale, (B, C, H, W) -> (B, C, H / stride, W / stride).

    `weight` is 1 at the part's pixels and 0 elsewhere; H and W are multiples of 8. σ is in pixels. The matrices are
    kept for each size of plane.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._matrices: dict[tuple[int, float, int], Tensor] = {}

    def mean(self, planes: Tensor, weight: Tensor, sigma: float) -> Tensor:
        """Gaussian mean over the part's pixels."""
        stride = stride_of(sigma)
        under = self.smooth(weight, sigma, stride).clamp(min=MIN_WEIGHT)
        return self.smooth(planes * weight, sigma, stride) / under

    def mean_and_deviation(self, planes: Tensor, weight: Tensor, sigma: float) -> tuple[Tensor, Tensor]:
        """The same and the standard deviation around it."""
        mean, square = self.mean(planes, weight, sigma), self.mean(planes.square(), weight, sigma)
        return mean, (square - mean.square()).clamp(min=0).sqrt()

    def smooth(self, planes: Tensor, sigma: float, stride: int) -> Tensor:
        """Gaussian mean over all pixels; beyond the planes' edges they go on as they are."""
        along_rows = self._matrix(planes.shape[-2], sigma, stride)
        along_columns = self._matrix(planes.shape[-1], sigma, stride)
        return torch.matmul(along_rows, torch.matmul(planes, along_columns.T))

    def _matrix(self, size_px: int, sigma: float, stride: int) -> Tensor:
        """Kept for each size of box: there are at most 28 of them."""
        key = size_px, sigma, stride
        if key not in self._matrices:
            self._matrices[key] = gaussian_matrix(size_px, sigma, stride).to(self._device)
        return self._matrices[key]
