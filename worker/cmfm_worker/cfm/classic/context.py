"""What lies around a pixel of a part, beyond the filters of `classic`: the mapping reads it and does not predict it.

Which shape goes with a colour depends on the light on it and on what is around it. The slopes' directions and the
skyline tell the shading and the shadow of a lamp that does not move; what a pixel is in relation to its whole part
tells a dark element from a dark part, and a high one from a thick part; how much of the part is around tells how near
its outline is.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor
from torch.nn import functional as F

from cmfm_worker.cfm.classic.masked_filters import MaskedFilters, enlarge_to, stride_of

WIDE_2D_PX: Final = (16.0, 32.0)
WIDE_3D_PX: Final = (24.0, 48.0)
"""The σ of neighbourhoods as large as a part's elements and as a third of the part."""

SKYLINE_DIRECTIONS: Final = 8
SKYLINE_STEPS_PX: Final = (1, 2, 3, 4, 6, 8, 12, 16)
"""Where the surface is looked at for what stands up: a wall of 8 mm throws a shadow of about 12 pixels."""

OUTLINE_PX: Final = (3.0, 8.0)
"""The σ under which the share of the part is taken: 1 inside, a half at its outline, less at a corner."""

NEAR_2D: Final = 2 + len(OUTLINE_PX)
NEAR_3D: Final = SKYLINE_DIRECTIONS + len(OUTLINE_PX)
"""Channels of near context."""

WIDE_2D: Final = 4 + 6 * len(WIDE_2D_PX)
WIDE_3D: Final = 2 + 2 * len(WIDE_3D_PX)
"""Channels of wide context, by which a network could know a part."""

_DARKEST: Final = 0.05
"""Added to lightness before it divides or goes into a logarithm: below, a camera shows noise."""

_LOWEST: Final = -0.5
"""Of the skyline, in height a pixel: everything around may lie lower."""

_NOWHERE: Final = -1e3
"""Height of what is no part: it stands in no light."""


@dataclass(frozen=True)
class Context:
    """Channels of context, each (1, c, H, W): of what is `near` a pixel, and of much of its part (`wide`)."""

    near: list[Tensor]
    wide: list[Tensor]


def colour_context(O: Tensor, fine: Tensor, weight: Tensor, filters: MaskedFilters) -> Context:  # noqa: E741
    """Of opponent colours O (1, 3, H, W) and their mean at a fine scale: `NEAR_2D` and `WIDE_2D` channels.

    Near: both colour differences over lightness (no lamp's strength is in them), the outline. Wide: the fine colours
    over the part's mean, the logarithm of lightness over its mean, means and deviations of wide neighbourhoods.
    """
    lightness = fine[:, :1].clamp(min=0) + _DARKEST
    wide = [fine - _over_part(O, weight), lightness.log() - _over_part(lightness.log(), weight)]
    for sigma in WIDE_2D_PX:
        wide += [enlarge_to(m, O) for m in filters.mean_and_deviation(O, weight, sigma)]
    return Context([fine[:, 1:] / lightness, *_outline(weight, filters)], wide)


def height_context(
    h: Tensor, finest: Tensor, fine: Tensor, weight: Tensor, filters: MaskedFilters
) -> Context:
    """Of heights h (1, 1, H, W) in mm and their means at two fine scales: `NEAR_3D` and `WIDE_3D` channels.

    Near: the skyline, the outline. Wide: the fine height over the part's mean and over its median, over the means of
    wide neighbourhoods, and their deviations.
    """
    wide = [fine - _over_part(h, weight), fine - h[weight > 0].median()]
    for sigma in WIDE_3D_PX:
        mean, deviation = (enlarge_to(m, h) for m in filters.mean_and_deviation(h, weight, sigma))
        wide += [fine - mean, deviation]
    return Context([skyline(finest, weight), *_outline(weight, filters)], wide)


def _outline(weight: Tensor, filters: MaskedFilters) -> list[Tensor]:
    """The share of the part in the neighbourhood of every pixel, at each scale (1, 1, H, W)."""
    return [enlarge_to(filters.smooth(weight, sigma, stride_of(sigma)), weight) for sigma in OUTLINE_PX]


def skyline(h: Tensor, weight: Tensor) -> Tensor:
    """The steepest way up from every pixel within 16 pixels, in eight directions, as height a pixel: (1, 8, H, W).

    Directions are those of the picture, from the right clockwise. Only the part is looked at.
    """
    reach = SKYLINE_STEPS_PX[-1]
    height, width = h.shape[-2:]
    around = F.pad(torch.where(weight > 0, h, _NOWHERE), (reach,) * 4, value=_NOWHERE)
    steepest = []
    for direction in range(SKYLINE_DIRECTIONS):
        angle = 2 * math.pi * direction / SKYLINE_DIRECTIONS
        highest = torch.full_like(h, _LOWEST)
        for step in SKYLINE_STEPS_PX:
            top, left = reach + round(step * math.sin(angle)), reach + round(step * math.cos(angle))
            there = around[..., top : top + height, left : left + width]
            highest = torch.maximum(highest, (there - h) / step)
        steepest.append(highest)
    return torch.cat(steepest, dim=1)


def _over_part(planes: Tensor, weight: Tensor) -> Tensor:
    """Every channel's mean over the part."""
    return (planes * weight).sum((2, 3), keepdim=True) / weight.sum()
