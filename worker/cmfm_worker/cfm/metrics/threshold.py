"""The recipe's threshold from nominal parts only: a conformal quantile (docs/method.md, teaching).

The promise: on average, at most the requested share of nominal parts is rejected. It needs one assumption,
exchangeability: validation parts and future nominal parts cannot be told apart (same product, line, light and sensor;
validation parts not used for the fit). The promise does not hold once the process drifts. More validation parts allow
smaller rates, but do not help against drift.

"On average" includes the choice of validation parts: `unlucky_rate` says how far a single choice may be off. Nothing is
promised about defective parts. How many of them pass can only be observed on some.
"""

import math
from collections.abc import Sequence

import numpy as np

CANDIDATE_RANKS = (1, 2, 3, 5, 8, 13, 21, 34)
"""Numbers of n + 1 nominal parts that may reach the threshold. Each gives one rate that a person can choose."""


class TooFewPartsError(Exception):
    """The requested false-reject rate needs more validation scores. The message says how many.

    `parts` were given, `needed` are needed, and `supported_rate` is the smallest rate that the given ones support.
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
    """Return the smallest threshold that keeps false rejects to `false_reject_rate`, from n nominal scores.

    It is one float64 step above the k-th smallest score, k = ⌈(n + 1)(1 − rate)⌉: a part fails at score ≥ threshold, so
    the k-th one passes. Raises TooFewPartsError if k > n, and ValueError if the rate is not in (0, 1) or a score is not
    finite.
    """
    if not 0.0 < false_reject_rate < 1.0:
        raise ValueError(f"the false-reject rate must lie between 0 and 1, not {false_reject_rate}")
    ascending = np.sort(np.asarray(scores, dtype=np.float64))
    if not np.isfinite(ascending).all():
        raise ValueError("validation scores must be finite numbers")
    k = _supported_rank(ascending.size, false_reject_rate)
    return float(np.nextafter(ascending[k - 1], np.inf))


def smallest_supported_rate(parts: int) -> float:
    """Return the smallest false-reject rate that `parts` nominal validation parts support: 1 / (n + 1)."""
    return 1.0 / (parts + 1)


def parts_needed(false_reject_rate: float) -> int:
    """Return the number of nominal validation parts that a false-reject rate needs: the smallest n ≥ 1 / rate − 1."""
    # 1 / rate − 1 is often whole (48 for 1 / 49): rounding must not ask for one part more.
    return max(1, math.ceil(1.0 / false_reject_rate - 1.0 - 1e-9))


def smallest_grey_rate(parts: int, false_reject_rate: float) -> float:
    """Return the smallest share of nominal parts that a grey band below the threshold can hold.

    The lower edge of the band is the conformal threshold for the sum of both shares. With a smaller share, the edge
    would be at the same score as the threshold. If the sum is 1, there is no lower score. Raises TooFewPartsError.
    """
    k = _supported_rank(parts, false_reject_rate)
    return 1.0 - false_reject_rate - (k - 1) / (parts + 1)


def candidate_rates(parts: int) -> tuple[float, ...]:
    """Return at most eight false-reject rates j / (n + 1) up to 1/2, ascending. Each ends at a different score."""
    return tuple(rank / (parts + 1) for rank in CANDIDATE_RANKS if 2 * rank <= parts + 1)


def unlucky_rate(parts: int, false_reject_rate: float, confidence: float = 0.95) -> float:
    """Return the true false-reject rate that is not exceeded for the share `confidence` of all sets of validation
    parts.

    For one set of n parts with distinct scores, the share of nominal parts that reach its threshold has the
    distribution Beta(n + 1 − k, k), with k as in `conformal_threshold` and a mean of at most the requested rate
    (Vovk, Conditional validity of inductive conformal predictors, 2012). Ties can only lower it. Raises
    TooFewPartsError.
    """
    from scipy.special import betaincinv  # late, because a machine with CUDA may lack scipy

    k = _supported_rank(parts, false_reject_rate)
    return float(betaincinv(parts + 1 - k, k, confidence))


def _supported_rank(parts: int, false_reject_rate: float) -> int:
    # (n + 1)(1 − rate) is often whole (19 parts at 5 %): rounding must not raise it to the next rank.
    k = max(1, math.ceil((parts + 1) * (1.0 - false_reject_rate) - 1e-9))
    if k > parts:
        raise TooFewPartsError(parts, parts_needed(false_reject_rate), false_reject_rate)
    return k
