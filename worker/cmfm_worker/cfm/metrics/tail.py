"""The upper tail of nominal scores as a generalised Pareto distribution: thresholds for rates and rates at thresholds.

A conformal threshold is one of the scores, so its rate is a multiple of 1 / (n + 1) and a single odd part can decide
it. Above a high quantile u the excesses of almost any distribution follow a generalised Pareto distribution (Pickands,
Balkema and de Haan). Its two parameters are taken from the median and the upper quartile of the excesses, much as
Pickands (1975) does: parts that should not be among the nominal ones have the highest scores, and a quarter of the
excesses may be theirs. The price is a model: a rate far below what the scores show is an extrapolation, and its
interval is wide.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

LEAST_SCORES: Final = 10
"""Fewer scores have no tail to speak of."""

TAIL_SHARE: Final = 0.2
LEAST_EXCESSES: Final = 8
"""The tail is this share of the scores, and at least so many of them (but no more than half)."""

SHAPE: Final = (0.0, 0.5)
"""Bounds of the shape ξ. A few excesses tell it badly, and noise would make a tail that ends or a very heavy one.
Scores have no upper end, so a tail is at least exponential.
"""

EXTRAPOLATION: Final = 10.0
"""A rate is supported down to 1 / (10 n): ten times beyond what n scores show."""

RESAMPLES: Final = 400
CONFIDENCE: Final = 0.95


@dataclass(frozen=True, slots=True)
class Tail:
    """Scores above `start`, which `share` of nominal parts have: shape ξ and scale σ of their excess.

    `scores` are all nominal scores, ascending.
    """

    scores: tuple[float, ...]
    start: float
    share: float
    shape: float
    scale: float

    @classmethod
    def of(cls, scores: Sequence[float]) -> Tail:
        """Fit the tail. Raises ValueError for fewer than `LEAST_SCORES` scores and for scores that are not finite."""
        ascending = np.sort(np.asarray(scores, dtype=np.float64))
        if len(ascending) < LEAST_SCORES or not np.isfinite(ascending).all():
            raise ValueError(f"a tail needs {LEAST_SCORES} finite scores or more")
        excesses = min(max(math.ceil(TAIL_SHARE * len(ascending)), LEAST_EXCESSES), len(ascending) // 2)
        start = float(ascending[-excesses - 1 : len(ascending) - excesses + 1].mean())
        shape, scale = _pareto(ascending[-excesses:] - start)
        return cls(tuple(ascending.tolist()), start, excesses / len(ascending), shape, scale)

    def threshold(self, rate: float) -> float:
        """Return the score that nominal parts reach at a rate."""
        if rate >= self.share:
            return float(np.quantile(np.asarray(self.scores), 1.0 - rate))
        if abs(self.shape) < _EXPONENTIAL:
            return self.start - self.scale * math.log(rate / self.share)
        growth: float = (rate / self.share) ** -self.shape
        return self.start + self.scale / self.shape * (growth - 1.0)

    def rate(self, threshold: float) -> float:
        """Return the share of nominal parts that reach a threshold."""
        if threshold < self.start:
            return float((np.asarray(self.scores) >= threshold).mean())
        excess = (threshold - self.start) / self.scale
        if abs(self.shape) < _EXPONENTIAL:
            return self.share * math.exp(-excess)
        beyond: float = (1.0 + self.shape * excess) ** (-1.0 / self.shape)
        return self.share * beyond

    def rate_interval(self, threshold: float) -> tuple[float, float]:
        """Return the 95 % bootstrap interval of `rate`: the same sets of scores are drawn every time."""
        generator, all_scores = np.random.default_rng(0), np.asarray(self.scores)
        drawn = generator.integers(len(all_scores), size=(RESAMPLES, len(all_scores)))
        rates = [Tail.of(all_scores[rows].tolist()).rate(threshold) for rows in drawn]
        margin = (1.0 - CONFIDENCE) / 2.0
        low, high = np.quantile(rates, [margin, 1.0 - margin]).tolist()
        return low, high


_EXPONENTIAL: Final = 1e-6
"""A shape nearer to 0 than this is 0: the tail is exponential."""

_LEAST_SCALE: Final = 1e-9


def smallest_tail_rate(scores: int) -> float | None:
    """Return the smallest rate that the tail of so many scores supports, None if there are too few."""
    return 1.0 / (EXTRAPOLATION * scores) if scores >= LEAST_SCORES else None


def _pareto(excesses: NDArray[np.float64]) -> tuple[float, float]:
    """Estimate shape and scale so that median and upper quartile of the excesses are those of the distribution."""
    median, quartile = np.quantile(excesses, [0.5, 0.75]).tolist()
    if median <= _LEAST_SCALE:
        return 0.0, _LEAST_SCALE
    growth = quartile / median - 1.0
    shape = min(max(math.log2(growth), SHAPE[0]), SHAPE[1]) if growth > 0 else SHAPE[0]
    if abs(shape) < _EXPONENTIAL:
        return 0.0, quartile / math.log(4.0)
    scale: float = quartile * shape / (4.0**shape - 1.0)
    return shape, scale
