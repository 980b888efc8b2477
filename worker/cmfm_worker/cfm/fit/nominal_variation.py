"""Variations of good parts: under a slightly different lamp, or slightly out of shape.

A mapping fitted on a few dozen parts learns each of them by heart, and its residuals on the next part are larger. So
every part is also taught with variations that occur on any line and do not affect quality: strength, colour and slope
of the light and clouds on the surface; thickness, warp and swelling. They are smooth over large areas of the part,
unlike defects, and each changes one modality alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import torch
from torch import Tensor

from cmfm_worker.cfm.fit.draws import Draw, part_side_m, smooth_noise, upwards
from cmfm_worker.cfm.prepare import SIZE_PX, PreparedFrames

LIGHT: Final = 0.05
TINT: Final = 0.015
SLOPE: Final = 0.025
CLOUDS: Final = 0.03
"""Deviations of the logarithm of the light: overall, of each colour, from the middle to the edge, of clouds."""

THICKNESS: Final = 0.002
WARP: Final = 0.008
SWELLING: Final = 0.001
"""Deviations of the height, as shares of the part's side: overall, of the bend from middle to edge, of swellings."""

KNOTS: Final = 13
"""Knots of clouds and swellings along the picture, which makes them about 17 pixels wide."""


def vary_nominal(frames: PreparedFrames, seeds: Sequence[int]) -> PreparedFrames:
    """Vary every frame, as its seed says. Foreground, valid pixels and plane do not change."""
    rgb = [(frames.rgb[i].cpu() * _light(Draw(seed)).exp()).clamp(0.0, 1.0) for i, seed in enumerate(seeds)]
    xyz = [_raised(frames, i, Draw(seed)) for i, seed in enumerate(seeds)]
    device = frames.rgb.device
    return frames.recoloured(torch.stack(rgb).to(device), torch.stack(xyz).to(device))


def _light(draw: Draw) -> Tensor:
    """Draw the logarithm of the light on every pixel and colour, (3, 224, 224)."""
    y, x = _across()
    even = LIGHT * draw.normal(1, 1, 1) + TINT * draw.normal(3, 1, 1)
    slope = SLOPE * (draw.normal(1) * y + draw.normal(1) * x)
    return even + slope + CLOUDS * smooth_noise(draw, KNOTS)


def _raised(frames: PreparedFrames, i: int, draw: Draw) -> Tensor:
    """Return the points (3, 224, 224) of a frame, with the part's moved away from the tray or towards it."""
    xyz, part = frames.xyz[i].cpu(), frames.foreground[i].cpu()
    if not part.any():
        return xyz
    y, x = _across()
    bend = draw.normal(1) * y * y + draw.normal(1) * x * x + draw.normal(1) * x * y
    rise = THICKNESS * draw.normal(1) + WARP * bend + SWELLING * smooth_noise(draw, KNOTS)
    return xyz + part_side_m(xyz, part) * rise * part * upwards(frames, i)[:, None, None]


def _across() -> tuple[Tensor, Tensor]:
    """Return −1 to 1 down and across the picture."""
    axis = torch.linspace(-1.0, 1.0, SIZE_PX)
    return axis[:, None], axis[None, :]
