"""Compares a part with its recipe's limits: is it in view, alone, whole, and like the parts that were taught?

A part outside a limit was not inspected as the recipe's threshold means it, so its score does not decide.
"""

import math
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from cmfm_protocol.wire.verdict import Reason
from cmfm_worker.inspection.measures import PartMeasures
from cmfm_worker.recipes.limits_section import LimitsSection
from cmfm_worker.recipes.recipe import Recipe
from cmfm_worker.recipes.sections import CoverageSection


class Deviation(NamedTuple):
    """A limit that a part does not keep, and both numbers in words."""

    reason: Reason
    detail: str


def deviation(part: PartMeasures, coverage: CoverageSection, limits: LimitsSection) -> Deviation | None:
    """Return the first limit that the part does not keep, None if it keeps all that there are.

    The order tells causes before their effects: a part that leaves the picture also lacks area, and a part with a gap
    falls apart into pieces. The measured field comes last, because a sensor that misses half of a frame also measures a
    smaller field.
    """
    return next(
        (found for found in _deviations(part, coverage, limits) if found.reason not in limits.off), None
    )


def unlike_taught(score: float, level: float, recipe: Recipe) -> Deviation | None:
    """Return the deviation of a part that is unusual all over; None for one that is not, or has a clear defect.

    Its Ψ is high on average: another product, another side up, another lamp. A defect is clear if it stands out even
    from such a part, as it would on a nominal one (`relative_score`).
    """
    limit, threshold = recipe.limits.level, recipe.threshold
    if limit is None or level <= limit or Reason.UNLIKE_TAUGHT in recipe.limits.off:
        return None
    if threshold is not None and relative_score(score, level, recipe) >= threshold.fail_at:
        return None
    return Deviation(Reason.UNLIKE_TAUGHT, f"mean Ψ of the part {level:.4g}, nominal at most {limit:.4g}")


def relative_score(score: float, level: float, recipe: Recipe) -> float:
    """Return the score that a part would have if all of its Ψ were divided so far that its level is a nominal one.

    `level` must exceed the nominal ones. Recipes that divide Ψ by its level have divided it by the upper end of their
    range; for others the usual level of nominal parts is taken. A `published` score is already over the level's root.
    """
    usual = recipe.score.level_range[1] if recipe.score.level_range else recipe.limits.usual_level
    nominal = (usual or level) / level
    return score * (math.sqrt(nominal) if recipe.score.normalisation == "published" else nominal)


def _deviations(part: PartMeasures, coverage: CoverageSection, limits: LimitsSection) -> Iterator[Deviation]:
    around = part.around
    sizes, shapes = _outside(_sizes(part, coverage, limits)), _outside(_shapes(part, limits))
    if limits.edge_px is not None and around.edge_px < limits.edge_px:
        what = f"{around.edge_px} px from the edge of the picture, nominal parts at least {limits.edge_px}"
        yield Deviation(Reason.OUT_OF_VIEW, what)
    yield from sizes.below
    if not sizes.above:  # two parts that touch are large, and fill their outline less
        yield from shapes.below
    if limits.pieces is not None and around.pieces > limits.pieces[1]:
        what = f"{around.pieces} pieces above the tray, nominal at most {limits.pieces[1]}"
        yield Deviation(Reason.UNEXPECTED_PIECE, what)
    if limits.beside_px is not None and around.beside_px > limits.beside_px:
        what = f"a piece of {around.beside_px} px beside the part, nominal at most {limits.beside_px}"
        yield Deviation(Reason.UNEXPECTED_PIECE, what)
    yield from (*sizes.above, *shapes.below, *shapes.above)
    if limits.field_px is not None and around.field_px < limits.field_px:
        what = f"{around.field_px} px from the edge of the measured field, nominal parts at least {limits.field_px}"
        yield Deviation(Reason.OUT_OF_VIEW, what)


class _Compared(NamedTuple):
    name: str
    value: float
    limits: tuple[float, float] | None


class _Outside(NamedTuple):
    below: list[Deviation]
    above: list[Deviation]


def _sizes(part: PartMeasures, coverage: CoverageSection, limits: LimitsSection) -> Iterator[_Compared]:
    if coverage.nominal_median_px is not None:
        most = math.inf if coverage.maximum is None else coverage.maximum
        yield _Compared("3D coverage", part.area_px / coverage.nominal_median_px, (coverage.minimum, most))
    yield _Compared("outline in px", part.outline_px, limits.outline_px)
    yield _Compared("length in px", part.length_px, limits.length_px)
    if limits.pieces is not None:
        yield _Compared("pieces above the tray", part.around.pieces, (limits.pieces[0], math.inf))


def _shapes(part: PartMeasures, limits: LimitsSection) -> Iterator[_Compared]:
    yield _Compared("share of the outline with 3D", part.filled, limits.filled)
    yield _Compared("area over the square of the length", part.compactness, limits.compactness)


def _outside(compared: Iterable[_Compared]) -> _Outside:
    """Return the deviations below and above the limits; a value that is no number is below them."""
    below, above = [], []
    for name, value, limits in compared:
        if limits is None:
            continue
        if not value >= limits[0]:
            below.append(
                Deviation(Reason.LOW_COVERAGE, f"{name} {value:.5g}, nominal at least {limits[0]:.5g}")
            )
        if value > limits[1]:
            above.append(
                Deviation(Reason.HIGH_COVERAGE, f"{name} {value:.5g}, nominal at most {limits[1]:.5g}")
            )
    return _Outside(below, above)
