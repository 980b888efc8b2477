"""The `classic` preset: fixed multi-scale filters on colour and on height above the tray. No weights, any device.

Every filter is normalised to the part's mask, so that neither the tray's colour nor its depth reaches a feature. Both
modalities end in a constant channel, which `fit.standardiser_of` gives the length of a typical feature: without it the
cosine distance of Eq. 2 would compare the directions of noise wherever a pixel is close to the mean.
"""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor

from cmfm_worker.cfm.extractor import ExtractorIdentity, PixelFeatures, TooFewPointsError
from cmfm_worker.cfm.filters import enlarge, gaussian_matrix, gradient, laplacian, smooth
from cmfm_worker.cfm.prepare import SIZE_PX, PreparedFrames, plane_height

SIGMAS_2D_PX: Final = (1.0, 2.0, 4.0, 8.0)
SIGMAS_3D_PX: Final = (1.5, 3.0, 6.0, 12.0)

CHANNELS_2D: Final = len(SIGMAS_2D_PX) * (5 * 3 + 1) + 1
"""At each σ: colour, gradient, Laplacian, deviation and residual of three opponent colours, and anisotropy; 1."""

CHANNELS_3D: Final = len(SIGMAS_3D_PX) * 7 + 1
"""At each σ: height, slope, curvature, deviation, anisotropy, residual, difference of scales; 1."""

MIN_POINTS: Final = 200
"""Fewer pixels are no part: a 1 cm² tablet fills about 200 in a picture of 15 cm."""

MM_PER_M: Final = 1000.0

_MIN_WEIGHT: Final = 1e-4
"""Share of the mask under a filter below which its mean is not trusted; inside the mask it is always more."""

_MIN_ENERGY: Final = 1e-4
"""Gradient energy that counts as none: keeps the anisotropy of flat places at 0."""


class ClassicExtractor:
    """Implements `Extractor`. Deterministic; a frame's features do not depend on its batch."""

    def __init__(self, device: torch.device | str = "cpu") -> None:
        self._device = torch.device(device)
        self._matrices = {
            key: gaussian_matrix(*key).to(self._device)
            for sigma in (*SIGMAS_2D_PX, *SIGMAS_3D_PX)
            for key in (_own_filter(sigma), _around_filter(sigma))
        }

    @property
    def identity(self) -> ExtractorIdentity:
        """`classic` has no weights: its version stands for its filters."""
        return ExtractorIdentity("classic", "1", blocks=0, group_size=0)

    @property
    def d2(self) -> int:
        """Width of a 2D feature."""
        return CHANNELS_2D

    @property
    def d3(self) -> int:
        """Width of a 3D feature."""
        return CHANNELS_3D

    @property
    def min_points(self) -> int:
        """Foreground pixels that a frame needs."""
        return MIN_POINTS

    @property
    def device(self) -> torch.device:
        """Where the features are computed."""
        return self._device

    @torch.no_grad()
    def __call__(self, frames: PreparedFrames) -> PixelFeatures:
        """E_2D (P, 65) and E_3D (P, 29) at the foreground pixels. Raises TooFewPointsError."""
        mask = frames.foreground
        counts = mask.flatten(1).sum(1).tolist()
        few = [i for i, count in enumerate(counts) if count < MIN_POINTS]
        if few:
            raise TooFewPointsError(few, [counts[i] for i in few], MIN_POINTS)
        weight = mask[:, None].float()
        height_mm = plane_height(frames)[:, None] * MM_PER_M
        return PixelFeatures(
            _packed(self._colour_channels(frames.rgb, weight), mask),
            _packed(self._height_channels(height_mm, weight), mask),
            mask,
        )

    def _colour_channels(self, rgb: Tensor, weight: Tensor) -> list[Tensor]:
        O = opponent_colours(rgb)  # noqa: E741 (the usual symbol)
        channels = []
        for sigma in SIGMAS_2D_PX:
            stride, under = _stride(sigma), self._smooth(weight, sigma).clamp(min=_MIN_WEIGHT)
            mean = self._smooth(O * weight, sigma) / under
            square = self._smooth(O.square() * weight, sigma) / under
            dy, dx = gradient(mean, stride)
            maps = [
                mean,
                (dy.square() + dx.square()).sqrt() * sigma,
                laplacian(mean, stride) * sigma**2,
                (square - mean.square()).clamp(min=0).sqrt(),
                self._anisotropy(dy, dx, sigma),
            ]
            enlarged = [enlarge(m, SIZE_PX) for m in maps]
            channels += [*enlarged, O - enlarged[0]]  # the last is what this scale smooths away
        return channels

    def _height_channels(self, height_mm: Tensor, weight: Tensor) -> list[Tensor]:
        # Differences are taken about the part's mean height: float32 squares of the height itself would cancel.
        typical = (height_mm * weight).sum((2, 3), keepdim=True) / weight.sum((2, 3), keepdim=True)
        h = (height_mm - typical) * weight
        channels, finer = [], h
        for sigma in SIGMAS_3D_PX:
            stride, under = _stride(sigma), self._smooth(weight, sigma).clamp(min=_MIN_WEIGHT)
            mean = self._smooth(h, sigma) / under
            square = self._smooth(h.square(), sigma) / under
            dy, dx = gradient(mean, stride)
            maps = [
                (dy.square() + dx.square()).sqrt() * sigma,
                laplacian(mean, stride) * sigma**2,
                (square - mean.square()).clamp(min=0).sqrt(),
                self._anisotropy(dy, dx, sigma),
            ]
            smoothed = enlarge(mean, SIZE_PX)
            channels += [enlarge(m, SIZE_PX) for m in maps]
            channels += [smoothed + typical, h - smoothed, finer - smoothed]
            finer = smoothed
        return channels

    def _anisotropy(self, dy: Tensor, dx: Tensor, sigma: float) -> Tensor:
        """Coherence of the gradients' directions around each pixel, 0 to 1: (B, C, M, M) → (B, 1, M, M)."""
        J = torch.stack([dy.square().sum(1), dx.square().sum(1), (dy * dx).sum(1)], dim=1)
        yy, xx, yx = smooth(J, self._matrices[_around_filter(sigma)]).unbind(1)
        return (((yy - xx).square() + 4 * yx.square()).sqrt() / (yy + xx + _MIN_ENERGY))[:, None]

    def _smooth(self, planes: Tensor, sigma: float) -> Tensor:
        return smooth(planes, self._matrices[_own_filter(sigma)])


def opponent_colours(rgb: Tensor) -> Tensor:
    """Mean, R − G and (R + G)/2 − B of rgb (B, 3, N, N) in [0, 1]."""
    R, G, B = rgb.unbind(1)
    return torch.stack([(R + G + B) / 3, R - G, (R + G) / 2 - B], dim=1)


def _stride(sigma: float) -> int:
    """Wide filters are evaluated on a coarser grid: at σ of 4 pixels or more every second or fourth place says all."""
    return 1 if sigma < 4 else 2 if sigma < 8 else 4


def _own_filter(sigma: float) -> tuple[int, float, int]:
    """Size, σ and stride of the filter that smooths a picture at this scale."""
    return SIZE_PX, sigma, _stride(sigma)


def _around_filter(sigma: float) -> tuple[int, float, int]:
    """The same for the filter that gathers gradients around a place of this scale's own grid."""
    return SIZE_PX // _stride(sigma), max(sigma / _stride(sigma), 1.0), 1


def _packed(channels: list[Tensor], mask: Tensor) -> Tensor:
    """Channels (B, c, N, N) and a constant 1 at the pixels of the mask: (P, C)."""
    stacked = torch.cat([*channels, torch.ones_like(channels[0][:, :1])], dim=1)
    return stacked.permute(0, 2, 3, 1)[mask]  # B C N N -> P C
