"""New limits for a recipe from nominal parts; networks, score and model_sha stay as they are."""

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
from cmfm_worker.teaching.limits import Wanted, coverage_from, nominal_px_from, threshold_from


@dataclass(frozen=True, slots=True)
class Calibration:
    """A recipe before and after, the nominal parts behind it, and labelled parts to look at (maybe none)."""

    before: Recipe
    recipe: Recipe
    threshold: ThresholdSection
    nominal: tuple[ScoredPart, ...]
    labelled: tuple[ScoredPart, ...] = ()

    @property
    def unlucky_rate(self) -> float | None:
        """The true false-reject rate that 19 of 20 sets of so many parts stay below; None where a score was given."""
        rate = self.threshold.target_false_reject_rate
        return None if rate is None else unlucky_rate(len(self.nominal), rate)

    @property
    def nominal_failed(self) -> Share:
        """Of the nominal parts themselves those that would FAIL: an estimate where the threshold was given."""
        return self._nominal(Verdict.FAIL)

    @property
    def nominal_undecided(self) -> Share:
        """Of the nominal parts themselves those that would be UNDECIDED, by score or coverage."""
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
    """The recipe with limits from nominal parts alone; `labelled` parts decide nothing.

    The size of a nominal part stays the one that was taught, where the recipe knows it. Raises InputError naming
    nominal parts that cannot be inspected, and where the limits asked for contradict each other.
    """
    require_inspectable(nominal)
    pixels = [part.foreground_px for part in nominal]
    nominal_px = recipe.coverage.nominal_median_px or nominal_px_from(pixels)
    threshold = threshold_from([part.score for part in nominal], wanted, origin)
    coverage = coverage_from(nominal_px, pixels, wanted.minimum_coverage)
    changed = recipe.model_copy(update={"threshold": threshold, "coverage": coverage})
    return Calibration(recipe, changed, threshold, tuple(nominal), tuple(labelled))


def origin_of(wanted: Wanted, source: str, device: torch.device, precision: Precision) -> ThresholdOrigin:
    """What a recipe keeps of how its limits were set, now, on this machine."""
    grey_given = wanted.grey_from is not None
    return ThresholdOrigin(
        set_at=datetime.now(UTC).isoformat(timespec="seconds"),
        parts=source,
        fail_at="conformal" if wanted.fail_at is None else "given",
        grey_from="given" if grey_given else "none" if wanted.grey_rate is None else "conformal",
        minimum_coverage="least nominal" if wanted.minimum_coverage is None else "given",
        device=str(device),
        precision=precision,
        torch=torch.__version__,
        cmfm=version("cmfm"),
    )
