"""Where a defect ends: how high Ψ must be at a pixel for that pixel to belong to one (WIRE.md, regions).

The threshold alone does not tell. It lies just above what good parts reach, and a strong defect lifts Ψ above it far
around itself, because the map is smoothed and features look beyond their pixel.
"""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

PEAK_SHARE: Final = 0.5
"""Of the highest Ψ nearby, that a pixel of a defect has at least."""

NEARBY_PX: Final = 32
"""Map pixels up, down, left and right within which a stronger peak lifts a pixel; beyond, no filter reaches."""


def extent_floor(psi: NDArray[Any], level: float) -> NDArray[np.float64]:
    """The Ψ from which on a pixel belongs to a defect, (H, W): `level`, or half of the highest Ψ nearby if more.

    `psi` (H, W) finite; `level` is the threshold in its unit. The highest pixel of a map that reaches `level` is always
    in a defect.
    """
    nearby = ndimage.maximum_filter(
        psi, size=2 * NEARBY_PX + 1, mode="nearest"
    )  # at the edges: within the map
    return np.maximum(PEAK_SHARE * nearby.astype(np.float64), level)
