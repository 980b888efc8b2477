"""Threshold, grey band and minimum coverage from what was found on nominal parts; `fit` and `calibrate` share them.

Nothing here sees a defective part. What the rates promise, and what not, is said in `cfm.threshold` and in
docs/calibration.md.
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
"""The minimum 3D coverage as a share of the nominal part that shows least: natural variation stays well above
it, a part with half of its 3D missing well below."""

_ROUNDING: Final = 1e-9


@dataclass(frozen=True, slots=True)
class Wanted:
    """Limits as a person asks for them; all None: the smallest false-reject rate supported, and no grey band.

    `false_reject_rate` is the share of nominal parts that may FAIL, `grey_rate` the share that may be UNDECIDED by
    their score besides. `fail_at` and `grey_from` are scores instead, `minimum_coverage` a share of the nominal 3D.
    """

    false_reject_rate: float | None = None
    grey_rate: float | None = None
    fail_at: float | None = None
    grey_from: float | None = None
    minimum_coverage: float | None = None

    def rate_for(self, parts: int) -> float | None:
        """The false-reject rate that so many nominal parts set the threshold for; None where a score is given."""
        if self.fail_at is not None:
            return None
        return smallest_supported_rate(parts) if self.false_reject_rate is None else self.false_reject_rate

    def require_supported(self, parts: int) -> None:
        """Raise InputError, naming the option and what would do, where so few parts cannot support a rate."""
        require_enough(parts, self.false_reject_rate)
        rate = self.rate_for(parts)
        if self.grey_rate is None or rate is None:
            return
        smallest = smallest_grey_rate(parts, rate)
        if rate + max(smallest, self.grey_rate) > 1.0 - _ROUNDING:
            raise InputError(
                f"--grey-rate {self.grey_rate:g}: {parts} nominal parts leave nothing to PASS below a band of that "
                f"share beside a false-reject rate of {rate:.4g}; bring more parts, or ask for smaller rates"
            )
        if self.grey_rate < smallest - _ROUNDING:
            raise InputError(
                f"--grey-rate {self.grey_rate:g} needs more than {parts} nominal parts: beside a false-reject rate "
                f"of {rate:.4g} they support no grey rate below {rounded_up(smallest):g}"
            )


def require_enough(parts: int, rate: float | None) -> None:
    """Raise InputError where `parts` nominal parts cannot support a false-reject rate; says how many would."""
    if rate is not None and parts < parts_needed(rate):
        raise InputError(
            f"--target-false-reject-rate {rate:g} needs {parts_needed(rate)} nominal validation parts; "
            f"the {parts} there support no rate below {rounded_up(smallest_supported_rate(parts)):g}"
        )


def threshold_from(
    scores: Sequence[float], wanted: Wanted, origin: ThresholdOrigin | None = None
) -> ThresholdSection:
    """The limits of the score, from the scores of nominal parts. Raises InputError where the band would be empty."""
    rate = wanted.rate_for(len(scores))
    fail_at = conformal_threshold(scores, rate) if rate is not None else wanted.fail_at
    grey_from = wanted.grey_from
    if rate is not None and wanted.grey_rate is not None:
        grey_from = conformal_threshold(scores, rate + wanted.grey_rate)
    if fail_at is None:
        raise ValueError("neither a rate nor a score to fail at")
    if grey_from is not None and grey_from >= fail_at:
        raise InputError(
            f"the grey band would be empty: it begins at {grey_from:.6g}, and a part FAILs from {fail_at:.6g} on"
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
    """Foreground pixels of the median part."""
    return max(1, round(median(pixels)))


def coverage_from(nominal_px: int, pixels: Sequence[int], minimum: float | None = None) -> CoverageSection:
    """The minimum 3D coverage: `COVERAGE_MARGIN` of the nominal part that shows least, unless one is given."""
    if minimum is None:
        minimum = round(min(1.0, COVERAGE_MARGIN * min(pixels) / nominal_px), 4)
    return CoverageSection(minimum=minimum, nominal_median_px=nominal_px)


def rounded_up(rate: float) -> float:
    """A smallest rate as it can be typed in again: six digits, never below."""
    return math.ceil(rate * 1e6 - 1e-3) / 1e6
