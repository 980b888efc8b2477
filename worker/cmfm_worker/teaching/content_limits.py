"""Learns the limits of what a part may be like from nominal parts (`recipes.limits_section`); used by `fit` and
`calibrate`.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Final

from cmfm_worker.cfm.metrics.outliers import outlier_limit
from cmfm_worker.inspection.measures import PartMeasures
from cmfm_worker.inspection.nominal_limits import deviation
from cmfm_worker.recipes.limits_section import ContentReason, LimitsSection
from cmfm_worker.recipes.sections import CoverageSection
from cmfm_worker.teaching.nominal_range import Bound, lower_bound, upper_bound

FALSE_ALARMS: Final = 0.02
"""Share of good parts that may be outside the limits, all limits together, where there are enough parts to say so."""

SIDES: Final = 16
"""Number of bounds that share it: two sides of six ranges, and four limits with one side."""

SIZE_MARGIN: Final = 0.05
"""Least margin of areas and lengths beyond the nominal parts, as a share of them."""

FILLED_MARGIN: Final = 0.03
"""Least margin of the share of the outline that has 3D."""

LEVEL_MARGIN: Final = 0.15
"""Least margin of the mean Ψ, as a share of it."""

EDGE_MARGIN_PX: Final = 2.0
"""Least margin of distances to an edge: the mask of a part differs by a pixel or two from frame to frame."""

MOST_LEFT_OUT: Final = 500
"""With more parts the model of the tails extrapolates little, and leaving out each of them would take many seconds."""

BESIDE_SHARE: Final = 0.01
"""Least margin of a piece beside the part, as a share of the part: reflections and fluff are smaller."""


def content_limits(
    nominal_px: int,
    parts: Sequence[PartMeasures],
    levels: Sequence[float],
    minimum_coverage: float | None = None,
    off: Sequence[ContentReason] = (),
) -> tuple[CoverageSection, LimitsSection]:
    """Learn the sections `[coverage]` and `[limits]` from nominal parts.

    `nominal_px` are the pixels of the median part, `levels` the mean Ψ of nominal parts that the networks were not
    fitted on. `minimum_coverage`, if given, is taken as it is; `off` is passed on. Limits that say nothing are left
    out: the distance to an edge that nominal parts touch, levels that are not positive. Raises ValueError without
    parts.
    """
    coverage, limits = _learned_from(nominal_px, parts, levels, minimum_coverage)
    shares = tuple(round(part.area_px / nominal_px, 5) for part in parts)
    return coverage.model_copy(update={"nominal": shares}), limits.model_copy(
        update={"off": tuple(off), "left_out_outside": _left_out_outside(nominal_px, parts)}
    )


def _left_out_outside(nominal_px: int, parts: Sequence[PartMeasures]) -> int | None:
    """Return how many parts are outside the limits that all others give; None for one part and for very many."""
    if not 2 <= len(parts) <= MOST_LEFT_OUT:
        return None
    outside = 0
    for i, part in enumerate(parts):
        limits = _learned_from(nominal_px, [*parts[:i], *parts[i + 1 :]], [], None)
        outside += deviation(part, *limits) is not None
    return outside


def _learned_from(
    nominal_px: int, parts: Sequence[PartMeasures], levels: Sequence[float], minimum_coverage: float | None
) -> tuple[CoverageSection, LimitsSection]:
    learned = _Learned()
    least, most = learned.factors([part.area_px / nominal_px for part in parts], SIZE_MARGIN)
    if minimum_coverage is None:
        minimum_coverage = min(1.0, round(least, 4))
    coverage = CoverageSection(
        minimum=minimum_coverage, maximum=max(minimum_coverage, round(most, 4)), nominal_median_px=nominal_px
    )
    limits = LimitsSection(
        edge_px=learned.distance([part.around.edge_px for part in parts]),
        field_px=learned.distance([part.around.field_px for part in parts]),
        pieces=learned.counts([part.around.pieces for part in parts]),
        beside_px=math.floor(
            learned.most([part.around.beside_px for part in parts], BESIDE_SHARE * nominal_px)
        ),
        outline_px=_rounded(learned.factors([part.outline_px for part in parts], SIZE_MARGIN), 1),
        length_px=_rounded(learned.factors([part.length_px for part in parts], SIZE_MARGIN), 1),
        filled=_rounded(learned.shares([part.filled for part in parts], FILLED_MARGIN), 4),
        compactness=_rounded(learned.factors([part.compactness for part in parts], SIZE_MARGIN), 4),
        level=learned.level(levels),
        usual_level=float(f"{median(levels):.5g}") if levels and min(levels) > 0 else None,
        nominal_parts=len(parts),
        expected_rate=0.0,
    )
    return coverage, limits.model_copy(update={"expected_rate": round(min(learned.expected, 1.0), 4)})


@dataclass(slots=True)
class _Learned:
    """Learns one bound after the other, and adds up the share of good parts that is expected outside."""

    rate: float = FALSE_ALARMS / SIDES
    expected: float = 0.0

    def most(self, values: Sequence[float], margin: float, cap: float = math.inf) -> float:
        """Return an upper bound."""
        return self._counted(upper_bound(values, self.rate, margin, cap))

    def least(self, values: Sequence[float], margin: float, floor: float = -math.inf) -> float:
        """Return a lower bound."""
        return self._counted(lower_bound(values, self.rate, margin, floor))

    def factors(self, values: Sequence[float], margin: float) -> tuple[float, float]:
        """Return both bounds of positive values; the margins are factors."""
        logarithms = [math.log(value) for value in values]
        return math.exp(self.least(logarithms, margin)), math.exp(self.most(logarithms, margin))

    def shares(self, values: Sequence[float], margin: float) -> tuple[float, float]:
        """Return both bounds of values from 0 to 1."""
        return self.least(values, margin, 0.0), self.most(values, margin, 1.0)

    def counts(self, values: Sequence[int]) -> tuple[int, int]:
        """Return both bounds of whole numbers; equal numbers have no margin."""
        return max(math.ceil(self.least(values, 0.0)), 0), math.floor(self.most(values, 0.0))

    def distance(self, values: Sequence[int]) -> int | None:
        """Return the least distance to an edge, at least 1 pixel; None where nominal parts touch the edge."""
        if min(values) < 1:
            return None
        return math.ceil(self.least(values, EDGE_MARGIN_PX, 1.0))

    def level(self, values: Sequence[float]) -> float | None:
        """Return the greatest level, None where levels are unknown or not positive.

        A level far out of the tail of the others is left out: a mislabelled part must not widen the limit.
        """
        if not values or min(values) <= 0:
            return None
        outlying = outlier_limit(values)
        logarithms = [math.log(value) for value in values if outlying is None or value <= outlying]
        return float(f"{math.exp(self.most(logarithms, LEVEL_MARGIN)):.5g}")

    def _counted(self, bound: Bound) -> float:
        self.expected += bound.rate
        return bound.value


def _rounded(limits: tuple[float, float], digits: int) -> tuple[float, float]:
    return round(limits[0], digits), round(limits[1], digits)
