"""Computes threshold and grey band from nominal parts; used by `fit` and `calibrate`.

Defective parts are never used. `cfm.metrics.threshold` and docs/calibration.md say what the rates promise.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Final, Literal

import numpy as np

from cmfm_worker.cfm.metrics.tail import Tail, smallest_tail_rate
from cmfm_worker.cfm.metrics.threshold import (
    conformal_threshold,
    parts_needed,
    smallest_grey_rate,
    smallest_supported_rate,
)
from cmfm_worker.cfm.scoring import COMPRESS_FROM
from cmfm_worker.errors import InputError
from cmfm_worker.recipes.sections import ThresholdOrigin, ThresholdSection

FALSE_REJECT_RATE: Final = 0.05
"""The rate of a threshold by the tail of nominal scores, unless another one is given: 1 of 20 good parts."""

LEVEL_SHARES: Final = (0.1, 0.9)
"""The levels of nominal parts between which Ψ is divided by the part's own level, as quantiles."""

ThresholdMethod = Literal["tail", "conformal"]
"""How a threshold follows from nominal scores (`cfm.metrics.tail`, `cfm.metrics.threshold`)."""

_ROUNDING: Final = 1e-9


@dataclass(frozen=True, slots=True)
class Wanted:
    """Limits that a person asks for. All None: the method's usual false-reject rate and no grey band.

    `false_reject_rate` is the share of nominal parts that may FAIL, `grey_rate` the share that may in addition be
    UNDECIDED by score. `fail_at` and `grey_from` give scores instead of rates. `minimum_coverage` is a share of the
    nominal part's 3D. The usual rate of the `method` "tail" is 5 %, that of "conformal" the smallest that is supported.
    """

    false_reject_rate: float | None = None
    grey_rate: float | None = None
    fail_at: float | None = None
    grey_from: float | None = None
    minimum_coverage: float | None = None
    method: ThresholdMethod = "conformal"

    def method_for(self, parts: int) -> Literal["tail", "conformal", "given"]:
        """Return how the threshold is set from `parts` nominal scores: too few of them have no tail."""
        if self.fail_at is not None:
            return "given"
        return "tail" if self.method == "tail" and smallest_tail_rate(parts) is not None else "conformal"

    def rate_for(self, parts: int) -> float | None:
        """Return the false-reject rate for a threshold from `parts` nominal parts; None if a score is given."""
        if self.fail_at is not None:
            return None
        if self.false_reject_rate is not None:
            return self.false_reject_rate
        return FALSE_REJECT_RATE if self.method_for(parts) == "tail" else smallest_supported_rate(parts)

    def require_supported(self, parts: int) -> None:
        """Raise InputError if `parts` nominal parts are too few for a rate; the message names option and remedy."""
        require_enough(parts, self.false_reject_rate, self.method)
        rate = self.rate_for(parts)
        if self.grey_rate is None or rate is None or self.method_for(parts) == "tail":
            return
        smallest = smallest_grey_rate(parts, rate)
        if rate + max(smallest, self.grey_rate) > 1.0 - _ROUNDING:
            raise InputError(
                f"--grey-rate {self.grey_rate:g}: with {parts} nominal parts no score would PASS below a band of that "
                f"share and a false-reject rate of {rate:.4g}; use more parts or smaller rates"
            )
        if self.grey_rate < smallest - _ROUNDING:
            raise InputError(
                f"--grey-rate {self.grey_rate:g} needs more than {parts} nominal parts: with a false-reject rate "
                f"of {rate:.4g} they support no grey rate below {rounded_up(smallest):g}"
            )


def require_enough(parts: int, rate: float | None, method: ThresholdMethod = "conformal") -> None:
    """Raise InputError if `parts` nominal parts are too few for a false-reject rate; the message says how many do."""
    if rate is None:
        return
    smallest = smallest_tail_rate(parts) if method == "tail" else None
    if smallest is not None:
        if rate < smallest - _ROUNDING:
            raise InputError(
                f"--target-false-reject-rate {rate:g}: {parts} nominal parts support no rate below "
                f"{rounded_up(smallest):g}"
            )
    elif parts < parts_needed(rate):
        raise InputError(
            f"--target-false-reject-rate {rate:g} needs {parts_needed(rate)} nominal validation parts; "
            f"the {parts} found support no rate below {rounded_up(smallest_supported_rate(parts)):g}"
        )


def threshold_from(
    scores: Sequence[float],
    wanted: Wanted,
    origin: ThresholdOrigin | None = None,
    out_of_fold: Sequence[float] = (),
) -> ThresholdSection:
    """Compute the limits of the score from the scores of nominal parts, `out_of_fold` ones of training parts included.

    Raises InputError for an empty grey band, and for a rate that so many parts do not support.
    """
    nominal = [*scores, *out_of_fold]
    rate, method = wanted.rate_for(len(nominal)), wanted.method_for(len(nominal))
    tail = Tail.of(nominal) if method == "tail" else None
    require_enough(len(nominal), wanted.false_reject_rate if tail else None, wanted.method)

    def score_at(share: float) -> float:
        return conformal_threshold(nominal, share) if tail is None else tail.threshold(share)

    fail_at = score_at(rate) if rate is not None else wanted.fail_at
    grey_from = wanted.grey_from
    if rate is not None and wanted.grey_rate is not None:
        grey_from = score_at(rate + wanted.grey_rate)
    if fail_at is None:
        raise ValueError("neither a false-reject rate nor a score to fail at is given")
    if grey_from is not None and grey_from >= fail_at:
        raise InputError(
            f"the grey band would be empty: it would begin at {grey_from:.6g}, but parts FAIL from {fail_at:.6g} on"
        )
    return ThresholdSection(
        fail_at=fail_at,
        grey_from=grey_from,
        target_false_reject_rate=rate,
        target_grey_rate=wanted.grey_rate,
        supported_false_reject_rate=_supported(len(nominal), method) if nominal else None,
        validation_parts=len(scores),
        validation_scores=tuple(scores),
        out_of_fold_scores=tuple(out_of_fold),
        method=method,
        rate_interval=None if tail is None else tail.rate_interval(fail_at),
        origin=origin,
    )


def _supported(parts: int, method: str) -> float:
    smallest = smallest_tail_rate(parts) if method == "tail" else None
    return smallest_supported_rate(parts) if smallest is None else smallest


def level_range_from(levels: Sequence[float]) -> tuple[float, float] | None:
    """Return the range of nominal levels, None if they are not positive (a network that predicts everything)."""
    low, high = np.quantile(np.asarray(levels, dtype=np.float64), LEVEL_SHARES).tolist()
    return (low, high) if low > 0 else None


def over_level(score: float, level: float, level_range: tuple[float, float] | None) -> float:
    """Return a score divided by its part's level, held within a range of nominal levels."""
    return score if level_range is None else score / min(max(level, level_range[0]), level_range[1])


def compress_from(scores: Sequence[float]) -> float | None:
    """Return the score from which maps are compressed: well above nominal ones. None if those are not positive."""
    usual = median(scores)
    return COMPRESS_FROM * usual if usual > 0 else None


def nominal_px_from(pixels: Sequence[int]) -> int:
    """Return the number of foreground pixels of the median part."""
    return max(1, round(median(pixels)))


def rounded_up(rate: float) -> float:
    """Round a smallest rate up to six decimal places, so that it is accepted when typed in again."""
    return math.ceil(rate * 1e6 - 1e-3) / 1e6
