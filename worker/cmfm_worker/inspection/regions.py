"""Finds the defects of a rejected part: regions of Ψ above the threshold and near a peak (WIRE.md, regions).

Computed on the host, and only for rejected parts, so it costs a part that passes no time. All maps are 224×224.
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
"""A region has a modality only if one excess exceeds the other by more than this ratio."""

_EIGHT_NEIGHBOURS: Final = np.ones((3, 3), dtype=np.int8)

Map = NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class _Pixels:
    """The N pixels of R regions: `at` (N,) are flat indices into the map, `region` (N,) the region's number from 0."""

    at: NDArray[np.intp]
    region: NDArray[Any]
    count: int

    @classmethod
    def of(cls, labels: NDArray[Any], count: int) -> Self:
        at = np.flatnonzero(labels)
        return cls(at, labels.ravel()[at] - 1, count)

    def sums(self, values: Map) -> NDArray[np.float64]:
        """Sum a map over each region: (R,)."""
        return np.asarray(np.bincount(self.region, values.ravel()[self.at]), dtype=np.float64)

    def peaks(self, values: Map) -> NDArray[np.intp]:
        """Return the flat index of each region's highest value, (R,); of equal values the first."""
        inside = values.ravel()[self.at]
        highest = np.full(self.count, -np.inf, dtype=values.dtype)
        np.maximum.at(highest, self.region, inside)
        is_peak = inside == highest[self.region]
        _, first = np.unique(self.region[is_peak], return_index=True)
        return np.asarray(self.at[is_peak][first])


def regions_of(part: InspectedPart, verdict: str, recipe: Recipe) -> tuple[Region, ...]:
    """Return the regions for a part's result; empty for PASS and FAULT and without a threshold."""
    if verdict in (Verdict.PASS, Verdict.FAULT) or recipe.threshold is None:
        return ()
    return find_regions(part, recipe.threshold.fail_at)


def find_regions(part: InspectedPart, threshold: float) -> tuple[Region, ...]:
    """Find the 8-connected regions where Ψ reaches both `threshold`, in the unit of the score, and half of the highest
    Ψ nearby (`cmfm_protocol.pictures.region_floor`).

    Highest peak first, at most MAX_REGIONS. A region's peak is in the unit of Ψ. Its area in mm² is the measured
    surface in it, None without 3D. A part whose score reaches the threshold has at least one region. The part must
    have been inspected (no `problem`).
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
    """Convert `threshold` from the unit of the score to that of Ψ.

    The ratio of the highest Ψ to the score converts, whether the score is the maximum, Ψ over √m or the mean of
    several pixels. So a part that passes reaches the level nowhere, and one that fails reaches it at least at its
    peak, also after rounding.
    """
    highest = float(part.psi.max())
    if highest <= 0 or part.score <= 0:
        return threshold
    level = threshold * (highest / part.score)
    return min(level, highest) if part.score >= threshold else level


def _nominal(psi: Map) -> float:
    """Estimate a modality's nominal level: the median of its map's non-zero pixels, as most of a part is good."""
    sample = psi[::2, ::2]  # as accurate as all pixels, in a quarter of the time
    nonzero = sample[sample > 0]
    return float(np.median(nonzero)) if nonzero.size else np.inf


def _modality(excess_2d: float, excess_3d: float) -> str:
    """Name the modality with the larger ratio to its nominal level; "" if neither is clearly larger."""
    if max(excess_2d, excess_3d) <= MODALITY_MARGIN * min(excess_2d, excess_3d):
        return ""
    return "2d" if excess_2d > excess_3d else "3d"
