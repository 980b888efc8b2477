"""The upper tail of nominal scores as a generalised Pareto distribution: thresholds for rates and rates at thresholds.

A conformal threshold is one of the scores, so its rate is a multiple of 1 / (n + 1) and a single odd part can decide
it. Above a high quantile u the excesses of almost any distribution follow a generalised Pareto distribution (Pickands,
Balkema and de Haan). Its two parameters are taken from the median and the upper quartile of the excesses, much as
Pickands (1975) does: parts that should not be among the nominal ones have the highest scores, and a quarter of the
excesses may be theirs. The price is a model: a rate far below what the scores show is an extrapolation, and its
interval is wide.

A tail of a few dozen scores is uncertain, and the score that it gives for a rate is, on average, reached by more good
parts than that. So a threshold for a rate is the one at which the *expected* rate, the mean over tails of resampled
scores, is the rate asked for. With a hundred scores and more the difference is small.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from cmfm_worker.cfm.metrics.outliers import LEAST_SCORES, highest_scores, outlier_limit
from cmfm_worker.cfm.metrics.rate_interval import rate_interval

SHAPE: Final = (0.0, 0.5)
"""Bounds of the shape ξ. A few excesses tell it badly, and noise would make a tail that ends or a very heavy one.
Scores have no upper end, so a tail is at least exponential.
"""

EXTRAPOLATION: Final = 10.0
"""A rate is supported down to 1 / (10 n): ten times beyond what n scores show."""

RESAMPLES: Final = 200
"""Sets of scores drawn from the scores, over which a rate is averaged."""

_EXPONENTIAL: Final = 1e-6
"""A shape nearer to 0 than this is 0: the tail is exponential."""

_LEAST_SCALE: Final = 1e-9
_HALVINGS: Final = 40


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
        start, highest = highest_scores(ascending)
        shape, scale = _pareto(highest - start)
        return cls(tuple(ascending.tolist()), start, len(highest) / len(ascending), shape, scale)

    def threshold(self, rate: float) -> float:
        """Return the lowest score whose expected rate is at most `rate`."""
        low = self._quantile(rate)
        if self.expected_rate(low) <= rate:
            return low
        high = low + max(abs(low), _LEAST_SCALE)
        while self.expected_rate(high) > rate:
            high += high - low
        for _ in range(_HALVINGS):
            middle = 0.5 * (low + high)
            low, high = (middle, high) if self.expected_rate(middle) > rate else (low, middle)
        return high

    def expected_rate(self, threshold: float) -> float:
        """Return the share of good parts that will reach a threshold, as expected from so few scores.

        It is the mean over tails of resampled scores, or the share by the tail itself if that is higher. A few scores
        may lack the odd parts that others would have had; the tail itself rejects more good parts than it says.
        """
        return max(self.rate(threshold), _mean_rate(self.scores, threshold))

    def rate(self, threshold: float) -> float:
        """Return the share of nominal parts that reach a threshold by the tail itself."""
        if threshold < self.start:
            return float((np.asarray(self.scores) >= threshold).mean())
        excess = (threshold - self.start) / self.scale
        if abs(self.shape) < _EXPONENTIAL:
            return self.share * math.exp(-excess)
        beyond: float = (1.0 + self.shape * excess) ** (-1.0 / self.shape)
        return self.share * beyond

    def rate_interval(self, threshold: float) -> tuple[float, float]:
        """Return the 95 % interval of the share of good parts that will reach a threshold (`rate_interval`)."""
        return rate_interval(self.expected_rate(threshold), len(self.scores))

    def _quantile(self, rate: float) -> float:
        """Return the score that nominal parts reach at a rate, by the tail itself."""
        if rate >= self.share:
            return float(np.quantile(np.asarray(self.scores), 1.0 - rate))
        if abs(self.shape) < _EXPONENTIAL:
            return self.start - self.scale * math.log(rate / self.share)
        growth: float = (rate / self.share) ** -self.shape
        return self.start + self.scale / self.shape * (growth - 1.0)


@lru_cache(maxsize=8)
def _resampled(scores: tuple[float, ...]) -> tuple[Tail, ...]:
    """Return the tails of sets of as many scores, drawn from these. The same scores give the same sets.

    Outliers are not drawn: drawn twice, one of a few scores would make a tail of its own.
    """
    generator, every = np.random.default_rng(0), np.asarray(scores)
    every = every[every <= (outlier_limit(scores) or math.inf)]
    drawn = generator.integers(len(every), size=(RESAMPLES, len(scores)))
    return tuple(Tail.of(every[rows].tolist()) for rows in drawn)


def _mean_rate(scores: tuple[float, ...], threshold: float) -> float:
    return sum(tail.rate(threshold) for tail in _resampled(scores)) / RESAMPLES


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
