"""Decides the verdict on a part from its score and its measures. Deadlines are applied later, in `line.verdicts`."""

import math
from typing import NamedTuple

from cmfm_protocol.wire.verdict import Reason, Verdict
from cmfm_worker.inspection.measures import PartMeasures
from cmfm_worker.inspection.nominal_limits import deviation, unlike_taught
from cmfm_worker.recipes.recipe import Recipe


class Judgement(NamedTuple):
    """A verdict, its reason, and for people which limit was passed by how much ("" where the reason says all)."""

    verdict: Verdict
    reason: Reason
    detail: str = ""


def decide(
    score: float, level: float, measures: PartMeasures, recipe: Recipe, calib_id: str | None = None
) -> Judgement:
    """Return the verdict on a part by its score, normalised as the recipe says, its level and its measures.

    The rules in order; the first that applies decides (WIRE.md, verdicts):

    1. A score that is not finite is a FAULT.
    2. A frame of another calibration than the recipe's is UNDECIDED, because the recipe was taught on other geometry.
    3. A part outside a limit of `[coverage]` or `[limits]` is UNDECIDED whatever the score: what is not in view, not
       measured or not of the part was not inspected, and its edges can raise the score of a good part.
    4. A part that is unusual all over is UNDECIDED, unless a defect clearly stands out from it (`unlike_taught`).
    5. The threshold: FAIL at or above it, UNDECIDED in the grey band below it, else PASS.

    `level` is the mean of Ψ over the part, before the recipe divided Ψ by it. `calib_id` is the frame's; None means
    that the part comes from a data set, which has none, and is not compared. Raises ValueError for a recipe without a
    threshold.
    """
    threshold = recipe.threshold
    if threshold is None:
        raise ValueError(f"recipe {recipe.name!r} has no threshold to decide by")
    if not math.isfinite(score):
        return Judgement(Verdict.FAULT, Reason.WORKER_ERROR, "its score is not a finite number")
    if calib_id is not None and recipe.calibration.id not in ("", calib_id):
        return Judgement(Verdict.UNDECIDED, Reason.OTHER_CALIBRATION, _calibration(recipe))
    outside = deviation(measures, recipe.coverage, recipe.limits) or unlike_taught(score, level, recipe)
    if outside is not None:
        return Judgement(Verdict.UNDECIDED, *outside)
    if score >= threshold.fail_at:
        return Judgement(Verdict.FAIL, Reason.ABOVE_THRESHOLD)
    if threshold.grey_from is not None and score >= threshold.grey_from:
        return Judgement(Verdict.UNDECIDED, Reason.GREY_BAND)
    return Judgement(Verdict.PASS, Reason.BELOW_THRESHOLD)


def _calibration(recipe: Recipe) -> str:
    """The recipe's side of the mismatch; the frame's `calib_id` is in the result. Short enough for the wire."""
    return f"the recipe is for calibration {recipe.calibration.id[:48]!r}"
