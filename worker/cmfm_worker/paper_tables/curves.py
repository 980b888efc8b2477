"""Computes curves of a test set with few points, for charts: PRO over pixels, ROC over parts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cmfm_worker.cfm.metrics.areas import PixelPools, UndefinedMetricError

Curve = list[tuple[float, float]]

_RATES = np.unique(np.concatenate([np.linspace(0, top, 61) for top in (0.01, 0.05, 0.3, 1.0)]))
"""False-positive rates at which a PRO curve is sampled, densest at the low rates."""


def pro_curve(maps: Sequence[NDArray[Any]], gts: Sequence[NDArray[Any]]) -> Curve:
    """Sample the exact curve of (false-positive rate, PRO) of maps (H, W) and masks (H, W); empty without a defect."""
    try:
        fpr, pro = PixelPools(maps, gts).curve()
    except UndefinedMetricError:
        return []
    return _pairs(_RATES, np.interp(_RATES, fpr, pro))


def roc_curve(scores: Sequence[float], defective: Sequence[bool]) -> Curve:
    """Compute (false-reject rate, detection rate) at every distinct score; empty without parts of both kinds."""
    labels = np.asarray(defective, dtype=bool)
    if labels.all() or not labels.any():
        return []
    values = np.asarray(scores, dtype=np.float64)
    order = np.argsort(-values, kind="stable")
    ends = np.flatnonzero(np.append(np.diff(values[order]) != 0, True))  # parts with one score pass together
    found = np.cumsum(labels[order])[ends] / labels.sum()
    rejected = np.cumsum(~labels[order])[ends] / (~labels).sum()
    return _pairs(np.append(0.0, rejected), np.append(0.0, found))


def _pairs(x: NDArray[np.float64], y: NDArray[np.float64]) -> Curve:
    return [(round(float(a), 6), round(float(b), 6)) for a, b in zip(x, y, strict=True)]
