"""The `classic` preset: fixed multi-scale filters on colour and on height above the tray. No weights, any device.

Every filter is weighted by the part's pixels alone. So neither the colour of the tray nor its distance enters a
feature, and a part's features do not depend on what lies around the part.

A feature starts with the channels that are predicted. The last of these is constant, and `fit.nominal.standardiser_of`
gives it the length of a typical feature: without it, the cosine distance of Eq. 2 would compare the directions of noise
wherever a pixel is close to the mean. The context channels follow: the mapping reads them and does not predict them.
"""

from __future__ import annotations

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
from cmfm_worker.cfm.classic.filters import curvatures, gradient, laplacian
from cmfm_worker.cfm.classic.masked_filters import MaskedFilters, enlarge_to, stride_of
from cmfm_worker.cfm.extractor import ExtractorIdentity, PixelFeatures, TooFewPointsError
from cmfm_worker.cfm.prepare import SIZE_PX, PreparedFrames, plane_height

SIGMAS_2D_PX: Final = (1.0, 2.0, 4.0, 8.0)
SIGMAS_3D_PX: Final = (1.5, 3.0, 6.0, 12.0)

FINEST_2D_PX: Final = 0.7
FINEST_3D_PX: Final = 1.0
"""The finest σ, for scratches. Of colour only derivatives are taken there, of height also the residual."""

LINES_2D_PX: Final = (1.0, 2.0)
LINES_3D_PX: Final = (1.5, 3.0)
"""The σ at which both curvatures (of lightness or height) are taken, beside the finest. They tell lines from spots."""

PREDICTED_2D: Final = len(SIGMAS_2D_PX) * (5 * 3 + 1) + (2 * 3 + 2) + 2 * len(LINES_2D_PX) + 1
"""Predicted 2D channels. At each σ: colour, gradient, Laplacian, deviation and residual of three opponent colours,
and one anisotropy. At the finest σ: gradients, Laplacians and curvatures. At `LINES_2D_PX`: curvatures. Last: the
constant.
"""

PREDICTED_3D: Final = len(SIGMAS_3D_PX) * 7 + (3 + 2) + 2 * len(LINES_3D_PX) + 1
"""Predicted 3D channels. At each σ: slope, curvature, deviation, anisotropy, height, residual, difference to the finer
scale. At the finest σ: slope, Laplacian, residual and curvatures. At `LINES_3D_PX`: curvatures. Last: the constant.
"""

CONTEXT_2D: Final = 2 * len(SIGMAS_2D_PX) + NEAR_2D + WIDE_2D
CONTEXT_3D: Final = 2 * len(SIGMAS_3D_PX) + NEAR_3D + WIDE_3D
"""Context channels: at each σ the rise of lightness (or height) down and to the right, and those of `context.py`."""

MIN_POINTS: Final = 200
"""The fewest foreground pixels of a part. A tablet of 1 cm² fills about 200 pixels of a 15 cm picture."""

MM_PER_M: Final = 1000.0

_BOX_STEP_PX: Final = 8
"""Features are computed in the part's bounding box, widened by at least this and to multiples of it."""

_MIN_ENERGY: Final = 1e-4
"""Gradient energy that counts as zero. It keeps the anisotropy of flat places at 0."""

_Channels = tuple[list[Tensor], Context]
"""The predicted channels, each (1, c, H, W), and the context."""


class ClassicExtractor:
    """The `Extractor` of the preset. The mask is the foreground.

    Features are deterministic, and a frame's features do not depend on its batch. Lengths are in pixels, heights in
    millimetres. Derivatives are multiplied by σ to the power of their order.
    """

    d2: Final = PREDICTED_2D + CONTEXT_2D
    d3: Final = PREDICTED_3D + CONTEXT_3D
    min_points: Final = MIN_POINTS

    def __init__(self, device: torch.device | str = "cpu") -> None:
        self._device = torch.device(device)
        self._filters = MaskedFilters(self._device)

    @property
    def identity(self) -> ExtractorIdentity:
        """Return the preset's identity. The version stands for the filters, because there are no weights."""
        return ExtractorIdentity("classic", "3", blocks=0, group_size=0)

    @property
    def device(self) -> torch.device:
        """Return the device that the features are computed on."""
        return self._device

    @torch.no_grad()
    def __call__(self, frames: PreparedFrames) -> PixelFeatures:
        """Compute E_2D (P, 105) and E_3D (P, 62) at the foreground pixels. Raises TooFewPointsError."""
        counts = frames.foreground.flatten(1).sum(1).tolist()
        few = [i for i, count in enumerate(counts) if count < MIN_POINTS]
        if few:
            raise TooFewPointsError(few, [counts[i] for i in few], MIN_POINTS)
        height_mm = plane_height(frames) * MM_PER_M
        each = [
            self._frame(frames.rgb[i], height_mm[i], frames.foreground[i]) for i in range(len(frames.rgb))
        ]
        return PixelFeatures(
            torch.cat([e[0] for e in each]),
            torch.cat([e[1] for e in each]),
            frames.foreground,
            context=(CONTEXT_2D, CONTEXT_3D),
            wide=(WIDE_2D, WIDE_3D),
        )

    def _frame(self, rgb: Tensor, height_mm: Tensor, foreground: Tensor) -> tuple[Tensor, Tensor]:
        """Compute one frame: (3, 224, 224), (224, 224), (224, 224) → (P, D_2D), (P, D_3D)."""
        rows, columns = _bounding_box(foreground)
        mask = foreground[rows, columns]
        weight = mask[None, None].float()
        inside = mask.flatten().nonzero()[:, 0]
        colour = self._colour_channels(opponent_colours(rgb[:, rows, columns])[None], weight)
        relief = self._height_channels(height_mm[None, None, rows, columns], weight)
        return _packed(*colour, inside), _packed(*relief, inside)

    def _colour_channels(self, O: Tensor, weight: Tensor) -> _Channels:  # noqa: E741 (opponent colours)
        finest = self._filters.mean(O, weight, FINEST_2D_PX)
        channels = [*_slopes(finest, FINEST_2D_PX), *_lines(finest[:, :1], FINEST_2D_PX)]
        slopes, fine = list[Tensor](), finest
        for sigma in SIGMAS_2D_PX:
            mean, deviation = self._filters.mean_and_deviation(O, weight, sigma)
            maps, rises = self._derivatives(mean, sigma)
            maps = [mean, deviation, *maps]
            if sigma in LINES_2D_PX:
                maps += _lines(mean[:, :1], sigma)
            enlarged = [enlarge_to(m, O) for m in maps]
            channels += [*enlarged, O - enlarged[0]]  # the last one is this scale's residual
            slopes.append(enlarge_to(rises, O))
            if sigma == SIGMAS_2D_PX[0]:
                fine = mean
        around = colour_context(O, fine, weight, self._filters)
        return channels, Context([*slopes, *around.near], around.wide)

    def _height_channels(self, height_mm: Tensor, weight: Tensor) -> _Channels:
        # Heights are taken from the part's mean: squares of the height itself would cancel in float32.
        typical = (height_mm * weight).sum() / weight.sum()
        h = (height_mm - typical) * weight
        finest = finer = self._filters.mean(h, weight, FINEST_3D_PX)
        channels = [*_slopes(finest, FINEST_3D_PX), *_lines(finest, FINEST_3D_PX), h - finest]
        slopes, fine = list[Tensor](), finest
        for sigma in SIGMAS_3D_PX:
            mean, deviation = self._filters.mean_and_deviation(h, weight, sigma)
            maps, rises = self._derivatives(mean, sigma)
            maps = [deviation, *maps]
            if sigma in LINES_3D_PX:
                maps += _lines(mean, sigma)
            smoothed = enlarge_to(mean, h)
            channels += [enlarge_to(m, h) for m in maps]
            channels += [smoothed + typical, h - smoothed, finer - smoothed]
            finer = smoothed
            slopes.append(enlarge_to(rises, h))
            if sigma == SIGMAS_3D_PX[0]:
                fine = smoothed
        around = height_context(h, finest, fine, weight, self._filters)
        return channels, Context([*slopes, *around.near], around.wide)

    def _derivatives(self, mean: Tensor, sigma: float) -> tuple[list[Tensor], Tensor]:
        """Return gradient magnitude, Laplacian and coherence, and the first channel's rise along rows and columns.

        The coherence of all channels' gradient directions is from 0 to 1.
        """
        stride = stride_of(sigma)
        dy, dx = gradient(mean, stride)
        J = torch.stack([dy.square().sum(1), dx.square().sum(1), (dy * dx).sum(1)], dim=1)
        yy, xx, yx = self._filters.smooth(J, max(sigma / stride, 1.0), 1).unbind(1)
        coherence = ((yy - xx).square() + 4 * yx.square()).sqrt() / (yy + xx + _MIN_ENERGY)
        magnitude = (dy.square() + dx.square()).sqrt() * sigma
        rises = torch.cat([dy[:, :1], dx[:, :1]], dim=1) * sigma
        return [magnitude, laplacian(mean, stride) * sigma**2, coherence[:, None]], rises


def opponent_colours(rgb: Tensor) -> Tensor:
    """Return mean, R − G and (R + G)/2 − B of rgb (3, H, W) in [0, 1]: (3, H, W)."""
    R, G, B = rgb.unbind(0)
    return torch.stack([(R + G + B) / 3, R - G, (R + G) / 2 - B])


def _slopes(mean: Tensor, sigma: float) -> tuple[Tensor, Tensor]:
    """Return gradient magnitude and Laplacian at a σ that is evaluated at every pixel."""
    dy, dx = gradient(mean)
    return (dy.square() + dx.square()).sqrt() * sigma, laplacian(mean) * sigma**2


def _lines(mean: Tensor, sigma: float) -> tuple[Tensor, Tensor]:
    """Return the largest and the smallest curvature at a σ."""
    largest, smallest = curvatures(mean, stride_of(sigma))
    return largest * sigma**2, smallest * sigma**2


def _bounding_box(foreground: Tensor) -> tuple[slice, slice]:
    """Return rows and columns of the part's box, widened so that derivatives have their neighbours."""
    return _span(foreground.any(1)), _span(foreground.any(0))


def _span(occupied: Tensor) -> slice:
    places = occupied.nonzero()[:, 0]
    first = max(int(places[0]) - _BOX_STEP_PX, 0) // _BOX_STEP_PX * _BOX_STEP_PX
    last = min(-(-(int(places[-1]) + 1 + _BOX_STEP_PX) // _BOX_STEP_PX) * _BOX_STEP_PX, SIZE_PX)
    return slice(first, last)


def _packed(channels: list[Tensor], context: Context, inside: Tensor) -> Tensor:
    """Stack predicted channels, a constant 1 and context (1, c, H, W) at the given pixels: (P, C)."""
    constant = torch.ones_like(channels[0][:, :1])
    stacked = torch.cat([*channels, constant, *context.near, *context.wide], dim=1)
    return stacked[0].flatten(1)[:, inside].T.contiguous()  # C H W -> P C
