"""The Gaussian that smooths Ψ, along one axis of the image, as a matrix."""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor

from cmfm_worker.cfm.classic.filters import gaussian_matrix
from cmfm_worker.cfm.scoring import PAPER_SCORING

_BOX_SIDES_PX = (5,) * 5 + (7,) * 3
"""The paper's Gaussian of σ = 4 as box means (docs/method.md, smoothing)."""


@cache
def gaussian_along(length_px: int, sigma_px: float, device: torch.device) -> Tensor:
    """Build the matrix (length, length) float32 that smooths a line of pixels, with zeros beyond both ends.

    σ = 4 gives the paper's box means, every other σ a Gaussian cut off at 4 σ. Made once for each device, in float64.
    """
    with torch.inference_mode(mode=False):  # the line asks first, in inference mode, but a fit may use it too
        paper = sigma_px == PAPER_SCORING.smoothing_px
        matrix = _box_means(length_px) if paper else gaussian_matrix(length_px, sigma_px, beyond="nothing")
        return matrix.to(device, torch.float32)


def _box_means(length_px: int) -> Tensor:
    """Compose all box means along one axis to one matrix (length, length) float64."""
    at = torch.arange(length_px)
    apart = (at[:, None] - at).abs()
    composed = torch.eye(length_px, dtype=torch.float64)
    for side in _BOX_SIDES_PX:
        composed = (apart <= side // 2).double() / side @ composed
    return composed
