"""Learning a metric on residuals from kept features: of good parts, in simulated defects, and beside these."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import torch
from torch import Tensor
from torch.nn import functional as F

from cmfm_worker.cfm.classic.residual_metric import Residuals, fit_metric
from cmfm_worker.cfm.extractor import Extractor, PixelFeatures
from cmfm_worker.cfm.fast.mask_indices import every_nth
from cmfm_worker.cfm.fit.feature_store import FeatureStore
from cmfm_worker.cfm.fit.options import FitOptions
from cmfm_worker.cfm.fit.simulated_defects import simulate_defects
from cmfm_worker.cfm.mapping.pair import MappingPair
from cmfm_worker.cfm.pixel_distances import PIXELS_AT_ONCE
from cmfm_worker.cfm.prepare import PreparedFrames

NOMINAL_PIXELS: Final = 200_000
"""Drawn from all good parts together, as many from each: some 90 MB of `classic` residuals."""


SIMULATED_FRAMES: Final = 100
MOST_ROUNDS: Final = 8
"""Frames with simulated defects in all: at most so many of each part, and at least one."""

STEPS_AN_EPOCH: Final = 20
"""Steps of the metric's fit for each epoch of the mapping's: `classic` takes 1200."""


def rounds_for(parts: int) -> int:
    """How often each of so many good parts gets simulated defects."""
    return min(-(-SIMULATED_FRAMES // parts), MOST_ROUNDS)


APART_PX: Final = 3
"""Good pixels beside a simulated defect are farther from it than that: between, it is a matter of taste."""

EVERY_PX: Final = 3
"""Of those, every so many-th along either axis is kept: some thousand a frame."""


@torch.no_grad()
def simulated_pixels(
    extractor: Extractor, frames: PreparedFrames, seeds: list[int]
) -> tuple[PixelFeatures, PixelFeatures]:
    """Features of good frames with simulated defects on them, one seed a frame: in the defects, and beside them.

    Filters look beyond their pixel, so a defect lifts residuals around itself. A metric that has seen it as good
    surface weighs least what reaches farthest, and a defect's halo is not found in its place.
    """
    simulated = simulate_defects(frames, seeds)
    features = extractor(simulated.frames)
    near = F.max_pool2d(simulated.mask[:, None].float(), 2 * APART_PX + 1, stride=1, padding=APART_PX)
    return features.at(simulated.mask), features.at(every_nth(near[:, 0] == 0, EVERY_PX))


def with_metric(
    pair: MappingPair,
    nominal: FeatureStore,
    defective: FeatureStore,
    beside: FeatureStore,
    options: FitOptions,
) -> MappingPair:
    """The pair with the metric that best tells pixels in simulated defects from those of good parts and beside such
    defects. Raises ValueError where it has learned no spreads.
    """
    generator = torch.Generator().manual_seed(options.seed)
    each = max(NOMINAL_PIXELS // len(nominal), 1)
    stores = (nominal, each), (defective, None), (beside, None)
    z = [_residuals(pair, store, pixels, generator) for store, pixels in stores]
    if not len(z[1][0]):
        return pair
    steps = STEPS_AN_EPOCH * options.epochs
    return replace(pair, metric=fit_metric(*z, steps=steps, seed=options.seed))


@torch.no_grad()
def _residuals(
    pair: MappingPair, store: FeatureStore, pixels: int | None, generator: torch.Generator
) -> Residuals:
    """z of so many pixels of every part, on the mapping's device."""
    device = next(pair.to_3d.parameters()).device
    found: list[tuple[Tensor, Tensor]] = []
    for part in range(len(store)):
        e2d, e3d = store.draw([part], pixels, generator)
        for rows in zip(e2d.split(PIXELS_AT_ONCE), e3d.split(PIXELS_AT_ONCE), strict=True):
            E_2D, E_3D = (E.to(device) for E in rows)
            if pair.standardise is not None:
                E_2D, E_3D = pair.standardise(E_2D, E_3D)
            found.append(pair.residuals(E_2D, E_3D))
    return torch.cat([z for z, _ in found]), torch.cat([z for _, z in found])
