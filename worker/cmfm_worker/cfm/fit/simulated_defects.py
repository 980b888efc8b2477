"""Simulated defects on good parts, for the fit of the metric on residuals (`metric.py`) and to try thresholds on.

No real defect is needed, and none of a certain product is imitated. A mark is a blob or a line of any place and size
with another height, another colour, or both. It is a defect because shape and colour no longer belong together there.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

from cmfm_worker.cfm.fit.draws import Draw, part_side_m, smooth_noise, upwards
from cmfm_worker.cfm.prepare import SIZE_PX, PreparedFrames

MARKS: Final = (5, 9)
"""The fewest and the most marks on a part."""

RADIUS: Final = (0.015, 0.08)
HEIGHT: Final = (0.004, 0.04)
LINE_LENGTH: Final = (0.12, 0.5)
LINE_WIDTH_PX: Final = (0.5, 1.5)
"""The smallest and the largest mark, as shares of the part's side (the root of its area). Half widths of lines are in
pixels.
"""

LIGHTER: Final = 0.6
OPACITY: Final = (0.15, 0.9)
"""The colour of a mark: lighter or darker by a factor of up to exp(`LIGHTER`), or covered by another colour of this
opacity.
"""

LINES: Final = 0.25
"""The share of marks that are lines."""

DEFECT_FROM: Final = 0.3
"""Pixels where a mark is stronger than this are defective."""


@dataclass(frozen=True, slots=True)
class SingleMark:
    """The kind of a part's only mark: of height, of colour, or of both; a line, or a blob.

    `radius` is the range of a blob's radius as a share of the part's side, of which the logarithm is uniform.
    """

    height: bool
    colour: bool
    line: bool = False
    radius: tuple[float, float] = RADIUS


ANY_KIND: Final = (SingleMark(True, False), SingleMark(False, True), SingleMark(True, True))
"""Another height, another colour, or both; one mark in three is of each."""

_LINE_PIECES: Final = 8
_BEND_RAD: Final = 0.15


@dataclass(frozen=True, slots=True)
class SimulatedDefects:
    """Frames with marks on them, and `mask` (B, 224, 224) bool of the defective pixels."""

    frames: PreparedFrames
    mask: Tensor


def simulate_defects(
    frames: PreparedFrames, seeds: Sequence[int], single: SingleMark | None = None
) -> SimulatedDefects:
    """Draw marks on every frame, from its seed alone: a part's marks do not depend on its batch.

    With `single` every frame gets one mark of that kind, else some of all kinds. Foreground, valid pixels and plane do
    not change. A mark's height is along the plane's normal, or towards the sensor if there is no plane. A frame without
    foreground is returned as it was.
    """
    marked = [_marked(frames, i, seed, single) for i, seed in enumerate(seeds)]
    rgb, xyz, mask = (torch.stack(each).to(frames.rgb.device) for each in zip(*marked, strict=True))
    return SimulatedDefects(frames.recoloured(rgb, xyz), mask)


def _marked(
    frames: PreparedFrames, i: int, seed: int, single: SingleMark | None
) -> tuple[Tensor, Tensor, Tensor]:
    """Return RGB (3, 224, 224), points (3, 224, 224) and mask (224, 224) of one marked frame, on the CPU."""
    rgb, xyz, part = frames.rgb[i].cpu().clone(), frames.xyz[i].cpu().clone(), frames.foreground[i].cpu()
    mask = torch.zeros_like(part)
    if not part.any():
        return rgb, xyz, mask
    draw = Draw(seed)
    side_px, side_m = float(part.sum()) ** 0.5, part_side_m(xyz, part)
    up = upwards(frames, i)
    for _ in range(draw.whole(*MARKS) if single is None else 1):
        strength = _mark(part, side_px, draw, single)
        mark = draw.of(ANY_KIND) if single is None else single
        if mark.height:
            rise_m = draw.sign() * draw.log_uniform(*HEIGHT) * side_m
            xyz += rise_m * strength * up[:, None, None]
        if mark.colour:
            rgb = _coloured(rgb, strength, draw)
        mask |= strength > DEFECT_FROM
    return rgb.clamp(0.0, 1.0), xyz, mask


def _coloured(rgb: Tensor, strength: Tensor, draw: Draw) -> Tensor:
    """Make the picture (3, H, W) lighter or darker at a mark, or cover it by another colour."""
    if draw.uniform(0.0, 1.0) < 0.5:
        return rgb * (1.0 + strength * (math.exp(draw.uniform(-LIGHTER, LIGHTER)) - 1.0))
    paint = draw.tensor(3)[:, None, None]
    return rgb + strength * draw.uniform(*OPACITY) * (paint - rgb)


def _mark(part: Tensor, side_px: float, draw: Draw, single: SingleMark | None) -> Tensor:
    """Draw the strength of one mark at every pixel, (224, 224) in [0, 1], 0 outside the part."""
    places = part.nonzero()
    y, x = places[draw.whole(0, len(places) - 1)].tolist()
    ragged = _raggedness(draw)
    if draw.uniform(0.0, 1.0) < LINES if single is None else single.line:
        strength = _line(y, x, draw.uniform(*LINE_LENGTH) * side_px, ragged, draw)
    else:
        radius = RADIUS if single is None else single.radius
        strength = _blob(y, x, max(draw.log_uniform(*radius) * side_px, 1.5), ragged, draw)
    return strength * part


def _blob(y: float, x: float, radius_px: float, ragged: Tensor, draw: Draw) -> Tensor:
    """Draw an ellipse with a ragged outline: domed, or flat with an edge of some pixels."""
    turn, stretch = draw.uniform(0.0, math.pi), draw.uniform(0.75, 1.33)
    dy, dx = _offsets(y, x)
    along, across = dy * math.cos(turn) + dx * math.sin(turn), dx * math.cos(turn) - dy * math.sin(turn)
    reach = torch.hypot(along * stretch, across / stretch) / radius_px * (1.0 + 0.12 * ragged)
    if draw.uniform(0.0, 1.0) < 0.5:
        return (1.0 - reach.square()).clamp(0.0, 1.0)
    return ((1.0 - reach) * radius_px / 1.5 + 0.5).clamp(0.0, 1.0)


def _line(y: float, x: float, length_px: float, ragged: Tensor, draw: Draw) -> Tensor:
    """Draw a line that starts at (y, x) and bends, one to three pixels wide."""
    heading, piece_px = draw.uniform(0.0, 2.0 * math.pi), length_px / _LINE_PIECES
    nearest = torch.full((SIZE_PX, SIZE_PX), torch.inf)
    for _ in range(_LINE_PIECES):
        step_y, step_x = piece_px * math.sin(heading), piece_px * math.cos(heading)
        dy, dx = _offsets(y, x)
        along = ((dy * step_y + dx * step_x) / piece_px**2).clamp(0.0, 1.0)
        nearest = torch.minimum(nearest, torch.hypot(dy - along * step_y, dx - along * step_x))
        y, x, heading = y + step_y, x + step_x, heading + _BEND_RAD * draw.uniform(-2.0, 2.0)
    edge = (draw.uniform(*LINE_WIDTH_PX) - nearest) / 1.4 + 0.5
    return edge.clamp(0.0, 1.0) * (1.0 + 0.2 * ragged).clamp(0.0, 1.0)


def _raggedness(draw: Draw) -> Tensor:
    """Draw noise (224, 224) of about unit deviation that varies over 5 to 15 pixels."""
    return smooth_noise(draw, draw.whole(15, 45))


def _offsets(y: float, x: float) -> tuple[Tensor, Tensor]:
    axis = torch.arange(SIZE_PX, dtype=torch.float32)
    return (axis - y)[:, None], (axis - x)[None, :]
