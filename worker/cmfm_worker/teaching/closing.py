"""The end of `fit` and `calibrate`: what a threshold costs and catches, and which nominal parts to look at."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from cmfm_worker.cfm.extractor import Extractor
from cmfm_worker.cfm.progress import ReportProgress
from cmfm_worker.datasets.source import FROM_FILES, PartSource
from cmfm_worker.inspection.inspector import Inspector
from cmfm_worker.inspection.result import InspectedPart
from cmfm_worker.recipes.loaded_model import LoadedModel
from cmfm_worker.recipes.sections import ThresholdSection
from cmfm_worker.teaching.nominal_score import NominalScore
from cmfm_worker.teaching.simulated_trial import SimulatedTrial, try_simulated_defects
from cmfm_worker.teaching.suspects import Suspects, find_suspects

WORST: Final = 5
"""Number of nominal parts with the highest scores that a person should look at."""


@dataclass(frozen=True, slots=True)
class WorstPart:
    """A nominal part with a high score, as the networks that gave the score see it."""

    nominal: NominalScore
    seen: InspectedPart


@dataclass(frozen=True, slots=True)
class Closing:
    """The scores of nominal parts and of simulated defects, the parts to look at, and those that look mislabelled."""

    threshold: ThresholdSection
    nominal: tuple[NominalScore, ...]
    trial: SimulatedTrial
    worst: tuple[WorstPart, ...]
    suspects: Suspects


def closing_of(
    extractor: Extractor,
    model: LoadedModel,
    nominal: Sequence[NominalScore],
    *,
    simulated: int,
    batch: int,
    progress: ReportProgress,
    source: PartSource = FROM_FILES,
) -> Closing:
    """Try the threshold of `model` on `simulated` defects, and look at the nominal parts with the highest scores.

    Simulated defects are on parts that `model` has not seen; `paper` has none, because each would take it seconds.
    Reports the stages "simulate" and "worst".
    """
    threshold = model.recipe.threshold
    if threshold is None:
        raise ValueError("a recipe without a threshold has no closing report")
    inspector = Inspector(extractor)
    unseen = [each.part for each in nominal if each.seen != "out of fold"]
    trial = SimulatedTrial()
    if simulated and extractor.identity.preset != "paper":
        trial = try_simulated_defects(
            inspector, model, unseen, simulated, batch=batch, progress=progress, source=source
        )
    suspects = find_suspects(nominal)
    worst = _look_at_worst(inspector, model, nominal, progress, source)
    return Closing(threshold, tuple(nominal), trial, worst, suspects)


def _look_at_worst(
    inspector: Inspector,
    model: LoadedModel,
    nominal: Sequence[NominalScore],
    progress: ReportProgress,
    source: PartSource,
) -> tuple[WorstPart, ...]:
    highest = sorted(nominal, key=lambda each: -each.score)[:WORST]
    background, found = model.recipe.background.options(), list[WorstPart]()
    for each in highest:
        seen_by = replace(model, mapping=each.mapping)
        for some in source.batches([each.part], 1, background, inspector.extractor.device):
            part = inspector.inspect_prepared(some.frames, [seen_by]).parts()[0]
            found.append(WorstPart(each, part))
        progress("worst", len(found), len(highest))
    return tuple(found)
