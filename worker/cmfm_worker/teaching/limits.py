"""Computes threshold, grey band and minimum coverage from nominal parts; used by `fit` and `calibrate`.

Defective parts are never used. `cfm.metrics.threshold` and docs/calibration.md say what the rates promise.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Final

from cmfm_worker.cfm.metrics.threshold import (
    conformal_threshold,
    parts_needed,
    smallest_grey_rate,
    smallest_supported_rate,
)
from cmfm_worker.errors import InputError
from cmfm_worker.recipes.sections import CoverageSection, ThresholdOrigin, ThresholdSection

COVERAGE_MARGIN: Final = 0.75
"""Minimum 3D coverage as a share of the coverage of the nominal part with the least 3D. Natural variation stays well
above it; a part with half of its 3D missing lies well below."""

_ROUNDING: Final = 1e-9


@dataclass(frozen=True, slots=True)
class Wanted:
    """Limits that a person asks for. All None: the smallest supported false-reject rate and no grey band.

    `false_reject_rate` is the share of nominal parts that may FAIL, `grey_rate` the share that may in addition be
    UNDECIDED by score. `fail_at` and `grey_from` give scores instead of rates. `minimum_coverage` is a share of the
    nominal part's 3D.
    """

    false_reject_rate: float | None = None
    grey_rate: float | None = None
    fail_at: float | None = None
    grey_from: float | None = None
    minimum_coverage: float | None = None

    def rate_for(self, parts: int) -> float | None:
        """Return the false-reject rate for a threshold from `parts` nominal parts; None if a score is given."""
        if self.fail_at is not None:
            return None
        return smallest_supported_rate(parts) if self.false_reject_rate is None else self.false_reject_rate

    def require_supported(self, parts: int) -> None:
        """Raise InputError if `parts` nominal parts are too few for a rate; the message names option and remedy."""
        require_enough(parts, self.false_reject_rate)
        rate = self.rate_for(parts)
        if self.grey_rate is None or rate is None:
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


def require_enough(parts: int, rate: float | None) -> None:
    """Raise InputError if `parts` nominal parts are too few for a false-reject rate; the message says how many do."""
    if rate is not None and parts < parts_needed(rate):
        raise InputError(
            f"--target-false-reject-rate {rate:g} needs {parts_needed(rate)} nominal validation parts; "
            f"the {parts} found support no rate below {rounded_up(smallest_supported_rate(parts)):g}"
        )


def threshold_from(
    scores: Sequence[float], wanted: Wanted, origin: ThresholdOrigin | None = None
) -> ThresholdSection:
    """Compute the limits of the score from the scores of nominal parts. Raises InputError for an empty grey band."""
    rate = wanted.rate_for(len(scores))
    fail_at = conformal_threshold(scores, rate) if rate is not None else wanted.fail_at
    grey_from = wanted.grey_from
    if rate is not None and wanted.grey_rate is not None:
        grey_from = conformal_threshold(scores, rate + wanted.grey_rate)
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
        supported_false_reject_rate=smallest_supported_rate(len(scores)),
        validation_parts=len(scores),
        validation_scores=tuple(scores),
        origin=origin,
    )


def nominal_px_from(pixels: Sequence[int]) -> int:
    """Return the number of foreground pixels of the median part."""
    return max(1, round(median(pixels)))


def coverage_from(nominal_px: int, pixels: Sequence[int], minimum: float | None = None) -> CoverageSection:
    """Compute the minimum 3D coverage: `minimum` if given, else `COVERAGE_MARGIN` of the nominal part with least."""
    if minimum is None:
        minimum = round(min(1.0, COVERAGE_MARGIN * min(pixels) / nominal_px), 4)
    return CoverageSection(minimum=minimum, nominal_median_px=nominal_px)


def rounded_up(rate: float) -> float:
    """Round a smallest rate up to six decimal places, so that it is accepted when typed in again."""
    return math.ceil(rate * 1e6 - 1e-3) / 1e6
