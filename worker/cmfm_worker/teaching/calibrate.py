"""Sets new limits of a recipe from nominal parts. Networks, score and model_sha do not change."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version

import torch

from cmfm_protocol.wire.verdict import Verdict
from cmfm_worker.cfm.fast.precision import Precision
from cmfm_worker.cfm.metrics.binomial import Share
from cmfm_worker.cfm.metrics.threshold import unlucky_rate
from cmfm_worker.datasets.scored import ScoredPart, require_inspectable
from cmfm_worker.recipes.recipe import Recipe
from cmfm_worker.recipes.sections import ThresholdOrigin, ThresholdSection
from cmfm_worker.teaching.content_limits import content_limits
from cmfm_worker.teaching.geometry import filled
from cmfm_worker.teaching.limits import Wanted, nominal_px_from, threshold_from


@dataclass(frozen=True, slots=True)
class Calibration:
    """A recipe before and after calibration, the nominal parts used, and labelled parts for reporting (optional)."""

    before: Recipe
    recipe: Recipe
    threshold: ThresholdSection
    nominal: tuple[ScoredPart, ...]
    labelled: tuple[ScoredPart, ...] = ()

    @property
    def unlucky_rate(self) -> float | None:
        """The false-reject rate that 19 of 20 sets of as many parts stay below, of a conformal threshold; else None."""
        rate = self.threshold.target_false_reject_rate
        if rate is None or self.threshold.method != "conformal":
            return None
        return unlucky_rate(len(self.nominal), rate)

    @property
    def nominal_failed(self) -> Share:
        """Share of the nominal parts that would FAIL: an estimate of the rate if the threshold was given."""
        return self._nominal(Verdict.FAIL)

    @property
    def nominal_undecided(self) -> Share:
        """Share of the nominal parts that would be UNDECIDED, by score or by another limit."""
        return self._nominal(Verdict.UNDECIDED)

    def _nominal(self, verdict: Verdict) -> Share:
        return Share(sum(part.verdict(self.recipe) is verdict for part in self.nominal), len(self.nominal))


def calibrate(
    recipe: Recipe,
    nominal: Sequence[ScoredPart],
    wanted: Wanted,
    origin: ThresholdOrigin,
    labelled: Sequence[ScoredPart] = (),
) -> Calibration:
    """Set the limits of a recipe from nominal parts alone; `labelled` parts are only passed on for reporting.

    Keeps the recipe's nominal part size, and the size and distance of its frames, if it has them. Raises InputError
    naming nominal parts that cannot be inspected, and if the requested limits contradict each other.
    """
    require_inspectable(nominal)
    measures = [part.measures for part in nominal]
    nominal_px = recipe.coverage.nominal_median_px or nominal_px_from([part.area_px for part in measures])
    threshold = threshold_from([part.score for part in nominal], wanted, origin)
    coverage, limits = content_limits(
        nominal_px, measures, [part.level for part in nominal], wanted.minimum_coverage, recipe.limits.off
    )
    new = {
        "threshold": threshold,
        "coverage": coverage,
        "limits": limits,
        "frame": filled(recipe.frame, nominal),
    }
    changed = recipe.model_copy(update=new)
    return Calibration(recipe, changed, threshold, tuple(nominal), tuple(labelled))


def origin_of(
    wanted: Wanted, source: str, parts: int, device: torch.device, precision: Precision
) -> ThresholdOrigin:
    """Return the record of how the limits were set: now, on this machine, from so many parts of `source`."""
    method = wanted.method_for(parts)
    grey_given = wanted.grey_from is not None
    return ThresholdOrigin(
        set_at=datetime.now(UTC).isoformat(timespec="seconds"),
        parts=source,
        fail_at=method,
        grey_from="given" if grey_given else "none" if wanted.grey_rate is None else method,
        minimum_coverage="nominal parts" if wanted.minimum_coverage is None else "given",
        device=str(device),
        precision=precision,
        torch=torch.__version__,
        cmfm=version("cmfm"),
    )
