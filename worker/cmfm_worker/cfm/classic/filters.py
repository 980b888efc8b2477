"""Separable Gaussian filters as matrix products: any σ, edge handling and decimation in one exact step.

A 224×224 plane filtered along both axes is A·X·Aᵀ. On a CPU this is faster than convolution from σ = 1 upwards, on
any device it is deterministic, and one plane's result does not depend on the others in its batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

_REACH = 4.0
"""Standard deviations after which a Gaussian is cut off: less than 1e-4 of its weight lies beyond."""


def gaussian_matrix(
    size_px: int, sigma_px: float, stride: int = 1, *, beyond: Literal["edge", "nothing"] = "edge"
) -> Tensor:
    """The (size / stride, size) float32 matrix that smooths a line of pixels and keeps every `stride`-th place.

    Row i is a Gaussian centred on the middle of the i-th run of `stride` pixels, cut at 4 σ. `beyond` its ends the line
    goes on as the pixel at its "edge", and every row sums to 1, or there is "nothing", and rows near the ends sum to
    less. Raises ValueError where `stride` does not divide `size_px`.
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
    """Central differences along rows (d/dy) and columns (d/dx) in units a pixel; the edge goes on as it is."""
    padded = F.pad(planes, (1, 1, 1, 1), mode="replicate")
    dy = padded[..., 2:, 1:-1] - padded[..., :-2, 1:-1]
    dx = padded[..., 1:-1, 2:] - padded[..., 1:-1, :-2]
    return dy / (2.0 * spacing_px), dx / (2.0 * spacing_px)


def laplacian(planes: Tensor, spacing_px: float = 1.0) -> Tensor:
    """Second differences along both axes, summed, in units a squared pixel."""
    padded = F.pad(planes, (1, 1, 1, 1), mode="replicate")
    cross = padded[..., 2:, 1:-1] + padded[..., :-2, 1:-1] + padded[..., 1:-1, 2:] + padded[..., 1:-1, :-2]
    return (cross - 4.0 * planes) / spacing_px**2


def curvatures(planes: Tensor, spacing_px: float = 1.0) -> tuple[Tensor, Tensor]:
    """The largest and the smallest second derivative over all directions, in units a squared pixel.

    A line gives one of them alone, whichever way it runs, and a spot both: their sum is the Laplacian, at this spacing.
    """
    dy, dx = gradient(planes, spacing_px)
    (yy, yx), (_, xx) = gradient(dy, spacing_px), gradient(dx, spacing_px)
    middle, half = (yy + xx) / 2, ((yy - xx).square() / 4 + yx.square()).sqrt()
    return middle + half, middle - half


def enlarge(planes: Tensor, size_px: Sequence[int]) -> Tensor:
    """Bilinear to (height, width): (B, C, h, w) → (B, C, height, width)."""
    return F.interpolate(planes, tuple(size_px), mode="bilinear", align_corners=False)
