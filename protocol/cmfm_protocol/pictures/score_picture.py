"""A picture of scores and of the limits that decide on them: one histogram a group of parts, on one axis."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from cmfm_protocol.pictures.lettering import Rgb, shortened, width, write
from cmfm_protocol.pictures.panels import VERDICT_COLOURS

LOG_FROM_RATIO = 5.0
"""Scores that span more than this ratio are drawn over a logarithmic axis; otherwise the good parts, which set the
limits, would share a few bars."""
BINS = 60

_INK, _QUIET, _PAPER, _LINE = (28, 30, 36), (108, 112, 122), (247, 247, 249), (206, 208, 214)
_LEFT, _PLOT, _RIGHT, _ROW, _HEADER, _FOOT = 270, 960, 30, 96, 104, 48  # px
_BAR = 62  # px of a row's highest bar


@dataclass(frozen=True, slots=True)
class ScoreGroup:
    """Scores of parts of one kind; scores that are not finite are counted beside the bars."""

    name: str
    scores: Sequence[float]


@dataclass(frozen=True, slots=True)
class _Axis:
    """Maps scores to pixels from the plot's left edge."""

    low: float
    high: float
    logarithmic: bool

    def at(self, score: float) -> float:
        return float(np.clip(self._share(score), 0.0, 1.0)) * _PLOT

    def bins(self, scores: NDArray[np.float64]) -> NDArray[np.intp]:
        places = np.array([self.at(score) for score in scores])
        return np.minimum(places / _PLOT * BINS, BINS - 1).astype(np.intp)

    def ticks(self) -> list[float]:
        if self.logarithmic:
            exponents = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
            marks = [m * 10.0**e for e in exponents for m in (1, 1.5, 2, 3, 5, 7)]
        else:
            step = _round_step((self.high - self.low) / 6)
            marks = [step * i for i in range(math.ceil(self.low / step), math.floor(self.high / step) + 1)]
        return [mark for mark in marks if self.low <= mark <= self.high]

    def _share(self, score: float) -> float:
        if not self.logarithmic:
            return (score - self.low) / (self.high - self.low)
        return math.log(max(score, self.low) / self.low) / math.log(self.high / self.low)


def score_picture(
    groups: Sequence[ScoreGroup], *, fail_at: float, grey_from: float | None = None, title: str = ""
) -> Image.Image:
    """Draw one row a group, each part in the colour of its side of the limits; PASS, UNDECIDED and FAIL are shaded.

    Only the score is drawn, not coverage or what else decides.
    """
    axis = _axis_for(groups, [fail_at] if grey_from is None else [grey_from, fail_at])
    bottom = _HEADER + _ROW * len(groups)
    image = Image.new("RGB", (_LEFT + _PLOT + _RIGHT, bottom + _FOOT), _PAPER)
    draw = ImageDraw.Draw(image)
    write(draw, (20, 14), shortened(title, 26, image.width - 40), 26, _INK)
    _draw_limits(draw, axis, bottom, fail_at, grey_from)
    for i, group in enumerate(groups):
        _draw_group(draw, axis, _HEADER + _ROW * (i + 1), group, fail_at, grey_from)
    _draw_ticks(draw, axis, bottom)
    return image


def _axis_for(groups: Sequence[ScoreGroup], limits: Sequence[float]) -> _Axis:
    every = np.array([score for group in groups for score in group.scores] + list(limits), dtype=np.float64)
    known = every[np.isfinite(every)]
    low, high = float(known.min()), float(known.max())
    if low > 0 and high / low > LOG_FROM_RATIO:
        return _Axis(low / 1.15, high * 1.15, logarithmic=True)
    margin = 0.04 * (high - low) or max(abs(high), 1.0) * 0.1
    return _Axis(low - margin, high + margin, logarithmic=False)


def _draw_limits(
    draw: ImageDraw.ImageDraw, axis: _Axis, bottom: int, fail_at: float, grey_from: float | None
) -> None:
    """Draw shaded bands, and lines of the limits with their scores above: FAIL to the right, UNDECIDED to the left."""
    grey = fail_at if grey_from is None else grey_from
    edges = [0.0, axis.at(grey), axis.at(fail_at), float(_PLOT)]
    top = _HEADER - 6
    for verdict, left, right in zip(("PASS", "UNDECIDED", "FAIL"), edges[:-1], edges[1:], strict=True):
        draw.rectangle([_LEFT + left, top, _LEFT + right, bottom], fill=_tint(VERDICT_COLOURS[verdict]))
    limits = [("FAIL", fail_at)] + ([] if grey_from is None else [("UNDECIDED", grey_from)])
    for verdict, score in limits:
        x, text = _LEFT + axis.at(score), f"{verdict} from {score:.4g}"
        draw.line([(x, top - 24), (x, bottom)], fill=VERDICT_COLOURS[verdict], width=2)
        beside = x + 6 if verdict == "FAIL" else x - 6 - width(text, 18)
        place = min(max(beside, 8), _LEFT + _PLOT + _RIGHT - 8 - width(text, 18))
        write(draw, (place, top - 28), text, 18, VERDICT_COLOURS[verdict])


def _draw_group(
    draw: ImageDraw.ImageDraw,
    axis: _Axis,
    foot: int,
    group: ScoreGroup,
    fail_at: float,
    grey_from: float | None,
) -> None:
    scores = np.array(group.scores, dtype=np.float64)
    known = scores[np.isfinite(scores)]
    grey = fail_at if grey_from is None else grey_from
    sides = {"PASS": known < grey, "UNDECIDED": (known >= grey) & (known < fail_at), "FAIL": known >= fail_at}
    bins = axis.bins(known)
    highest = max(np.bincount(bins, minlength=BINS).max(), 1)
    below = np.zeros(BINS)
    for verdict, inside in sides.items():
        counts = np.bincount(bins[inside], minlength=BINS)
        for i in np.flatnonzero(counts):
            left, right = (_LEFT + _PLOT * edge / BINS for edge in (i, i + 1))
            top, base = (foot - _BAR * count / highest for count in (below[i] + counts[i], below[i]))
            draw.rectangle([left + 1, top, right - 1, base], fill=VERDICT_COLOURS[verdict])
        below += counts
    draw.line([(_LEFT, foot), (_LEFT + _PLOT, foot)], fill=_LINE)
    write(draw, (20, foot - 58), shortened(group.name, 20, _LEFT - 30), 20, _INK)
    labels = [f"{int(inside.sum())} {verdict}" for verdict, inside in sides.items() if inside.any()]
    if len(known) < len(scores):
        labels.append(f"{len(scores) - len(known)} no score")
    write(draw, (20, foot - 30), shortened(", ".join(labels), 15, _LEFT - 30), 15, _QUIET)


def _draw_ticks(draw: ImageDraw.ImageDraw, axis: _Axis, bottom: int) -> None:
    free_from = 0.0
    for tick in axis.ticks():
        x, text = _LEFT + axis.at(tick), f"{tick:.4g}"
        draw.line([(x, bottom), (x, bottom + 6)], fill=_QUIET)
        left = x - width(text, 16) / 2
        if left >= free_from:
            free_from = write(draw, (left, bottom + 8), text, 16, _QUIET) + 10
    write(draw, (20, bottom + 8), "logarithmic score" if axis.logarithmic else "score", 16, _QUIET)


def _tint(colour: Rgb) -> Rgb:
    red, green, blue = (round(255 - 0.1 * (255 - channel)) for channel in colour)
    return red, green, blue


def _round_step(step: float) -> float:
    """The next of 1, 2 and 5 times a power of ten."""
    power = 10.0 ** math.floor(math.log10(step))
    return next(power * m for m in (1, 2, 5, 10) if power * m >= step * (1 - 1e-9))
