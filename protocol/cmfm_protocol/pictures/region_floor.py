"""The least Ψ of a pixel in a defect region: the rule by which regions end (WIRE.md, regions).

The threshold alone is too low. It lies just above what good parts reach, and a strong defect lifts Ψ above it far
around itself, because the map is smoothed and features look beyond their pixel. The worker's regions and the outlines
in pictures follow the same rule.
"""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

PEAK_SHARE: Final = 0.5
"""A pixel of a region has at least this share of the highest Ψ nearby."""

NEARBY_PX: Final = 32
"""Map pixels up, down, left and right within which a stronger peak lifts a pixel; beyond, no filter reaches."""


def region_floor(psi: NDArray[Any], level: float) -> NDArray[np.float64]:
    """The Ψ from which on each pixel belongs to a region, (H, W): `level`, or half of the highest Ψ nearby if more.

    `psi` (H, W) finite; `level` is the threshold in its unit. The highest pixel of a map that reaches `level` is always
    in a region.
    """
    known = np.asarray(psi, dtype=np.float64)
    nearby = ndimage.maximum_filter(known, size=2 * NEARBY_PX + 1, mode="nearest")
    return np.maximum(PEAK_SHARE * nearby, level)
