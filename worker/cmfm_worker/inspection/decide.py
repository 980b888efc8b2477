"""Decides the verdict on a part from its score and coverage. Deadlines are applied later, in `line.verdicts`."""

import math

from cmfm_protocol.wire.verdict import Reason, Verdict
from cmfm_worker.recipes.recipe import Recipe


def decide(score: float, coverage: float | None, recipe: Recipe) -> tuple[Verdict, Reason]:
    """Decide by the score, in the recipe's normalisation, and by the coverage (`CoverageSection`).

    The rules apply in this order. A score that is not finite is a FAULT. Too little 3D is UNDECIDED whatever the
    score: what was not measured was not inspected. Then threshold and grey band decide. `coverage` None means that
    the recipe does not know the size of its parts. Raises ValueError for a recipe without a threshold.
    """
    threshold = recipe.threshold
    if threshold is None:
        raise ValueError(f"recipe {recipe.name!r} has no threshold to decide by")
    if not math.isfinite(score):
        return Verdict.FAULT, Reason.WORKER_ERROR
    if coverage is not None and not coverage >= recipe.coverage.minimum:
        return Verdict.UNDECIDED, Reason.LOW_COVERAGE
    if score >= threshold.fail_at:
        return Verdict.FAIL, Reason.ABOVE_THRESHOLD
    if threshold.grey_from is not None and score >= threshold.grey_from:
        return Verdict.UNDECIDED, Reason.GREY_BAND
    return Verdict.PASS, Reason.BELOW_THRESHOLD
