"""Scores simulated defects on nominal parts that the networks have not seen: how many would a threshold catch?

Each frame has one mark. Its kinds and sizes are those that the metric was learned from (`cfm.fit.simulated_defects`),
so the shares that are caught are rather too high for defects of another sort. They compare thresholds.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import cycle, islice
from statistics import median
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray

from cmfm_protocol.files.dataset import PartFiles
from cmfm_worker.cfm.fit.draws import part_side_m
from cmfm_worker.cfm.fit.simulated_defects import ANY_KIND, RADIUS, SingleMark, simulate_defects
from cmfm_worker.cfm.metrics.binomial import Share
from cmfm_worker.cfm.prepare import PreparedFrames
from cmfm_worker.cfm.progress import ReportProgress
from cmfm_worker.datasets.source import PartSource
from cmfm_worker.inspection.inspector import Inspector, select_frames
from cmfm_worker.recipes.loaded_model import LoadedModel

SIZES: Final = ("small", "medium", "large")
"""Blobs by their diameter: three ranges of equal ratio."""

KINDS: Final = ("shape", "colour", "shape and colour")
"""In the order of `ANY_KIND`."""

LINE: Final = "scratch"
"""Lines have no size of their own: they are one to three pixels wide."""


@dataclass(frozen=True, slots=True)
class SimulatedScore:
    """The score of a part with one simulated defect; `size` is one of `SIZES`, or "scratch"."""

    part: str
    kind: str
    size: str
    score: float


@dataclass(frozen=True, slots=True)
class SimulatedTrial:
    """Scores of parts with simulated defects, and the range of diameters of each size on the median part, in metres."""

    scores: tuple[SimulatedScore, ...] = ()
    diameters_m: dict[str, tuple[float, float]] | None = None

    def caught(self, fail_at: float, *, kind: str | None = None, size: str | None = None) -> Share:
        """Share of the simulated defects whose part would FAIL; of one kind or one size if given."""
        some = [each.score for each in self.scores if kind in (None, each.kind) and size in (None, each.size)]
        return Share(sum(score >= fail_at for score in some), len(some))


def try_simulated_defects(
    inspector: Inspector,
    model: LoadedModel,
    parts: Sequence[PartFiles],
    count: int,
    *,
    batch: int,
    progress: ReportProgress,
    source: PartSource,
) -> SimulatedTrial:
    """Score `count` simulated defects, of each kind and size in turn, on `parts` in turn. At least one is scored.

       The same parts give the same defects.
    Reports the stage "simulate". A mark that falls where no pixel of the part is does not count.
    """
    marks = list(islice(cycle(_marks()), count))
    chosen = parts[:: -(-len(parts) // count)]
    at = _parts_of(marks, len(chosen))
    scores, pitches, areas = list[SimulatedScore](), list[float](), list[float]()
    first = 0
    for some in source.batches(chosen, batch, model.recipe.background.options(), inspector.extractor.device):
        for i, files in enumerate(some.files):
            frames = select_frames(some.frames, [i])
            pitches.append(_pitch_m(frames))
            areas.append(float(frames.foreground.sum()))
            for j in np.flatnonzero(at == first + i).tolist():
                kind, size, mark = marks[j]
                marked = simulate_defects(frames, [j], mark)
                if marked.mask.any():
                    score = float(inspector.inspect_prepared(marked.frames, [model]).score[0])
                    scores.append(SimulatedScore(files.id, kind, size, score))
                progress("simulate", len(scores), len(marks))
        first += len(some.files)
    progress("simulate", len(marks), len(marks))
    side_m = median(pitches) * median(areas) ** 0.5
    return SimulatedTrial(
        tuple(scores), {size: (2 * low * side_m, 2 * high * side_m) for size, (low, high) in _radii().items()}
    )


def _radii() -> dict[str, tuple[float, float]]:
    """Return the range of radii of each size, as shares of the part's side."""
    step = (RADIUS[1] / RADIUS[0]) ** (1 / len(SIZES))
    return {size: (RADIUS[0] * step**i, RADIUS[0] * step ** (i + 1)) for i, size in enumerate(SIZES)}


def _marks() -> Iterator[tuple[str, str, SingleMark]]:
    """Yield kind, size and mark: every kind in every size, and every kind as a line."""
    for kind, each in zip(KINDS, ANY_KIND, strict=True):
        for size, radius in _radii().items():
            yield kind, size, SingleMark(each.height, each.colour, radius=radius)
        yield kind, LINE, SingleMark(each.height, each.colour, line=True)


def _parts_of(marks: Sequence[object], parts: int) -> NDArray[np.intp]:
    """Return the number of the part that each mark is put on: every part once in a random order, then again."""
    draw = np.random.default_rng(0)
    rounds = [draw.permutation(parts) for _ in range(-(-len(marks) // parts))]
    return np.concatenate(rounds)[: len(marks)]


def _pitch_m(frames: PreparedFrames) -> float:
    """Return the distance of neighbouring pixels on the part of one frame, in metres."""
    part = frames.foreground[0]
    rows, columns = (int(part.any(axis).sum()) for axis in (1, 0))
    return part_side_m(frames.xyz[0], part) / max(torch.tensor(float(rows * columns)).sqrt().item(), 1.0)
