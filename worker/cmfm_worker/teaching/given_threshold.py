"""A threshold that a person gives, set in a recipe without looking at a part again.

The nominal scores of the recipe stay, so the rate of false rejects that the new threshold means is known at once.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version

from cmfm_worker.cfm.metrics.binomial import Share
from cmfm_worker.cfm.metrics.rate_interval import rate_interval
from cmfm_worker.errors import InputError
from cmfm_worker.recipes.recipe import Recipe
from cmfm_worker.recipes.sections import ThresholdOrigin, ThresholdSection
from cmfm_worker.teaching.expected_rate import expected_rate
from cmfm_worker.teaching.limits import Wanted, threshold_from


@dataclass(frozen=True, slots=True)
class FalseRejects:
    """What a threshold means for good parts: the nominal parts at or above it, and the rate expected of others.

    `rate` is None and `interval` unknown for a recipe without nominal scores.
    """

    nominal: Share
    rate: float | None
    interval: tuple[float, float] | None


def given_threshold(recipe: Recipe, fail_at: float, grey_from: float | None) -> ThresholdSection:
    """Return the recipe's threshold with scores that a person gives; `grey_from` None is no grey band.

    Raises InputError for a recipe without a threshold, whose scores nobody has seen, and for an empty band.
    """
    before = recipe.threshold
    if before is None:
        raise InputError(
            f"recipe {recipe.name!r} has no threshold and no nominal scores; set one from good parts with "
            "`cmfm-worker calibrate`"
        )
    wanted = Wanted(fail_at=fail_at, grey_from=grey_from, method="tail")
    origin = _origin(recipe, before, grey_given=grey_from is not None)
    return threshold_from(before.validation_scores, wanted, origin, before.out_of_fold_scores)


def false_rejects(threshold: ThresholdSection, fail_at: float) -> FalseRejects:
    """Return what a threshold at `fail_at` means for good parts, by the nominal scores of `threshold`."""
    scores = threshold.nominal_scores
    share = Share(sum(score >= fail_at for score in scores), len(scores))
    if not scores:
        return FalseRejects(share, None, None)
    rate = expected_rate(scores, fail_at)
    return FalseRejects(share, rate, rate_interval(rate, len(scores)))


def _origin(recipe: Recipe, before: ThresholdSection, *, grey_given: bool) -> ThresholdOrigin:
    """Return the record of the change. Parts and device are those that the nominal scores come from."""
    made, known = recipe.provenance, before.origin
    return ThresholdOrigin(
        set_at=datetime.now(UTC).isoformat(timespec="seconds"),
        parts=known.parts if known else "/".join(part for part in (made.dataset, made.category) if part),
        fail_at="given",
        grey_from="given" if grey_given else "none",
        minimum_coverage=known.minimum_coverage if known else "nominal parts",
        device=known.device if known else made.device,
        precision=known.precision if known else made.precision,
        torch=known.torch if known else made.torch,
        cmfm=version("cmfm"),
    )
