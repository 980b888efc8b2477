"""A test split through a recipe: what was found on every part, and what the line would have decided."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from cmfm_protocol.dataset import DatasetError, PartFiles, read_part_ground_truth
from cmfm_protocol.verdict import Verdict
from cmfm_worker.cfm.evaluate import FrameOutcome, ground_truth_at_map_size
from cmfm_worker.decide import decide
from cmfm_worker.inspection import InspectedPart, Inspector, LoadedModel
from cmfm_worker.part_batches import read_batches

Progress = Callable[[str, int, int], None]
"""Called with "test", how many parts are done and how many there are."""


@dataclass(slots=True)
class Tally:
    """The line's view of a test split: verdicts counted, parts named that could not be inspected.

    An escape is a defective part that PASSes; a false reject is a good part that does not.
    """

    verdicts: Counter[str] = field(default_factory=Counter)
    escapes: int = 0
    false_rejects: int = 0
    not_inspected: dict[str, str] = field(default_factory=dict)
    decides: bool = True

    def add(self, files: PartFiles, part: InspectedPart, model: LoadedModel) -> None:
        """Count one part."""
        if part.problem is not None:
            self.not_inspected[files.id] = part.problem.detail
        if model.recipe.threshold is None:
            self.decides = False
            return
        passed = False
        if part.problem is not None:
            self.verdicts[Verdict.FAULT] += 1
        else:
            verdict, _ = decide(part.score, part.coverage, model.recipe)
            self.verdicts[verdict] += 1
            passed = verdict is Verdict.PASS
        self.escapes += int(passed and files.label == 1)
        self.false_rejects += int(not passed and files.label == 0)

    def as_figures(self) -> dict[str, Any]:
        """For JSON; without a threshold nothing was decided."""
        figures: dict[str, Any] = {"not_inspected": self.not_inspected}
        if self.decides:
            figures["verdicts"] = {str(verdict): self.verdicts[verdict] for verdict in Verdict}
            figures |= {"escapes": self.escapes, "false_rejects": self.false_rejects}
        return figures


def require_ground_truth(parts: Sequence[PartFiles]) -> None:
    """Raise DatasetError naming the first defective part without its ground truth, before any long work."""
    for part in parts:
        if part.label and (part.gt is None or not part.gt.is_file()):
            raise DatasetError(
                f"{part.gt or part.id} is missing; a part with a defect needs its ground truth"
            )


def inspect_parts(
    inspector: Inspector,
    model: LoadedModel,
    parts: Sequence[PartFiles],
    batch: int,
    tally: Tally,
    progress: Progress,
) -> Iterator[FrameOutcome]:
    """Inspect parts in batches; what was found on each beside its ground truth.

    Parts that cannot be inspected are in the tally only. Raises DatasetError naming a torn file.
    """
    done = 0
    for some in read_batches(parts, batch, inspector.extractor.device):
        found = inspector.inspect(some.rgb, some.xyz, [model] * len(some.files)).parts()
        for files, part in zip(some.files, found, strict=True):
            gt = ground_truth_at_map_size(read_part_ground_truth(files, *some.size_px))
            tally.add(files, part, model)
            done += 1
            progress("test", done, len(parts))
            if part.problem is None:
                yield FrameOutcome(part.psi, part.score, gt, files.defect, part.foreground)
