"""Where a defect ends: how high Ψ must be at a pixel for that pixel to belong to one (WIRE.md, regions).

The threshold alone does not tell. It lies just above what good parts reach, and a strong defect lifts Ψ above it far
around itself, because the map is smoothed and features look beyond their pixel.
"""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

PEAK_SHARE: Final = 0.5
"""Of the highest Ψ nearby, that a pixel of a defect has at least."""

NEARBY_PX: Final = 32
"""Map pixels up, down, left and right within which a stronger peak lifts a pixel; beyond, no filter reaches."""


def extent_floor(psi: NDArray[Any], level: float) -> NDArray[np.float64]:
    """The Ψ from which on a pixel belongs to a defect, (H, W): `level`, or half of the highest Ψ nearby if more.

    `psi` (H, W) finite; `level` is the threshold in its unit. The highest pixel of a map that reaches `level` is always
    in a defect.
    """
    nearby = _highest_around(_highest_around(psi, NEARBY_PX).T, NEARBY_PX).T
    return np.maximum(PEAK_SHARE * nearby.astype(np.float64), level)


def _highest_around(values: NDArray[Any], reach: int) -> NDArray[Any]:
    """The maximum of the 2 · `reach` + 1 values around each place of every row; cut off at the ends.

    Windows of doubled width are joined from two of the last: a handful of passes whatever the reach.
    """
    width = 2 * reach + 1
    highest = np.pad(values, ((0, 0), (reach, reach)), constant_values=-np.inf)
    joined = 1
    while 2 * joined <= width:
        highest = np.maximum(highest[:, :-joined], highest[:, joined:])
        joined *= 2
    rest = width - joined
    around: NDArray[Any] = np.maximum(
        highest[:, : values.shape[1]], highest[:, rest : rest + values.shape[1]]
    )
    return around
