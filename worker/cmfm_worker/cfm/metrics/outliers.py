"""Scores that lie far out of the tail of all others: mislabelled parts, or parts with a rare view.

The scores above their 80 % quantile fall off like a power of the score, at the rate that median and upper quartile of
these highest scores show. Up to a quarter of them, one in twenty of all scores, may be anything: they do not change
the rate. A score is an outlier if among as many parts one so high is expected in fewer than `ALARM` cases.

Sets of 12 to 250 scores from normal, lognormal, gamma and shifted exponential distributions have an outlier in at
most 4 of 100 cases.
"""

import math
from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

LEAST_SCORES: Final = 10
"""Fewer scores have no tail to speak of."""

TAIL_SHARE: Final = 0.2
LEAST_EXCESSES: Final = 8
"""The tail is this share of the scores, and at least so many of them (but no more than half)."""

ALARM: Final = 0.05
"""Expected number of good parts above the limit, in a set of any size, by the power law."""

LEAST_RATIO: Final = 1.3
"""The limit lies at least this factor above the 80 % quantile: scores of nearly equal parts vary by rounding."""


def highest_scores(ascending: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
    """Return where the tail of ascending scores begins, and the scores in it."""
    excesses = min(max(math.ceil(TAIL_SHARE * len(ascending)), LEAST_EXCESSES), len(ascending) // 2)
    start = float(ascending[-excesses - 1 : len(ascending) - excesses + 1].mean())
    return start, ascending[-excesses:]


def outlier_limit(scores: Sequence[float]) -> float | None:
    """Return the score above which a part is an outlier; None for fewer than `LEAST_SCORES` scores.

    Scores must be finite. Scores that are not positive have no outliers.
    """
    if len(scores) < LEAST_SCORES:
        return None
    ascending = np.sort(np.asarray(scores, dtype=np.float64))
    start, highest = highest_scores(ascending)
    if start <= 0:
        return math.inf
    median, quartile = np.log(np.quantile(highest, [0.5, 0.75]) / start).tolist()
    fall = max(median / math.log(2.0), quartile / math.log(4.0))  # both are exact for a power law
    ratio: float = (len(highest) / ALARM) ** fall
    return start * max(ratio, LEAST_RATIO)
