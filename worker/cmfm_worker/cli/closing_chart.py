"""Draws curves over thresholds as SVG for the closing page."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Final

_LEFT, _TOP, _WIDTH, _HEIGHT, _RIGHT, _FOOT = 64, 48, 640, 210, 130, 46  # px; two lines of text above
_COLOURS: Final = ("#1565c0", "#2e7d32", "#ef6c00", "#6a1b9a")
_LOWEST: Final = 1e-3
"""The lowest share on a logarithmic axis."""


@dataclass(frozen=True, slots=True)
class Line:
    """One curve: its name and its shares, 0 to 1."""

    name: str
    shares: Sequence[float]


@dataclass(frozen=True, slots=True)
class _Axes:
    low: float
    high: float
    logarithmic: bool

    def x(self, threshold: float) -> float:
        span = self.high - self.low or 1.0
        return _LEFT + _WIDTH * min(max((threshold - self.low) / span, 0.0), 1.0)

    def y(self, share: float) -> float:
        if self.logarithmic:
            share = 1.0 - math.log10(max(share, _LOWEST)) / math.log10(_LOWEST)
        return _TOP + _HEIGHT * (1.0 - share)

    def points(self, xs: Sequence[float], shares: Sequence[float]) -> str:
        return " ".join(f"{self.x(x):.1f},{self.y(share):.1f}" for x, share in zip(xs, shares, strict=True))


def chart(
    title: str,
    thresholds: Sequence[float],
    lines: Sequence[Line],
    *,
    marked: float,
    band: Sequence[tuple[float, float]] = (),
    logarithmic: bool = False,
) -> str:
    """Draw shares over ascending thresholds, with a band around the first line and the recipe's threshold marked."""
    axes = _Axes(thresholds[0], thresholds[-1], logarithmic)
    drawn = [*_grid(axes), _text(_LEFT, 16, title, "start", bold=True)]
    if band:
        outline = axes.points(thresholds, [high for _, high in band])
        back = axes.points(thresholds[::-1], [low for low, _ in band][::-1])
        drawn.append(f'<polygon points="{outline} {back}" fill="{_COLOURS[0]}" fill-opacity="0.15"/>')
    for i, line in enumerate(lines):
        colour = _COLOURS[i % len(_COLOURS)]
        points = axes.points(thresholds, line.shares)
        drawn.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2"/>')
        drawn.append(_text(_LEFT + _WIDTH + 10, _TOP + 14 + 18 * i, line.name, "start", colour))
    x = axes.x(marked)
    drawn.append(_rule(x, _TOP, x, _TOP + _HEIGHT, "#c62828"))
    drawn.append(_text(x, _TOP - 3, f"FAIL from {marked:.4g}", "middle", "#c62828"))
    width, height = _LEFT + _WIDTH + _RIGHT, _TOP + _HEIGHT + _FOOT
    head = f'<svg viewBox="0 0 {width} {height}" width="{width}" role="img" aria-label="{escape(title)}">'
    return "\n".join([head, *drawn, "</svg>"])


def _grid(axes: _Axes) -> list[str]:
    shares = (0.001, 0.01, 0.1, 1.0) if axes.logarithmic else (0.0, 0.25, 0.5, 0.75, 1.0)
    drawn = []
    for share in shares:
        y = axes.y(share)
        drawn += [
            _rule(_LEFT, y, _LEFT + _WIDTH, y, "#e0e3e8"),
            _text(_LEFT - 6, y + 4, f"{100 * share:g} %", "end"),
        ]
    for i in range(6):
        threshold = axes.low + (axes.high - axes.low) * i / 5
        drawn.append(_text(axes.x(threshold), _TOP + _HEIGHT + 18, f"{threshold:.3g}", "middle"))
    drawn.append(_text(_LEFT + _WIDTH / 2, _TOP + _HEIGHT + 38, "threshold (score)", "middle"))
    return drawn


def _rule(x1: float, y1: float, x2: float, y2: float, colour: str) -> str:
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{colour}"/>'


def _text(x: float, y: float, text: str, anchor: str, colour: str = "#444", *, bold: bool = False) -> str:
    weight = "bold" if bold else "normal"
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{colour}" font-weight="{weight}">'
        f"{escape(text)}</text>"
    )
