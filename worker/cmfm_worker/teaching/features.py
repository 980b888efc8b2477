"""Extracts the features to teach from, once: of good parts, of their variations and under simulated defects."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from types import TracebackType
from typing import Final

import torch

from cmfm_protocol.files.dataset import PartFiles
from cmfm_protocol.wire.points import PointFacts
from cmfm_worker.cfm.extractor import Extractor, PixelFeatures
from cmfm_worker.cfm.fit.feature_store import FeatureStore, Precision
from cmfm_worker.cfm.fit.fit import FitOptions
from cmfm_worker.cfm.fit.metric import MOST_FRAMES_PER_PART, SIMULATED_FRAMES, simulated_pixels
from cmfm_worker.cfm.fit.nominal_variation import vary_nominal
from cmfm_worker.cfm.prepare import PreparedFrames
from cmfm_worker.cfm.progress import ReportProgress
from cmfm_worker.datasets.scored import refuse_uninspectable
from cmfm_worker.datasets.source import PartSource
from cmfm_worker.inspection.inspector import find_problems, select_frames
from cmfm_worker.inspection.measures import PartMeasures, measure_frames
from cmfm_worker.teaching.options import TeachOptions
from cmfm_worker.teaching.workers import Workers

VARIED_FRAMES: Final = 100
"""Number of variations in all that is enough: with many parts some have none, so that they cost no more than few."""

_SEEDS_APART: Final = 1_000_000  # distance between the random seeds of two `seed` options: no draw is shared


def frames_of(part: int, parts: int, enough: int, most: int) -> int:
    """Return how many of `enough` frames in all part number `part` of `parts` gets, evenly spread, at most `most`."""
    return min((part + 1) * enough // parts - part * enough // parts, most)


@dataclass(frozen=True, slots=True)
class TaughtPart:
    """A part that was fitted on: how it lies in its frame, the size of its pictures, and its points."""

    id: str
    measures: PartMeasures
    size_px: tuple[int, int]
    points: PointFacts


class TeachFeatures:
    """Holds three feature stores: `nominal` for good parts and their variations, `defective` for pixels in simulated
    defects, `beside` for pixels next to them.

    Use it as a context manager: leaving the context deletes the stores.
    """

    def __init__(self, precision: Precision) -> None:
        self.nominal, self.defective, self.beside = (FeatureStore(precision=precision) for _ in range(3))
        self.validation = FeatureStore(precision=precision)

    def __enter__(self) -> TeachFeatures:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for store in (*self.stores, self.validation):
            store.close()

    @torch.no_grad()
    def extract_validation(
        self,
        extractor: Extractor,
        parts: Sequence[PartFiles],
        options: TeachOptions,
        progress: ReportProgress,
        source: PartSource,
    ) -> None:
        """Fill `validation` with the features of parts that are not fitted on. They must be inspectable.

        Reports the stage "unseen".
        """
        background = options.background.options()
        for batch in source.batches(parts, options.batch, background, extractor.device):
            self.validation.add(extractor(batch.frames), [part.id for part in batch.files])
            progress("unseen", len(self.validation), len(parts))

    @property
    def stores(self) -> tuple[FeatureStore, FeatureStore, FeatureStore]:
        """All three stores: nominal, defective, beside."""
        return self.nominal, self.defective, self.beside

    @torch.no_grad()
    def extract(
        self,
        extractor: Extractor,
        parts: Sequence[PartFiles],
        options: TeachOptions,
        fit: FitOptions,
        progress: ReportProgress,
        source: PartSource,
        workers: Workers,
    ) -> list[TaughtPart]:
        """Fill the stores as the fit options require. Return what each part was like.

        Reports the stage "extract" to `progress`. Raises DatasetError naming an unreadable file, InputError naming
        all parts that cannot be inspected.
        """
        background, taught, bad = options.background.options(), list[TaughtPart](), list[str]()
        under_way = deque[Future[_Extracted]]()
        progress("extract", 0, len(parts))
        for batch in source.batches(parts, options.batch, background, extractor.device):
            names = [part.id for part in batch.files]
            problems = find_problems(batch.frames, extractor.min_points)
            bad += [f"{name}: {p.detail}" for name, p in zip(names, problems, strict=True) if p is not None]
            first = len(taught)
            if not bad:
                draws = _Draws(fit, options.seed, first, len(parts))
                under_way.append(workers.submit(_extracted, extractor, batch.frames, names, draws))
            taught += [
                TaughtPart(name, of_part, batch.size_px, points)
                for name, of_part, points in zip(
                    names, measure_frames(batch.frames), batch.points, strict=True
                )
            ]
            while len(under_way) > workers.ahead:
                self._keep(under_way.popleft().result())
                progress("extract", len(self.nominal.own_counts), len(parts))
        refuse_uninspectable(bad)
        for extracted in under_way:
            self._keep(extracted.result())
            progress("extract", len(self.nominal.own_counts), len(parts))
        return taught

    def _keep(self, extracted: _Extracted) -> None:
        self.nominal.add(extracted.own, extracted.names)
        for varied, names in extracted.varied:
            self.nominal.add(varied, names, varied=True)
        for defective, beside, names in extracted.simulated:
            self.defective.add(defective, names)
            self.beside.add(beside, names)


@dataclass(frozen=True, slots=True)
class _Draws:
    """How frames are varied and marked; `first` is the number of the batch's first part, of `parts` in all."""

    fit: FitOptions
    seed: int
    first: int
    parts: int

    def varied(self, place: int) -> int:
        """Return the number of variations of the part at `place` of the batch."""
        return frames_of(self.first + place, self.parts, VARIED_FRAMES, self.fit.variations)

    def simulated(self, place: int) -> int:
        """Return the number of its frames with simulated defects."""
        most = MOST_FRAMES_PER_PART if self.fit.metric else 0
        return frames_of(self.first + place, self.parts, SIMULATED_FRAMES, most)

    def seed_of(self, place: int, repeat: int) -> int:
        """Return the seed of a repeat; the parts' number is the distance between the seeds of a part's repeats."""
        return _SEEDS_APART * self.seed + self.first + place + repeat * self.parts


@dataclass(frozen=True, slots=True)
class _Extracted:
    """Features of a batch: of its parts, of variations, and in and beside simulated defects, each with names."""

    names: list[str]
    own: PixelFeatures
    varied: list[tuple[PixelFeatures, list[str]]]
    simulated: list[tuple[PixelFeatures, PixelFeatures, list[str]]]


@torch.no_grad()
def _extracted(extractor: Extractor, frames: PreparedFrames, names: list[str], draws: _Draws) -> _Extracted:
    """Extract the features of one batch."""
    found = _Extracted(names, extractor(frames), [], [])
    for some, chosen, seeds in _repeats(frames, names, draws, draws.varied):
        found.varied.append((extractor(vary_nominal(some, seeds)), chosen))
    for some, chosen, seeds in _repeats(frames, names, draws, draws.simulated):
        found.simulated.append((*simulated_pixels(extractor, some, seeds), chosen))
    return found


def _repeats(
    frames: PreparedFrames, names: list[str], draws: _Draws, times: Callable[[int], int]
) -> Iterator[tuple[PreparedFrames, list[str], list[int]]]:
    """Yield for each repeat the frames of the batch that have one, their names and their seeds."""
    for repeat in range(max(map(times, range(len(names))))):
        places = [place for place in range(len(names)) if times(place) > repeat]
        chosen = frames if len(places) == len(names) else select_frames(frames, places)
        yield chosen, [names[place] for place in places], [draws.seed_of(place, repeat) for place in places]
