"""Features to teach from, extracted once: of good parts, of their variations, and under simulated defects."""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType
from typing import Final

import torch

from cmfm_protocol.files.dataset import PartFiles
from cmfm_worker.cfm.extractor import Extractor
from cmfm_worker.cfm.fast.mask_indices import every_nth
from cmfm_worker.cfm.fit.feature_store import FeatureStore, Precision
from cmfm_worker.cfm.fit.fit import FitOptions
from cmfm_worker.cfm.fit.metric import simulated_frames_per_part, simulated_pixels
from cmfm_worker.cfm.fit.nominal_variation import vary_nominal
from cmfm_worker.cfm.prepare import PreparedFrames
from cmfm_worker.datasets.scored import Progress, refuse_uninspectable
from cmfm_worker.datasets.source import PartSource
from cmfm_worker.inspection.inspector import find_problems
from cmfm_worker.teaching.options import TeachOptions

VARIED_FRAMES: Final = 200
"""So many variations in all are enough: where parts are many each has fewer, and one at least."""

EVERY_PX: Final = 2
"""Of a variation every so many-th pixel along either axis is kept: it has the part's other pixels to stand beside."""

_SEEDS_APART: Final = 1_000_000  # so that the parts of two seeds have nothing drawn in common


def variations_for(parts: int, wanted: int) -> int:
    """How often each of so many parts is varied, of the times that are `wanted`."""
    return min(wanted, max(VARIED_FRAMES // parts, 1))


class TeachFeatures:
    """The stores: `nominal` of good parts and their variations, `defective` and `beside` of simulated defects.

    Use it as a context; what was kept is deleted on leaving it.
    """

    def __init__(self, precision: Precision) -> None:
        self.nominal, self.defective, self.beside = (FeatureStore(precision=precision) for _ in range(3))

    def __enter__(self) -> TeachFeatures:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for store in self.stores:
            store.close()

    @property
    def stores(self) -> tuple[FeatureStore, FeatureStore, FeatureStore]:
        """All three."""
        return self.nominal, self.defective, self.beside

    @torch.no_grad()
    def extract(
        self,
        extractor: Extractor,
        parts: Sequence[PartFiles],
        options: TeachOptions,
        fit: FitOptions,
        progress: Progress,
        source: PartSource,
    ) -> list[int]:
        """Fill the stores with what the fit asks for; foreground pixels of every part.

        `progress` hears of the stage "extract". Raises DatasetError naming a torn file, InputError naming all parts
        that cannot be inspected.
        """
        background, pixels, bad = options.background.options(), list[int](), list[str]()
        for batch in source.batches(parts, options.batch, background, extractor.device):
            names = [part.id for part in batch.files]
            problems = find_problems(batch.frames, extractor.min_points)
            bad += [f"{name}: {p.detail}" for name, p in zip(names, problems, strict=True) if p is not None]
            if not bad:
                seeds = [_SEEDS_APART * options.seed + len(pixels) + i for i in range(len(names))]
                self._add(extractor, batch.frames, names, seeds, len(parts), fit)
            pixels += [int(count) for count in batch.frames.foreground.flatten(1).sum(1).tolist()]
            progress("extract", len(pixels), len(parts))
        refuse_uninspectable(bad)
        return pixels

    def _add(
        self,
        extractor: Extractor,
        frames: PreparedFrames,
        names: list[str],
        seeds: list[int],
        parts: int,
        fit: FitOptions,
    ) -> None:
        """A batch of some of so many parts; the seeds of a part's rounds lie that far apart."""
        self.nominal.add(extractor(frames), names)
        for round_ in range(variations_for(parts, fit.variations)):
            varied = extractor(vary_nominal(frames, [seed + round_ * parts for seed in seeds]))
            self.nominal.add(varied.at(every_nth(frames.foreground, EVERY_PX)), names, varied=True)
        for round_ in range(simulated_frames_per_part(parts) if fit.metric else 0):
            found = simulated_pixels(extractor, frames, [seed + round_ * parts for seed in seeds])
            for store, features in zip((self.defective, self.beside), found, strict=True):
                store.add(features, names)
