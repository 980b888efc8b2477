"""Scores parts of a data set by the code path of the line, without keeping maps; gives verdicts under any limits."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from cmfm_protocol.files.dataset import GOOD, PartFiles
from cmfm_protocol.wire.points import PointFacts
from cmfm_protocol.wire.verdict import Verdict
from cmfm_worker.cfm.progress import ReportProgress
from cmfm_worker.datasets.source import FROM_FILES, PartSource
from cmfm_worker.errors import InputError
from cmfm_worker.inspection.decide import decide
from cmfm_worker.inspection.inspector import Inspector
from cmfm_worker.inspection.measures import PartMeasures, measure_frames
from cmfm_worker.inspection.result import Problem
from cmfm_worker.recipes.loaded_model import LoadedModel
from cmfm_worker.recipes.recipe import Recipe


@dataclass(frozen=True, slots=True)
class ScoredPart:
    """The score and the measures of one part. With a `problem` it has no verdict.

    `size_px` is height and width of its pictures, `points` what the points of its file were like. `level` is the mean
    of Ψ over the part, before the recipe divided Ψ by it.
    """

    id: str
    defect: str
    score: float
    measures: PartMeasures
    size_px: tuple[int, int]
    points: PointFacts
    problem: str | None = None
    level: float = math.nan

    @property
    def impossible_px(self) -> int:
        """Number of impossible points in its file."""
        return self.points.impossible_px

    @property
    def good(self) -> bool:
        """True if the part is nominal by its label."""
        return self.defect == GOOD

    def verdict(self, recipe: Recipe) -> Verdict:
        """Return the line's verdict, deadlines aside: FAULT if the part cannot be inspected, else the recipe's."""
        if self.problem is not None:
            return Verdict.FAULT
        return decide(self.score, self.level, self.measures, recipe).verdict


def score_parts(
    inspector: Inspector,
    model: LoadedModel,
    parts: Sequence[PartFiles],
    *,
    batch: int,
    stage: str,
    progress: ReportProgress,
    source: PartSource = FROM_FILES,
) -> list[ScoredPart]:
    """Score every part in the given order, prepared by `source`; `model` needs no threshold.

    Raises DatasetError naming an unreadable file, InputError if `source` does not have a part.
    """
    scored: list[ScoredPart] = []
    background = model.recipe.background.options()
    for some in source.batches(parts, batch, background, inspector.extractor.device):
        found = inspector.inspect_prepared(some.frames, [model] * len(some.files))
        scores, levels = found.score.tolist(), found.level.tolist()
        measures = measure_frames(some.frames)
        others = [model.recipe.frame.difference(*some.size_px, each.distance_m) for each in some.points]
        problems = [
            other or _problem(*both) for other, *both in zip(others, found.problems, scores, strict=True)
        ]
        scored += [
            ScoredPart(files.id, files.defect, score, of_part, some.size_px, points, problem, level)
            for files, score, of_part, problem, points, level in zip(
                some.files, scores, measures, problems, some.points, levels, strict=True
            )
        ]
        progress(stage, len(scored), len(parts))
    return scored


def _problem(problem: Problem | None, score: float) -> str | None:
    if problem is not None:
        return problem.detail
    return None if math.isfinite(score) else "its score is not a finite number"


def require_inspectable(nominal: Sequence[ScoredPart]) -> None:
    """Raise InputError naming every part that cannot be inspected or whose score is not finite."""
    refuse_uninspectable([f"{part.id}: {part.problem}" for part in nominal if part.problem is not None])


def refuse_uninspectable(bad: Sequence[str]) -> None:
    """Raise InputError if there are nominal parts that cannot be inspected; `bad` names each with its reason."""
    if bad:
        raise InputError(
            "these nominal parts cannot be inspected; record them again or remove them:\n" + "\n".join(bad)
        )
