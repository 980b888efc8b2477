"""Learning a metric on residuals from kept features: those of good parts, and those under simulated defects."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import torch
from torch import Tensor

from cmfm_worker.cfm.anomaly import PIXELS_AT_ONCE
from cmfm_worker.cfm.extractor import Extractor, PixelFeatures
from cmfm_worker.cfm.feature_store import FeatureStore
from cmfm_worker.cfm.fit_options import FitOptions
from cmfm_worker.cfm.mapping import MappingPair
from cmfm_worker.cfm.prepare import PreparedFrames
from cmfm_worker.cfm.residual_metric import Residuals, fit_metric
from cmfm_worker.cfm.simulated_defects import simulate_defects

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


@torch.no_grad()
def defective_pixels(extractor: Extractor, frames: PreparedFrames, seeds: list[int]) -> PixelFeatures:
    """Features of good frames where defects are simulated on them, one seed a frame."""
    simulated = simulate_defects(frames, seeds)
    features = extractor(simulated.frames)
    inside = simulated.mask[features.mask]
    return replace(
        features, e2d=features.e2d[inside], e3d=features.e3d[inside], mask=features.mask & simulated.mask
    )


def with_metric(
    pair: MappingPair, nominal: FeatureStore, simulated: FeatureStore, options: FitOptions
) -> MappingPair:
    """The pair with the metric that best tells both stores apart. Raises ValueError where it has learned no spreads."""
    generator = torch.Generator().manual_seed(options.seed)
    each = max(NOMINAL_PIXELS // len(nominal), 1)
    good, defective = (
        _residuals(pair, store, pixels, generator) for store, pixels in ((nominal, each), (simulated, None))
    )
    if not len(defective[0]):
        return pair
    steps = STEPS_AN_EPOCH * options.epochs
    return replace(pair, metric=fit_metric(good, defective, steps=steps, seed=options.seed))


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
