"""Where a rejected part is defective: its regions of Ψ above the threshold and near a peak (WIRE.md, regions).

Found on the host, and for rejected parts alone: a part that passes pays nothing. All maps are 224×224.
"""

from dataclasses import dataclass
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from cmfm_protocol.pictures.region_floor import region_floor
from cmfm_protocol.wire.limits import MAX_REGIONS
from cmfm_protocol.wire.result import Region
from cmfm_protocol.wire.verdict import Verdict
from cmfm_worker.inspection.result import InspectedPart
from cmfm_worker.inspection.surface_area import surface_mm2
from cmfm_worker.recipes.recipe import Recipe

MODALITY_MARGIN: Final = 1.1
"""Ψ_2D and Ψ_3D that stand out alike, up to this ratio, name no modality."""

_EIGHT_NEIGHBOURS: Final = np.ones((3, 3), dtype=np.int8)

Map = NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class _Pixels:
    """The N pixels of R regions: `at` (N,) where in a map, row by row; `region` (N,) whose, from 0."""

    at: NDArray[np.intp]
    region: NDArray[Any]
    count: int

    @classmethod
    def of(cls, labels: NDArray[Any], count: int) -> Self:
        at = np.flatnonzero(labels)
        return cls(at, labels.ravel()[at] - 1, count)

    def sums(self, values: Map) -> NDArray[np.float64]:
        """The sum of a map over each region, (R,)."""
        return np.asarray(np.bincount(self.region, values.ravel()[self.at]), dtype=np.float64)

    def peaks(self, values: Map) -> NDArray[np.intp]:
        """Where in the map each region has its highest value, (R,); of equal ones the first."""
        inside = values.ravel()[self.at]
        highest = np.full(self.count, -np.inf, dtype=values.dtype)
        np.maximum.at(highest, self.region, inside)
        is_peak = inside == highest[self.region]
        _, first = np.unique(self.region[is_peak], return_index=True)
        return np.asarray(self.at[is_peak][first])


def regions_of(part: InspectedPart, verdict: str, recipe: Recipe) -> tuple[Region, ...]:
    """The regions that a part's result carries: none for PASS and FAULT, none without a threshold."""
    if verdict in (Verdict.PASS, Verdict.FAULT) or recipe.threshold is None:
        return ()
    return find_regions(part, recipe.threshold.fail_at)


def find_regions(part: InspectedPart, threshold: float) -> tuple[Region, ...]:
    """The 8-connected regions where Ψ reaches `threshold`, which is in the unit of the score, and half of the highest
    Ψ nearby (`cmfm_protocol.pictures.region_floor`).

    Highest peak first, at most MAX_REGIONS. A region's peak is in the unit of Ψ; its area in mm² is that of
    the surface measured in it, None where no 3D was. A part whose score reaches the threshold has at least
    one region. The part must have been inspected (no `problem`).
    """
    level = np.float64(psi_level(part, threshold))
    if not part.psi.max() >= level:
        return ()
    above = part.psi >= region_floor(part.psi, float(level))
    labels, count = ndimage.label(above, _EIGHT_NEIGHBOURS)
    pixels, boxes = _Pixels.of(labels, count), ndimage.find_objects(labels)
    at = pixels.peaks(part.psi)
    peak = part.psi.ravel()[at]
    area_px = np.bincount(pixels.region)
    first_row, last_row = (int(pixels.at[i]) // part.psi.shape[1] for i in (0, -1))
    area_mm2 = pixels.sums(surface_mm2(part.xyz, part.foreground, first_row, last_row))
    excess_2d, excess_3d = (pixels.sums(psi) / area_px / _nominal(psi) for psi in (part.psi_2d, part.psi_3d))
    return tuple(
        Region(
            bbox=(boxes[i][0].start, boxes[i][1].start, boxes[i][0].stop, boxes[i][1].stop),
            area_px=int(area_px[i]),
            area_mm2=float(area_mm2[i]) if area_mm2[i] > 0 else None,
            peak=float(peak[i]),
            peak_px=divmod(int(at[i]), part.psi.shape[1]),
            modality=_modality(float(excess_2d[i]), float(excess_3d[i])),
        )
        for i in np.argsort(-peak, kind="stable")[:MAX_REGIONS]
    )


def psi_level(part: InspectedPart, threshold: float) -> float:
    """The Ψ that stands for `threshold`, which is in the unit of the score.

    The score stands for the highest Ψ, whether it is that, Ψ over √m or the mean of several pixels, so their ratio
    converts: a part that passes reaches it nowhere, one that fails at least at its peak. Rounding does not take that
    pixel from it.
    """
    highest = float(part.psi.max())
    if highest <= 0 or part.score <= 0:
        return threshold
    level = threshold * (highest / part.score)
    return min(level, highest) if part.score >= threshold else level


def _nominal(psi: Map) -> float:
    """A modality's nominal level: the median of its map's non-zero pixels, since most of a part is good."""
    sample = psi[::2, ::2]  # tells it as well, in a quarter of the time
    some = sample[sample > 0]
    return float(np.median(some)) if some.size else np.inf


def _modality(excess_2d: float, excess_3d: float) -> str:
    """Which of the ratios to the nominal level is the larger one; "" where neither is clearly."""
    if max(excess_2d, excess_3d) <= MODALITY_MARGIN * min(excess_2d, excess_3d):
        return ""
    return "2d" if excess_2d > excess_3d else "3d"
