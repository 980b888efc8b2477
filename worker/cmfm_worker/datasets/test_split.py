"""Inspects a test split with a recipe: results beside ground truth, and the verdicts that the line would give."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cmfm_protocol.files.dataset import DatasetError, PartFiles, read_part_ground_truth
from cmfm_protocol.wire.points import PointFacts
from cmfm_protocol.wire.verdict import Reason, Verdict
from cmfm_worker.cfm.metrics.evaluate import FrameOutcome, ground_truth_at_map_size
from cmfm_worker.cfm.progress import ReportProgress
from cmfm_worker.datasets.source import FROM_FILES, PartSource
from cmfm_worker.inspection.decide import decide
from cmfm_worker.inspection.inspector import Inspector
from cmfm_worker.inspection.result import InspectedPart
from cmfm_worker.recipes.loaded_model import LoadedModel
from cmfm_worker.recipes.recipe import Recipe


@dataclass(slots=True)
class Tally:
    """Counts the verdicts on a test split and their reasons, and names the parts that could not be inspected.

    An escape is a defective part that PASSes; a false reject is a good part that does not. `torn` maps parts whose
    files could not be read to the reason; they have no verdict. `impossible` maps parts to their number of impossible
    points, `other_geometry` those that the line would refuse to the reason: they are measured all the same.
    """

    verdicts: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    escapes: int = 0
    false_rejects: int = 0
    not_inspected: dict[str, str] = field(default_factory=dict)
    torn: dict[str, str] = field(default_factory=dict)
    impossible: dict[str, int] = field(default_factory=dict)
    other_geometry: dict[str, str] = field(default_factory=dict)
    decides: bool = True

    def add(self, files: PartFiles, part: InspectedPart, model: LoadedModel) -> None:
        """Count one part."""
        if part.problem is not None:
            self.not_inspected[files.id] = part.problem.detail
        if model.recipe.threshold is None:
            self.decides = False
            return
        passed = False
        if part.problem is not None or files.id in self.other_geometry:
            self.verdicts[Verdict.FAULT] += 1
            self.reasons[Reason.OTHER_GEOMETRY if part.problem is None else part.problem.reason] += 1
        else:
            verdict, reason, _ = decide(part.score, part.level, part.measures, model.recipe)
            self.verdicts[verdict] += 1
            self.reasons[reason] += 1
            passed = verdict is Verdict.PASS
        self.escapes += int(passed and files.label == 1)
        self.false_rejects += int(not passed and files.label == 0)

    def look_at(self, files: PartFiles, size_px: tuple[int, int], points: PointFacts, recipe: Recipe) -> None:
        """Note what the line would find in a part's frame. To be called before `add`."""
        if points.impossible_px:
            self.impossible[files.id] = points.impossible_px
        if (other := recipe.frame.difference(*size_px, points.distance_m)) is not None:
            self.other_geometry[files.id] = other

    def as_figures(self) -> dict[str, Any]:
        """Return the figures for JSON; without a threshold there are no verdicts."""
        figures: dict[str, Any] = {
            "not_inspected": self.not_inspected,
            "torn": self.torn,
            "impossible_points": self.impossible,
            "other_geometry": self.other_geometry,
        }
        if self.decides:
            figures["verdicts"] = {str(verdict): self.verdicts[verdict] for verdict in Verdict}
            figures["reasons"] = {
                str(reason): self.reasons[reason] for reason in Reason if self.reasons[reason]
            }
            figures |= {"escapes": self.escapes, "false_rejects": self.false_rejects}
        return figures


@dataclass(frozen=True, slots=True, eq=False)
class InspectedTestPart:
    """A part of the test split: its inspection result and its ground truth, `gt` (224, 224) bool."""

    files: PartFiles
    found: InspectedPart
    gt: NDArray[np.bool_]

    @property
    def outcome(self) -> FrameOutcome:
        """The part as an input of `cfm.metrics.evaluate`."""
        return FrameOutcome(
            self.found.psi, self.found.score, self.gt, self.files.defect, self.found.foreground
        )


def inspect_split(
    inspector: Inspector,
    model: LoadedModel,
    parts: Sequence[PartFiles],
    batch: int,
    tally: Tally,
    progress: ReportProgress,
    source: PartSource = FROM_FILES,
) -> Iterator[InspectedTestPart]:
    """Inspect parts in batches, prepared by `source`, and yield each result beside its ground truth.

    Parts that cannot be inspected or read are only counted in the tally. Reports the stage "test" to `progress`. Raises
    DatasetError if no part can be read, InputError if `source` does not have a part.
    """
    run = _Run(tally, len(parts), progress)
    background, device = model.recipe.background.options(), inspector.extractor.device
    for some in source.batches(parts, batch, background, device, run.torn):
        found = inspector.inspect_prepared(some.frames, [model] * len(some.files)).parts()
        for files, part, points in zip(some.files, found, some.points, strict=True):
            try:
                gt = ground_truth_at_map_size(read_part_ground_truth(files, *some.size_px))
            except DatasetError as error:
                run.torn(files, error)
                continue
            tally.look_at(files, some.size_px, points, model.recipe)
            tally.add(files, part, model)
            run.done()
            if part.problem is None:
                yield InspectedTestPart(files, part, gt)
    if parts and len(tally.torn) == len(parts):
        name, why = next(iter(tally.torn.items()))
        raise DatasetError(f"none of {len(parts)} parts can be read; the first, {name}: {why}")


def split_outcomes(
    inspector: Inspector,
    model: LoadedModel,
    parts: Sequence[PartFiles],
    batch: int,
    tally: Tally,
    progress: ReportProgress,
    source: PartSource = FROM_FILES,
) -> Iterator[FrameOutcome]:
    """Yield only the outcomes of `inspect_split`, which need less memory."""
    for part in inspect_split(inspector, model, parts, batch, tally, progress, source):
        yield part.outcome


class _Run:
    """Counts the parts that are done and reports progress."""

    def __init__(self, tally: Tally, total: int, progress: ReportProgress) -> None:
        self._tally = tally
        self._total = total
        self._progress = progress
        self._done = 0

    def done(self) -> None:
        """Count one part."""
        self._done += 1
        self._progress("test", self._done, self._total)

    def torn(self, files: PartFiles, error: DatasetError) -> None:
        """Count a part with a file that cannot be read."""
        self._tally.torn[files.id] = str(error)
        self.done()
