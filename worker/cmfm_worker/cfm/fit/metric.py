"""Fitting the metric on residuals: features of good parts, of simulated defects, and of good pixels beside these."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import torch
from torch import Tensor
from torch.nn import functional as F

from cmfm_worker.cfm.classic.residual_metric import Residuals, fit_metric
from cmfm_worker.cfm.extractor import Extractor, PixelFeatures
from cmfm_worker.cfm.fast.mask_indices import every_nth_true
from cmfm_worker.cfm.fit.feature_store import FeatureStore
from cmfm_worker.cfm.fit.options import FitOptions
from cmfm_worker.cfm.fit.simulated_defects import simulate_defects
from cmfm_worker.cfm.mapping.pair import MappingPair
from cmfm_worker.cfm.pixel_distances import PIXELS_AT_ONCE
from cmfm_worker.cfm.prepare import PreparedFrames

NOMINAL_PIXELS: Final = 200_000
"""Pixels drawn from all good parts together, the same number from each. Their residuals take about 90 MB."""

SIMULATED_FRAMES: Final = 300
MOST_FRAMES_PER_PART: Final = 8
"""Frames with simulated defects in all, and the most of one part. With many parts some have none."""

STEPS_AN_EPOCH: Final = 20
MOST_STEPS: Final = 1200
"""Steps of the metric's fit for each epoch of the mapping's fit, and the most in all."""


APART_PX: Final = 3
"""Pixels this near to a simulated defect are neither good nor defective."""

EVERY_NTH: Final = 4
"""Of the good pixels beside simulated defects every fourth is kept: some 500 a frame."""


@torch.no_grad()
def simulated_pixels(
    extractor: Extractor, frames: PreparedFrames, seeds: list[int]
) -> tuple[PixelFeatures, PixelFeatures]:
    """Extract features of good frames with simulated defects, one seed a frame: in the defects, and beside them.

    Filters look beyond their pixel, so a defect raises residuals around itself. A metric that has seen those as good
    gives little weight to the channels that reach farthest, and so finds the defect and not its halo.
    """
    simulated = simulate_defects(frames, seeds)
    features = extractor(simulated.frames)
    near = F.max_pool2d(simulated.mask[:, None].float(), 2 * APART_PX + 1, stride=1, padding=APART_PX)
    beside = every_nth_true(features.mask & (near[:, 0] == 0), EVERY_NTH)
    return features.at(simulated.mask), features.at(beside)


def with_metric(
    pair: MappingPair,
    nominal: FeatureStore,
    defective: FeatureStore,
    beside: FeatureStore,
    options: FitOptions,
) -> MappingPair:
    """Return the pair with a fitted metric, or without one if no simulated defect has a pixel.

    The metric separates pixels in simulated defects from those of good parts and those beside such defects. Raises
    ValueError if the pair has learned no spreads.
    """
    generator = torch.Generator().manual_seed(options.seed)
    each = max(NOMINAL_PIXELS // len(nominal), 1)
    stores = (nominal, each), (defective, None), (beside, None)
    z = [_residuals(pair, store, pixels, generator) for store, pixels in stores]
    if not len(z[1][0]):
        return pair
    steps = min(STEPS_AN_EPOCH * options.epochs, MOST_STEPS)
    return replace(pair, metric=fit_metric(*z, steps=steps, seed=options.seed))


@torch.no_grad()
def _residuals(
    pair: MappingPair, store: FeatureStore, pixels: int | None, generator: torch.Generator
) -> Residuals:
    """Return z of at most `pixels` pixels of every part, on the mapping's device."""
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
