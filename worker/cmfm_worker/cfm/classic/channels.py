"""The channels of `classic`: fixed multi-scale filters on colour and on height above the tray.

A feature starts with the channels that are predicted. The last of these is constant, and `fit.nominal.standardiser_of`
gives it the length of a typical feature: without it, the cosine distance of Eq. 2 would compare the directions of noise
wherever a pixel is close to the mean. The context channels follow: the mapping reads them and does not predict them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

from cmfm_worker.cfm.classic.context import (
    NEAR_2D,
    NEAR_3D,
    WIDE_2D,
    WIDE_3D,
    Context,
    colour_context,
    height_context,
)
from cmfm_worker.cfm.classic.derivatives import GRID_PX, Derivatives, curvatures
from cmfm_worker.cfm.classic.masked_filters import MaskedPlanes, Smoothing

SIGMAS_2D_PX: Final = (1.0, 2.0, 4.0, 8.0)
SIGMAS_3D_PX: Final = (1.5, 3.0, 6.0, 12.0)

FINEST_2D_PX: Final = 0.7
FINEST_3D_PX: Final = 1.0
"""The finest σ, for scratches. Of colour only derivatives are taken there, of height also the residual."""

LINES_2D_PX: Final = (1.0, 2.0)
LINES_3D_PX: Final = (1.5, 3.0)
"""The σ at which both curvatures (of lightness or height) are taken, beside the finest. They tell lines from spots."""

PREDICTED_3D: Final = len(SIGMAS_3D_PX) * 7 + (3 + 2) + 2 * len(LINES_3D_PX) + 1
"""Predicted 3D channels. At each σ: slope, curvature, deviation, anisotropy, height, residual, difference to the finer
scale. At the finest σ: slope, Laplacian, residual and curvatures. At `LINES_3D_PX`: curvatures. Last: the constant.
"""

CONTEXT_3D: Final = 2 * len(SIGMAS_3D_PX) + NEAR_3D + WIDE_3D
"""3D context channels: at each σ the rise of height down and to the right, and those of `context.py`."""

_MIN_ENERGY: Final = 1e-4
"""Gradient energy that counts as zero. It keeps the anisotropy of flat places at 0."""


def predicted_2d(sigmas: Sequence[float]) -> int:
    """Count the predicted 2D channels.

    At each σ: colour, gradient, Laplacian, deviation and residual of three opponent colours, and one anisotropy. At the
    finest σ: gradients, Laplacians and curvatures. At `LINES_2D_PX`: curvatures. Last: the constant.
    """
    return len(sigmas) * (5 * 3 + 1) + (2 * 3 + 2) + 2 * len(LINES_2D_PX) + 1


def context_2d(sigmas: Sequence[float]) -> int:
    """Count the 2D context channels: at each σ the rise of lightness down and to the right, and `context.py`'s."""
    return 2 * len(sigmas) + NEAR_2D + WIDE_2D


@dataclass(frozen=True)
class Channels:
    """The predicted channels of one modality, each (c, h, w) on the grid, and the context."""

    predicted: list[Tensor]
    context: Context

    def at(self, pixels: Tensor) -> Tensor:
        """Stack predicted channels, a constant 1 and context at the flat grid indices `pixels` (P,): (P, C)."""
        constant = torch.ones_like(self.predicted[0][:1])
        stacked = torch.cat([*self.predicted, constant, *self.context.near, *self.context.wide])
        return stacked.flatten(1)[:, pixels].T.contiguous()  # C h w -> P C


def opponent_colours(rgb: Tensor) -> Tensor:
    """Return mean, R − G and (R + G)/2 − B of rgb (3, H, W) in [0, 1]: (3, H, W)."""
    R, G, B = rgb.unbind(0)
    return torch.stack([(R + G + B) / 3, R - G, (R + G) / 2 - B])


def colour_channels(
    O: Tensor,  # noqa: E741 (opponent colours)
    weight: Tensor,
    outline: list[Tensor],
    smooth: Smoothing,
    sigmas: Sequence[float] = SIGMAS_2D_PX,
) -> Channels:
    """Compute the 2D channels of opponent colours O (3, H, W) of a part with `weight` (1, H, W)."""
    colours = MaskedPlanes(O, weight, smooth)
    finest = colours.mean_at_pixels(FINEST_2D_PX)
    channels = [*_slopes(Derivatives.of_pixels(finest), FINEST_2D_PX), *_lines(finest, FINEST_2D_PX)]
    rises, fine = list[Tensor](), channels[0]
    for sigma in sigmas:
        scale = colours.scale(sigma)
        mean = scale.mean
        channels += [mean.values, scale.deviation, *_slopes(mean, sigma), _coherence(mean, sigma, smooth)]
        if sigma in LINES_2D_PX and scale.mean_at_pixels is not None:
            channels += _lines(scale.mean_at_pixels, sigma)
        channels.append(colours.on_grid - mean.values)  # this scale's residual
        rises += [mean.down[:1] * sigma, mean.right[:1] * sigma]
        if sigma == sigmas[0]:
            fine = mean.values
    around = colour_context(colours, fine, outline)
    return Channels(channels, Context([*rises, *around.near], around.wide))


def height_channels(height_mm: Tensor, weight: Tensor, outline: list[Tensor], smooth: Smoothing) -> Channels:
    """Compute the 3D channels of heights (1, H, W) in mm of a part with `weight` (1, H, W)."""
    # Heights are taken from the part's mean: squares of the height itself would cancel in float32.
    typical = (height_mm * weight).sum() / weight.sum()
    heights = MaskedPlanes((height_mm - typical) * weight, weight, smooth)
    finest = heights.mean_at_pixels(FINEST_3D_PX)
    here, finer = heights.on_grid, finest[:, ::GRID_PX, ::GRID_PX]
    channels = [
        *_slopes(Derivatives.of_pixels(finest), FINEST_3D_PX),
        *_lines(finest, FINEST_3D_PX),
        here - finer,
    ]
    rises, fine = list[Tensor](), finer
    for sigma in SIGMAS_3D_PX:
        scale = heights.scale(sigma)
        mean = scale.mean
        channels += [scale.deviation, *_slopes(mean, sigma), _coherence(mean, sigma, smooth)]
        if sigma in LINES_3D_PX and scale.mean_at_pixels is not None:
            channels += _lines(scale.mean_at_pixels, sigma)
        channels += [mean.values + typical, here - mean.values, finer - mean.values]
        finer = mean.values
        rises += [mean.down * sigma, mean.right * sigma]
        if sigma == SIGMAS_3D_PX[0]:
            fine = mean.values
    around = height_context(heights, finest, fine, outline)
    return Channels(channels, Context([*rises, *around.near], around.wide))


def _slopes(derivatives: Derivatives, sigma: float) -> tuple[Tensor, Tensor]:
    """Return gradient magnitude and Laplacian, multiplied by σ to the power of their order."""
    return derivatives.steepness * sigma, derivatives.laplacian * sigma**2


def _lines(mean: Tensor, sigma: float) -> tuple[Tensor, Tensor]:
    """Return the largest and the smallest curvature of the first plane of a mean (C, H, W) at a σ."""
    largest, smallest = curvatures(mean[:1])
    return largest * sigma**2, smallest * sigma**2


def _coherence(mean: Derivatives, sigma: float, smooth: Smoothing) -> Tensor:
    """Return how far all planes' gradients around a pixel run in one direction, from 0 to 1: (1, h, w)."""
    dy, dx = mean.down, mean.right
    J = torch.stack([dy.square().sum(0), dx.square().sum(0), (dy * dx).sum(0)])
    yy, xx, yx = smooth(J, max(sigma, 1.0) / GRID_PX).unbind(0)
    return (((yy - xx).square() + 4 * yx.square()).sqrt() / (yy + xx + _MIN_ENERGY))[None]
