"""Separable Gaussian filters as matrix products, with any σ, edge handling and decimation in one exact step.

A 224×224 plane X filtered along both axes is A·X·Aᵀ. On a CPU this is faster than convolution from σ = 1 upwards. It is
deterministic on every device, and a plane's result does not depend on the other planes of its batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

_REACH = 4.0
"""Standard deviations at which a Gaussian is cut off. Less than 1e-4 of its weight lies beyond."""


def gaussian_matrix(
    size_px: int, sigma_px: float, stride: int = 1, *, beyond: Literal["edge", "nothing"] = "edge"
) -> Tensor:
    """Build the (size / stride, size) float32 matrix that smooths a line of pixels and keeps every `stride`-th one.

    Row i is a Gaussian centred on the middle of the i-th run of `stride` pixels, cut off at 4 σ. With `beyond` "edge"
    the line continues with its end pixels, and every row sums to 1. With "nothing" it continues with zeros, and rows
    near the ends sum to less. Raises ValueError if `stride` does not divide `size_px`.
    """
    if size_px % stride:
        raise ValueError(f"a stride of {stride} does not divide {size_px} pixels")
    reach = int(_REACH * sigma_px) + stride
    place = torch.arange(-reach, size_px + reach, dtype=torch.float64)
    centre = (torch.arange(size_px // stride, dtype=torch.float64) + 0.5) * stride - 0.5
    distance = (place - centre[:, None]) / sigma_px
    weight = torch.exp(-0.5 * distance.square()) * (distance.abs() <= _REACH)
    weight = weight / weight.sum(1, keepdim=True)
    if beyond == "nothing":
        return weight[:, reach : reach + size_px].float()
    matrix = torch.zeros(len(centre), size_px, dtype=torch.float64)
    matrix.index_add_(1, place.long().clamp(0, size_px - 1), weight)
    return matrix.float()


def gradient(planes: Tensor, spacing_px: float = 1.0) -> tuple[Tensor, Tensor]:
    """Return central differences down (d/dy) and to the right (d/dx), in units a pixel. Edges are repeated."""
    padded = F.pad(planes, (1, 1, 1, 1), mode="replicate")
    dy = padded[..., 2:, 1:-1] - padded[..., :-2, 1:-1]
    dx = padded[..., 1:-1, 2:] - padded[..., 1:-1, :-2]
    return dy / (2.0 * spacing_px), dx / (2.0 * spacing_px)


def laplacian(planes: Tensor, spacing_px: float = 1.0) -> Tensor:
    """Return the sum of the second differences along both axes, in units a squared pixel."""
    padded = F.pad(planes, (1, 1, 1, 1), mode="replicate")
    cross = padded[..., 2:, 1:-1] + padded[..., :-2, 1:-1] + padded[..., 1:-1, 2:] + padded[..., 1:-1, :-2]
    return (cross - 4.0 * planes) / spacing_px**2


def curvatures(planes: Tensor, spacing_px: float = 1.0) -> tuple[Tensor, Tensor]:
    """Return the largest and the smallest second derivative over all directions, in units a squared pixel.

    A line has one of them, in whichever direction it runs; a spot has both. Their sum is the Laplacian at this spacing.
    """
    dy, dx = gradient(planes, spacing_px)
    (yy, yx), (_, xx) = gradient(dy, spacing_px), gradient(dx, spacing_px)
    middle, half = (yy + xx) / 2, ((yy - xx).square() / 4 + yx.square()).sqrt()
    return middle + half, middle - half


def enlarge(planes: Tensor, size_px: Sequence[int]) -> Tensor:
    """Resize bilinearly to (height, width): (B, C, h, w) → (B, C, height, width)."""
    return F.interpolate(planes, tuple(size_px), mode="bilinear", align_corners=False)
