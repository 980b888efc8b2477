"""Bounds of a measure of nominal parts, with a margin that follows from their number.

The highest of n values is exceeded by the next part with the probability 1 / (n + 1), whatever the distribution. With
a dozen measures that would be a false alarm every few parts. So a bound lies beyond the most extreme value, by a margin
that a model of the tail gives: above a high quantile values are exponential with an unknown scale β. The spacings
x_j − x_(j+1) of the highest k + 1 values, from the top, are then independent and exponential with the mean β / j, or
β / (j + 1) where the next part lies above them all (Rényi 1953). So β is estimated as the mean of (j + 1) times the
j-th spacing, and the next part exceeds the highest value by more than x with the probability

    (1 + x / (k β))^-k / (n + 1),

exactly, for values that are exponential above the quantile. Where k is small this falls more slowly than an
exponential: few parts give wide margins.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

TAIL_SHARE: Final = 0.2
"""The tail is this share of the values, and at least two of them where there are so many."""

EXTRAPOLATION: Final = 10.0
"""A rate is supported down to 1 / (10 (n + 1)): ten times beyond what n values show."""

PRIOR_SHARE: Final = 0.25
"""β is at least this share of the least margin: a few equal values do not tell that all parts are equal."""


@dataclass(frozen=True, slots=True)
class Bound:
    """A bound above nominal values, and the share of nominal parts that is expected above it."""

    value: float
    rate: float


def upper_bound(values: Sequence[float], rate: float, least_margin: float, cap: float = math.inf) -> Bound:
    """Return the bound that nominal parts exceed with `rate`, or with the least rate that so many values support.

    It lies at least `least_margin`, in the unit of the values, above the highest of them, but not above `cap`; `cap`
    must not lie below the values. Raises ValueError without values, or if one is not finite.
    """
    ascending = np.sort(np.asarray(values, dtype=np.float64))
    if not len(ascending) or not np.isfinite(ascending).all():
        raise ValueError("a bound needs finite values")
    parts, excesses = len(ascending) + 1, _excesses(len(ascending))
    beta = PRIOR_SHARE * least_margin
    if excesses:
        spacings = np.diff(ascending[-excesses - 1 :])[::-1]
        beta = max(beta, float((np.arange(2, excesses + 2) * spacings).mean()))
    k = max(excesses, 1)
    beyond = 1.0 / (parts * max(rate, 1.0 / (EXTRAPOLATION * parts)))
    margin = max(k * beta * (max(beyond, 1.0) ** (1.0 / k) - 1.0), least_margin)
    margin = min(margin, cap - float(ascending[-1]))
    expected = (1.0 + margin / (k * beta)) ** -k / parts if beta > 0 else 0.0
    return Bound(float(ascending[-1]) + margin, expected)


def lower_bound(values: Sequence[float], rate: float, least_margin: float, floor: float = -math.inf) -> Bound:
    """Return the same below the values, and not below `floor`."""
    bound = upper_bound([-value for value in values], rate, least_margin, -floor)
    return Bound(-bound.value, bound.rate)


def _excesses(values: int) -> int:
    """Return k: how many of so many values are the tail. The next lower one is where it starts."""
    return min(max(math.ceil(TAIL_SHARE * values), 2), values - 1)
