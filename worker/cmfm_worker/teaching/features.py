"""Extracts the features to teach from, once: of good parts, of their variations and under simulated defects."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Final

import torch

from cmfm_protocol.files.dataset import PartFiles
from cmfm_protocol.wire.points import PointFacts
from cmfm_worker.cfm.extractor import Extractor
from cmfm_worker.cfm.fit.feature_store import FeatureStore, Precision
from cmfm_worker.cfm.fit.fit import FitOptions
from cmfm_worker.cfm.fit.metric import simulated_frames_per_part, simulated_pixels
from cmfm_worker.cfm.fit.nominal_variation import vary_nominal
from cmfm_worker.cfm.prepare import PreparedFrames
from cmfm_worker.cfm.progress import ReportProgress
from cmfm_worker.datasets.scored import refuse_uninspectable
from cmfm_worker.datasets.source import PartSource
from cmfm_worker.inspection.inspector import find_problems
from cmfm_worker.teaching.options import TeachOptions

VARIED_FRAMES: Final = 200
"""Number of variations in all that is enough. With many parts each part has fewer of them, but at least one."""

_SEEDS_APART: Final = 1_000_000  # distance between the random seeds of two `seed` options: no draw is shared


def variations_for(parts: int, wanted: int) -> int:
    """Return how often to vary each of `parts` parts: at most `wanted` times."""
    return min(wanted, max(VARIED_FRAMES // parts, 1))


@dataclass(frozen=True, slots=True)
class TaughtPart:
    """A part that was fitted on: its foreground pixels, the size of its pictures, and its points."""

    id: str
    foreground_px: int
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
    ) -> list[TaughtPart]:
        """Fill the stores as the fit options require. Return what each part was like.

        Reports the stage "extract" to `progress`. Raises DatasetError naming an unreadable file, InputError naming
        all parts that cannot be inspected.
        """
        background, taught, bad = options.background.options(), list[TaughtPart](), list[str]()
        progress("extract", 0, len(parts))
        for batch in source.batches(parts, options.batch, background, extractor.device):
            names = [part.id for part in batch.files]
            problems = find_problems(batch.frames, extractor.min_points)
            bad += [f"{name}: {p.detail}" for name, p in zip(names, problems, strict=True) if p is not None]
            if not bad:
                seeds = [_SEEDS_APART * options.seed + len(taught) + i for i in range(len(names))]
                self._add(extractor, batch.frames, names, seeds, len(parts), fit)
            counts = batch.frames.foreground.flatten(1).sum(1).tolist()
            taught += [
                TaughtPart(name, int(count), batch.size_px, points)
                for name, count, points in zip(names, counts, batch.points, strict=True)
            ]
            progress("extract", len(taught), len(parts))
        refuse_uninspectable(bad)
        return taught

    def _add(
        self,
        extractor: Extractor,
        frames: PreparedFrames,
        names: list[str],
        seeds: list[int],
        parts: int,
        fit: FitOptions,
    ) -> None:
        """Add one batch; `parts` is the number of parts in all, the distance between the seeds of a part's repeats."""
        self.nominal.add(extractor(frames), names)
        for repeat in range(variations_for(parts, fit.variations)):
            varied = extractor(vary_nominal(frames, [seed + repeat * parts for seed in seeds]))
            self.nominal.add(varied, names, varied=True)
        for repeat in range(simulated_frames_per_part(parts) if fit.metric else 0):
            found = simulated_pixels(extractor, frames, [seed + repeat * parts for seed in seeds])
            for store, features in zip((self.defective, self.beside), found, strict=True):
                store.add(features, names)
