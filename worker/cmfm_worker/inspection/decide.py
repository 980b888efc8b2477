"""From a score to a verdict, by the recipe alone; the deadline has its say later (`desk.py`)."""

import math

from cmfm_protocol.wire.verdict import Reason, Verdict
from cmfm_worker.recipes.recipe import Recipe


def decide(score: float, coverage: float | None, recipe: Recipe) -> tuple[Verdict, Reason]:
    """The verdict on a part by its score, normalised as the recipe says, and coverage (`CoverageSection`).

    In this order: a score that is no finite number is a FAULT; too little 3D is UNDECIDED whatever the
    score, since what was not measured was not inspected; then the threshold and the grey band below it.
    `coverage` None means that the recipe does not know its parts' size. Raises ValueError for a recipe
    without a threshold.
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
