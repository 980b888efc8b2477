"""Context channels of `classic`: the surroundings of a pixel. The mapping reads them and does not predict them.

Which shape belongs to a colour depends on the light and on the surroundings. The directions of slopes and the skyline
show the shading and shadow of a fixed lamp. A pixel relative to its whole part distinguishes a dark element from a dark
part, and a high element from a thick part. The share of the part in the neighbourhood shows how near the outline is.
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
"""σ of wide neighbourhoods: the size of a part's elements, and a third of the part."""

SKYLINE_DIRECTIONS: Final = 8
SKYLINE_STEPS_PX: Final = (1, 2, 3, 4, 6, 8, 12, 16)
"""Distances at which the skyline is sampled. A wall of 8 mm throws a shadow of about 12 pixels."""

OUTLINE_PX: Final = (3.0, 8.0)
"""σ of the neighbourhoods whose share of part pixels is taken: 1 inside, 1/2 at the outline, less at a corner."""

NEAR_2D: Final = 2 + len(OUTLINE_PX)
NEAR_3D: Final = SKYLINE_DIRECTIONS + len(OUTLINE_PX)
"""Number of channels of near context."""

WIDE_2D: Final = 4 + 6 * len(WIDE_2D_PX)
WIDE_3D: Final = 2 + 2 * len(WIDE_3D_PX)
"""Number of channels of wide context. They describe a part so well that a network could recognise it by them."""

_DARKEST: Final = 0.05
"""Added to lightness before a division or logarithm. Below this a camera shows noise."""

_LOWEST: Final = -0.5
"""The least skyline, in mm a pixel: it is used where all surroundings lie lower."""

_NOWHERE: Final = -1e3
"""Height in mm of pixels outside the part: they never block the light."""


@dataclass(frozen=True)
class Context:
    """Context channels, each (1, c, H, W): `near` ones of the close surroundings, `wide` ones of much of the part."""

    near: list[Tensor]
    wide: list[Tensor]


def colour_context(O: Tensor, fine: Tensor, weight: Tensor, filters: MaskedFilters) -> Context:  # noqa: E741
    """Compute the context of opponent colours O (1, 3, H, W): `NEAR_2D` and `WIDE_2D` channels.

    `fine` is their mean at a fine scale. Near: both colour differences divided by lightness, which makes them
    independent of the lamp's strength, and the outline. Wide: fine colours minus the part's mean, log lightness minus
    its mean, and means and deviations of wide neighbourhoods.
    """
    lightness = fine[:, :1].clamp(min=0) + _DARKEST
    wide = [fine - _over_part(O, weight), lightness.log() - _over_part(lightness.log(), weight)]
    for sigma in WIDE_2D_PX:
        wide += [enlarge_to(m, O) for m in filters.mean_and_deviation(O, weight, sigma)]
    return Context([fine[:, 1:] / lightness, *_outline(weight, filters)], wide)


def height_context(
    h: Tensor, finest: Tensor, fine: Tensor, weight: Tensor, filters: MaskedFilters
) -> Context:
    """Compute the context of heights h (1, 1, H, W) in mm: `NEAR_3D` and `WIDE_3D` channels.

    `finest` and `fine` are their means at two fine scales. Near: the skyline and the outline. Wide: the fine height
    minus the part's mean, its median and the means of wide neighbourhoods, and the deviations of these.
    """
    wide = [fine - _over_part(h, weight), fine - h[weight > 0].median()]
    for sigma in WIDE_3D_PX:
        mean, deviation = (enlarge_to(m, h) for m in filters.mean_and_deviation(h, weight, sigma))
        wide += [fine - mean, deviation]
    return Context([skyline(finest, weight), *_outline(weight, filters)], wide)


def _outline(weight: Tensor, filters: MaskedFilters) -> list[Tensor]:
    """Return the share of part pixels in every pixel's neighbourhood, (1, 1, H, W) for each scale."""
    return [enlarge_to(filters.smooth(weight, sigma, stride_of(sigma)), weight) for sigma in OUTLINE_PX]


def skyline(h: Tensor, weight: Tensor) -> Tensor:
    """Compute the steepest rise from every pixel within 16 pixels, in eight directions: (1, 8, H, W) mm a pixel.

    Directions start at the right of the picture and go clockwise. Only pixels of the part are considered.
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
    """Return every channel's mean over the part."""
    return (planes * weight).sum((2, 3), keepdim=True) / weight.sum()
