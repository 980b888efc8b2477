"""Decides the verdict on a part from its score and coverage. Deadlines are applied later, in `line.verdicts`."""

import math

from cmfm_protocol.wire.verdict import Reason, Verdict
from cmfm_worker.recipes.recipe import Recipe


def decide(
    score: float, coverage: float | None, recipe: Recipe, calib_id: str | None = None
) -> tuple[Verdict, Reason]:
    """Return the verdict on a part by its score, normalised as the recipe says, and coverage (`CoverageSection`).

    The rules in order: a score that is not finite is a FAULT. A frame of another calibration than the recipe's is
    UNDECIDED, because the recipe was taught on other geometry. Too little 3D is UNDECIDED whatever the score, because
    an area that was not measured was not inspected. Then come the threshold and the grey band below it.

    `coverage` None means that the recipe does not know the size of its parts. `calib_id` is the frame's; None means
    that the part comes from a data set, which has none, and is not compared. Raises ValueError for a recipe without a
    threshold.
    """
    threshold = recipe.threshold
    if threshold is None:
        raise ValueError(f"recipe {recipe.name!r} has no threshold to decide by")
    if not math.isfinite(score):
        return Verdict.FAULT, Reason.WORKER_ERROR
    if calib_id is not None and recipe.calibration.id not in ("", calib_id):
        return Verdict.UNDECIDED, Reason.OTHER_CALIBRATION
    if coverage is not None and not coverage >= recipe.coverage.minimum:
        return Verdict.UNDECIDED, Reason.LOW_COVERAGE
    if score >= threshold.fail_at:
        return Verdict.FAIL, Reason.ABOVE_THRESHOLD
    if threshold.grey_from is not None and score >= threshold.grey_from:
        return Verdict.UNDECIDED, Reason.GREY_BAND
    return Verdict.PASS, Reason.BELOW_THRESHOLD
