"""The recipe's threshold from nominal parts only: a conformal quantile (docs/method.md, teaching).

The promise: of parts that are nominal, at most the asked share is rejected on average. It rests on one
assumption, exchangeability: the validation parts and the nominal parts to come could change places without
anyone noticing (same product, line, light and sensor; validation parts not used for fitting). When the
process drifts the promise ends; more validation parts make it hold for smaller rates, not under drift.

"On average" is over sets of validation parts too: how far a single set may be off is `unlucky_rate`. Nothing is
promised about defective parts; how many of them pass can only be seen on some.
"""

import math
from collections.abc import Sequence

import numpy as np

CANDIDATE_RANKS = (1, 2, 3, 5, 8, 13, 21, 34)
"""Of n + 1 nominal parts so many may reach the threshold, for each of the rates that a person may choose among."""


class TooFewPartsError(Exception):
    """So few validation scores cannot support the asked false-reject rate; the message says how many would.

    `parts` were given, `needed` are needed, `supported_rate` is the smallest rate the given ones support.
    """

    def __init__(self, parts: int, needed: int, false_reject_rate: float) -> None:
        self.parts, self.needed = parts, needed
        self.false_reject_rate = false_reject_rate
        self.supported_rate = smallest_supported_rate(parts)
        super().__init__(
            f"a false-reject rate of {false_reject_rate:g} needs at least {needed} nominal validation parts, "
            f"found {parts}, which support no rate below {self.supported_rate:.4g}"
        )


def conformal_threshold(scores: Sequence[float], false_reject_rate: float) -> float:
    """The smallest threshold that keeps false rejects to `false_reject_rate`, from n nominal scores.

    It lies one float64 step above the k-th smallest score, k = ⌈(n + 1)(1 − rate)⌉: a part fails at score ≥
    threshold, so the k-th one itself still passes. Raises TooFewPartsError where k > n, ValueError where
    the rate is not in (0, 1) or a score is not finite.
    """
    if not 0.0 < false_reject_rate < 1.0:
        raise ValueError(f"the false-reject rate must lie between 0 and 1, not {false_reject_rate}")
    ascending = np.sort(np.asarray(scores, dtype=np.float64))
    if not np.isfinite(ascending).all():
        raise ValueError("validation scores must be finite numbers")
    k = _supported_rank(ascending.size, false_reject_rate)
    return float(np.nextafter(ascending[k - 1], np.inf))


def smallest_supported_rate(parts: int) -> float:
    """The smallest false-reject rate that `parts` nominal validation parts support: 1 / (n + 1)."""
    return 1.0 / (parts + 1)


def parts_needed(false_reject_rate: float) -> int:
    """Nominal validation parts a false-reject rate needs: the smallest n ≥ 1 / rate − 1."""
    return max(1, math.ceil(1.0 / false_reject_rate - 1.0 - 1e-9))


def smallest_grey_rate(parts: int, false_reject_rate: float) -> float:
    """The smallest share of nominal parts that a grey band below the threshold for `false_reject_rate` can hold.

    Its lower edge is the conformal threshold for both shares together; with less it would be the same score's.
    Where both together are 1, so few parts have no lower score. Raises TooFewPartsError.
    """
    k = _supported_rank(parts, false_reject_rate)
    return 1.0 - false_reject_rate - (k - 1) / (parts + 1)


def candidate_rates(parts: int) -> tuple[float, ...]:
    """At most eight false-reject rates j / (n + 1) up to a half, ascending, each with a score of its own to end at."""
    return tuple(rank / (parts + 1) for rank in CANDIDATE_RANKS if 2 * rank <= parts + 1)


def unlucky_rate(parts: int, false_reject_rate: float, confidence: float = 0.95) -> float:
    """The true false-reject rate that stays unsurpassed in the share `confidence` of all sets of validation parts.

    For one set of n parts, no two scores of which are equal, the share of nominal parts that reach its threshold
    is drawn from Beta(n + 1 − k, k) with k as in `conformal_threshold`, of mean ≤ the asked rate (Vovk, Conditional
    validity of inductive conformal predictors, 2012). Ties only lower it. Raises TooFewPartsError.
    """
    from scipy.special import betaincinv  # here, because a machine with CUDA may come without scipy

    k = _supported_rank(parts, false_reject_rate)
    return float(betaincinv(parts + 1 - k, k, confidence))


def _supported_rank(parts: int, false_reject_rate: float) -> int:
    # (n + 1)(1 − rate) is often whole (19 parts at 5 %): rounding must not push it over to the next rank.
    k = max(1, math.ceil((parts + 1) * (1.0 - false_reject_rate) - 1e-9))
    if k > parts:
        raise TooFewPartsError(parts, parts_needed(false_reject_rate), false_reject_rate)
    return k
