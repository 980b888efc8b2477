"""Checks and statistics of nominal parts, before anything is fitted on them."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from cmfm_worker.cfm.fit.feature_store import FeatureStore
from cmfm_worker.cfm.mapping.pair import MappingPair, Standardiser


class FitError(Exception):
    """No mapping can be fitted on the parts; the message names the part and the problem."""


def check_parts(features: FeatureStore) -> None:
    """Raise FitError if there is no part, or if parts have no foreground pixel."""
    if not len(features):
        raise FitError("no nominal part to fit on")
    empty = [name for name, count in zip(features.names, features.counts, strict=True) if not count]
    if empty:
        raise FitError(f"no foreground pixel in these parts: {', '.join(dict.fromkeys(empty))}")


def standardiser_of(features: FeatureStore) -> Standardiser:
    """Compute mean and standard deviation of every channel over all pixels of all parts.

    A channel that never varies gets the length of a typical standardised feature, √C. With it, the cosine distance of
    Eq. 2 acts near the mean like a Euclidean distance. A channel that is always 0 stays 0. Raises FitError naming the
    parts whose features are not finite.
    """
    moments = [[_moments(E) for E in features.part(i)] for i in range(len(features))]
    broken = [
        features.names[i] for i, both in enumerate(moments) if not all(m.isfinite().all() for m in both)
    ]
    if broken:
        raise FitError(f"features of these parts are not finite numbers: {', '.join(dict.fromkeys(broken))}")
    scales = [_mean_and_std([both[k] for both in moments], sum(features.counts)) for k in (0, 1)]
    (mean_2d, std_2d), (mean_3d, std_3d) = scales
    return Standardiser(mean_2d, std_2d, mean_3d, std_3d)


@torch.no_grad()
def predict_constants(features: FeatureStore, pair: MappingPair) -> None:
    """Make the networks predict channels that never vary exactly. Their residuals then have no gradient.

    A learned prediction would be so sure that any unusual input made such a channel the largest anomaly.
    """
    bounds = [[torch.stack([E.amin(0), E.amax(0)]) for E in features.part(i)] for i in range(len(features))]
    lowest = [torch.stack([both[k][0] for both in bounds]).amin(0) for k in (0, 1)]
    highest = [torch.stack([both[k][1] for both in bounds]).amax(0) for k in (0, 1)]
    values = lowest if pair.standardise is None else pair.standardise(*(low[None] for low in lowest))
    for network, value, low, high in zip((pair.to_2d, pair.to_3d), values, lowest, highest, strict=True):
        network.predict_constants((low == high)[: network.d_out], value.reshape(-1)[: network.d_out])


def _moments(E: Tensor) -> Tensor:
    """Return sum and sum of squares of every channel: (2, C) float64."""
    E = E.double()
    return torch.stack([E.sum(0), E.square().sum(0)])


def _mean_and_std(moments: list[Tensor], pixels: int) -> tuple[Tensor, Tensor]:
    mean, square = torch.stack(moments).sum(0) / pixels
    std = (square - mean.square()).clamp(min=0.0).sqrt()
    constant = std <= 1e-6 * mean.abs() + 1e-12
    length = (mean.abs() / math.sqrt(len(mean))).where(mean != 0, 1.0)
    return mean.where(~constant, 0.0).float(), torch.where(constant, length, std).float()
