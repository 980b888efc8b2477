"""Anomaly maps continued beyond the pixels that have features: into holes, beside the part, where a piece is missing.

A piece that is not there has no 3D, so the paper's Ψ is 0 where the defect is. But the surface around it is unusual,
and its Ψ says where. The paper's maps are not continued.
"""

from __future__ import annotations

from functools import cache
from typing import Final

import torch
from torch import Tensor

SPREAD_PX: Final = 5.0
"""σ of the normalised Gaussian that carries Ψ outward: beside the part Ψ is what its edge has there."""

FALL_PX: Final = 10.0
"""σ of the Gaussian share of the part by whose root Ψ falls outward: to 0.56 at this distance from a straight edge, to
0.2 at twice as much. In a hole or a gap, which has the part on several sides, it falls less or not at all.
"""

_SAMPLE_PX: Final = 2
_REACH: Final = 4.0
_LEAST: Final = 1e-6


def repeated(planes: Tensor, grid_px: int) -> Tensor:
    """Repeat values that stand at every `grid_px`-th row and column, 0 elsewhere, over the rows and columns between.

    (B, H, W) → (B, H, W). `grid_px` is 1 or 2.
    """
    if grid_px == 1:
        return planes
    across = planes.clone()
    across[..., 1:] += planes[..., :-1]
    down = across.clone()
    down[..., 1:, :] += across[..., :-1, :]
    return down


def continued(psi: Tensor, inside: Tensor) -> Tensor:
    """Continue Ψ (B, H, W) beyond the pixels `inside` (B, H, W) bool, where it is known and stays as it is."""
    known = inside.float()
    value, weight = ((psi * known)[:, ::_SAMPLE_PX, ::_SAMPLE_PX], known[:, ::_SAMPLE_PX, ::_SAMPLE_PX])
    outward = _spread(value, SPREAD_PX) / _spread(weight, SPREAD_PX).clamp(min=_LEAST)
    share = _spread(weight, FALL_PX)
    within = share.amax((1, 2), keepdim=True).clamp(min=_LEAST)
    return torch.where(inside, psi, outward * (2.0 * share / within).clamp(max=1.0).sqrt())


def _spread(samples: Tensor, sigma_px: float) -> Tensor:
    """Spread samples (B, h, w) by a Gaussian to all pixels (B, H, W)."""
    along_rows, along_columns = (_from_samples(n, sigma_px, samples.device) for n in samples.shape[1:])
    return along_rows @ samples @ along_columns.T


@cache
def _from_samples(samples: int, sigma_px: float, device: torch.device) -> Tensor:
    """Build the matrix (H, h) from every second pixel to all.

    A sample lies in the middle of the pixels that it stands for.
    """
    with torch.inference_mode(mode=False):  # the line asks first, in inference mode, but a fit may use it too
        place = torch.arange(_SAMPLE_PX * samples, dtype=torch.float64)[:, None]
        sample = _SAMPLE_PX * torch.arange(samples, dtype=torch.float64) + (_SAMPLE_PX - 1) / 2
        distance = (place - sample) / sigma_px
        weight = torch.exp(-0.5 * distance.square()) * (distance.abs() <= _REACH)
        return weight.to(device, torch.float32)
