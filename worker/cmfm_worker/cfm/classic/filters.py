"""Separable Gaussian filters as matrix products, with any σ, edge handling and decimation in one exact step.

A 224×224 plane X filtered along both axes is A·X·Aᵀ. On a CPU this is faster than convolution from σ = 1 upwards. It is
deterministic on every device, and a plane's result does not depend on the other planes of its batch.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

_REACH = 4.0
"""Standard deviations at which a Gaussian is cut off. Less than 1e-4 of its weight lies beyond."""


def gaussian_matrix(
    size_px: int, sigma_px: float, stride: int = 1, *, beyond: Literal["edge", "nothing"] = "edge"
) -> Tensor:
    """Build the (⌈size / stride⌉, size) float32 matrix that smooths a line of pixels and keeps every `stride`-th one.

    Row i is a Gaussian centred on pixel i · stride, cut off at 4 σ. With `beyond` "edge" the line continues with its
    end pixels, and every row sums to 1. With "nothing" it continues with zeros, and rows near the ends sum to less.
    """
    reach = int(_REACH * sigma_px) + stride
    place = torch.arange(-reach, size_px + reach, dtype=torch.float64)
    centre = torch.arange(0, size_px, stride, dtype=torch.float64)
    distance = (place - centre[:, None]) / sigma_px
    weight = torch.exp(-0.5 * distance.square()) * (distance.abs() <= _REACH)
    weight = weight / weight.sum(1, keepdim=True)
    if beyond == "nothing":
        return weight[:, reach : reach + size_px].float()
    matrix = torch.zeros(len(centre), size_px, dtype=torch.float64)
    matrix.index_add_(1, place.long().clamp(0, size_px - 1), weight)
    return matrix.float()
