"""The paper's metrics (§4, Metrics): AUROC over parts and pixels, area under the per-region overlap (AUPRO).

Curves are integrated exactly, ties included: all pixels of one value cross the threshold together, which is a straight
segment of the curve. The normal pixels are sorted once, and every other count is looked up in them. 1 200 maps of
224×224 take seconds.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Maps = Sequence[NDArray[Any]] | NDArray[Any]

LIMITS = (0.3, 0.1, 0.05, 0.01)
"""False-positive rates up to which AUPRO is integrated: the paper's 30 and 1 %, its supplement's others."""

EIGHT_NEIGHBOURS = np.ones((3, 3), dtype=bool)


class UndefinedMetricError(ValueError):
    """The metric is not defined for this data: there is no defective value, or no normal one."""


def auroc(scores: NDArray[Any], labels: NDArray[Any]) -> float:
    """Compute the area under the ROC curve: the probability that a defective score exceeds a normal one.

    A tie counts half. `scores` (N,) floats, `labels` (N,) true or 1 where defective. Raises UndefinedMetricError if a
    class is empty, and ValueError for NaN among the scores and for different numbers of scores and labels.
    """
    scores, labels = np.asarray(scores).ravel(), np.asarray(labels).ravel().astype(bool)
    if scores.shape != labels.shape:
        raise ValueError(f"{scores.size} scores but {labels.size} labels")
    return _auroc(np.sort(_numbers(scores[~labels])), _numbers(scores[labels]))


class PixelPools:
    """All pixels of a set of parts, split into normal and defective ones and sorted once for several metrics.

    `maps` (N, H, W) floats, higher is more anomalous; `gts` (N, H, W) bool, true on defects. With `foreground`
    (N, H, W) bool, normal pixels outside it are not counted as false positives. A sequence of N arrays (H, W) will do,
    and their sizes may differ. Raises UndefinedMetricError if there is no defect region or no normal pixel, and
    ValueError for NaN and for numbers or shapes that do not fit.

    `normal` holds the counted normal values, ascending; `defect` the defect values; `weight` what each of these adds to
    the PRO. Regions are 8-connected components, and each region has the same weight whatever its size.
    """

    def __init__(self, maps: Maps, gts: Maps, foreground: Maps | None = None) -> None:
        kinds = [maps, gts] if foreground is None else [maps, gts, foreground]
        if len({len(kind) for kind in kinds}) != 1:
            raise ValueError(f"maps, masks and foregrounds differ in number: {[len(kind) for kind in kinds]}")
        normal, defect, weight = [], [], []
        for i in range(len(maps)):
            psi, gt = np.asarray(maps[i]), np.asarray(gts[i]).astype(bool)
            counted = ~gt if foreground is None else ~gt & np.asarray(foreground[i]).astype(bool)
            if psi.shape != gt.shape or counted.shape != gt.shape:
                raise ValueError(f"map {i}: shape {psi.shape}, mask {gt.shape}, foreground {counted.shape}")
            normal.append(psi[counted])
            if gt.any():
                defect.append(psi[gt])
                weight.append(_region_weights(gt))
        if not normal or not defect or not sum(values.size for values in normal):
            raise UndefinedMetricError("pixel metrics need at least one defect region and one normal pixel")
        self.normal = np.sort(_numbers(np.concatenate(normal)))
        self.defect = _numbers(np.concatenate(defect))
        weights = np.concatenate(weight)
        self.weight = weights / weights.sum()  # the sum is the number of regions

    def auroc(self) -> float:
        """Compute the P-AUROC: `auroc` over all pixels of all parts together."""
        return _auroc(self.normal, self.defect)

    def aupro_exact(self, limits: Sequence[float] = LIMITS) -> list[float]:
        """Compute the AUPRO at each limit on the exact curve: its area up to the limit, divided by the limit."""
        fpr, pro = self.curve()
        return [_area(fpr, pro, limit) for limit in limits]

    def aupro_thresholds(self, limits: Sequence[float] = LIMITS, count: int = 99) -> list[float]:
        """Compute the AUPRO at each limit as published tables have it, on the curve at `count` thresholds.

        The first step of that curve is a false-positive rate of 1/98 wide. At a limit of 1 % the result is therefore
        one interpolated segment, which stays near 0.49 wherever a few normal pixels exceed the defects: report
        `aupro_exact` beside it.
        """
        fpr, pro = self.sampled_curve(count)
        return [_area(fpr, pro, limit) for limit in limits]

    def curve(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return (false-positive rate, PRO) at every corner of the exact curve, from (0, 0) to (1, 1).

        Between two neighbouring defect values only normal pixels pass the threshold, and the PRO does not change. So
        every distinct defect value has two corners: before and after its pixels, and their ties, are counted.
        """
        value, inverse = np.unique(self.defect, return_inverse=True)
        pro_after = np.cumsum(np.bincount(inverse, weights=self.weight)[::-1])
        pro_before = np.concatenate([[0.0], pro_after[:-1]])
        size = self.normal.size
        above = size - np.searchsorted(self.normal, value[::-1], side="right")
        at_or_above = size - np.searchsorted(self.normal, value[::-1], side="left")
        fpr = np.stack([above, at_or_above], axis=1).ravel() / size
        pro = np.stack([pro_before, pro_after], axis=1).ravel()
        return np.concatenate([[0.0], fpr, [1.0]]), np.concatenate([[0.0], pro, [1.0]])

    def sampled_curve(self, count: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return (false-positive rate, PRO) with thresholds at `count` normal pixels, equally spaced by rank."""
        size = self.normal.size
        rank = np.linspace(0, size - 1, count).astype(np.int64)[::-1]
        order = np.argsort(self.defect)
        # pro_of[k]: the PRO once all but the k smallest defect pixels lie above the threshold.
        pro_of = np.concatenate([np.cumsum(self.weight[order][::-1])[::-1], [0.0]])
        kept_out = np.searchsorted(self.defect[order], self.normal[rank], side="right")
        fpr = 1.0 - (rank + 1) / size
        return np.concatenate([fpr, [1.0]]), np.concatenate([pro_of[kept_out], [1.0]])


def _region_weights(gt: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return 1 / (pixels of its region) for every defect pixel, in the order of gt.nonzero()."""
    regions, _ = ndimage.label(gt, structure=EIGHT_NEIGHBOURS)
    region = regions[gt]
    weight: NDArray[np.float64] = 1.0 / np.bincount(region)[region]
    return weight


def _area(x: NDArray[np.float64], y: NDArray[np.float64], limit: float) -> float:
    """Integrate (x, y), x ascending, by trapezoids up to x = limit, and divide by the limit."""
    if not 0.0 < limit <= 1.0:
        raise ValueError(f"the integration limit is a false-positive rate in (0, 1], not {limit}")
    last = int(np.searchsorted(x, limit, side="right"))
    if last < x.size:
        share = (limit - x[last - 1]) / (x[last] - x[last - 1])
        cut = y[last - 1] + share * (y[last] - y[last - 1])
        x, y = np.append(x[:last], limit), np.append(y[:last], cut)
    return float(np.trapezoid(y, x) / limit)


def _auroc(normal_ascending: NDArray[Any], defect: NDArray[Any]) -> float:
    if not normal_ascending.size or not defect.size:
        raise UndefinedMetricError("AUROC needs at least one defective and one normal value")
    defect = np.sort(defect)  # ascending look-ups walk the memory once
    below = np.searchsorted(normal_ascending, defect, side="left").sum(dtype=np.int64)
    up_to = np.searchsorted(normal_ascending, defect, side="right").sum(dtype=np.int64)
    return float((below + up_to) / 2 / (normal_ascending.size * defect.size))


def _numbers(values: NDArray[Any]) -> NDArray[Any]:
    if np.isnan(values).any():
        raise ValueError("anomaly scores contain values that are not numbers (NaN)")
    return values
