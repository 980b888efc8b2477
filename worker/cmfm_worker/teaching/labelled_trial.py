"""Counts what limits would have done on labelled parts: escapes, false rejects and UNDECIDED, with intervals.

The counts decide nothing. An interval holds only for limits that were fixed before anyone looked at the counted
parts; if limits are chosen by these counts, the intervals are too narrow.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from cmfm_protocol.wire.verdict import Verdict
from cmfm_worker.cfm.metrics.binomial import Share
from cmfm_worker.datasets.scored import ScoredPart
from cmfm_worker.recipes.recipe import Recipe
from cmfm_worker.recipes.sections import ThresholdSection
from cmfm_worker.teaching.simulated_trial import SimulatedTrial
from cmfm_worker.teaching.trade_off import trade_offs

ALL_DEFECTS = "all defects"


@dataclass(frozen=True, slots=True)
class KindTally:
    """The verdicts on the parts of one label: "good", a kind of defect, or all defective parts together."""

    kind: str
    good: bool
    verdicts: Counter[Verdict]

    @property
    def parts(self) -> int:
        """Number of parts."""
        return self.verdicts.total()

    @property
    def mistakes(self) -> Share:
        """Wrong verdicts: for defective parts escapes (PASS), for good ones false rejects (anything but PASS)."""
        passed = self.verdicts[Verdict.PASS]
        return Share(self.parts - passed if self.good else passed, self.parts)

    def share(self, verdict: Verdict) -> Share:
        """Share of the parts with that verdict."""
        return Share(self.verdicts[verdict], self.parts)


@dataclass(frozen=True, slots=True)
class CurvePoint:
    """A false-reject rate, its threshold and the mistakes it would have made; `asked`: it is the recipe's own rate."""

    false_reject_rate: float
    fail_at: float
    escapes: Share
    false_rejects: Share
    asked: bool


def tally_kinds(parts: Sequence[ScoredPart], recipe: Recipe) -> list[KindTally]:
    """Tally the good parts, each kind of defect, and all defective parts together if there are several kinds."""
    defective = [part for part in parts if not part.good]
    kinds = sorted({part.defect for part in defective})
    groups = [[part for part in parts if part.good]]
    groups += [[part for part in defective if part.defect == kind] for kind in kinds]
    tallies = [_tally(group[0].defect, group, recipe) for group in groups if group]
    return [*tallies, _tally(ALL_DEFECTS, defective, recipe)] if len(kinds) > 1 else tallies


def curve(labelled: Sequence[ScoredPart], recipe: Recipe) -> list[CurvePoint]:
    """Compute the mistakes at the false-reject rates that are shown of a recipe's threshold, the smallest rate first.

    The recipe's limits apply, its grey band does not. Without a threshold there is no point.
    """
    if recipe.threshold is None:
        return []
    points = trade_offs(recipe.threshold, SimulatedTrial())
    return [_point(labelled, recipe, each.rate, each.fail_at, each.asked) for each in reversed(points)]


def _tally(kind: str, parts: Sequence[ScoredPart], recipe: Recipe) -> KindTally:
    return KindTally(kind, parts[0].good, Counter(part.verdict(recipe) for part in parts))


def _point(
    labelled: Sequence[ScoredPart], recipe: Recipe, rate: float, fail_at: float, asked: bool
) -> CurvePoint:
    other = recipe.model_copy(update={"threshold": ThresholdSection(fail_at=fail_at)})
    passed = {True: 0, False: 0}
    for part in labelled:
        passed[part.good] += part.verdict(other) is Verdict.PASS
    good = sum(part.good for part in labelled)
    return CurvePoint(
        false_reject_rate=rate,
        fail_at=fail_at,
        escapes=Share(passed[False], len(labelled) - good),
        false_rejects=Share(good - passed[True], good),
        asked=asked,
    )
