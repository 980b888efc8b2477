"""Measures how a part lies in its frame: area, outline, extent, distance to the edges, other pieces.

The numbers come from the masks that the preparation has made; the frame is not looked at again. A recipe's limits
(`recipes.limits_section`) compare them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.spatial import ConvexHull

from cmfm_worker.cfm.prepare import PreparedFrames
from cmfm_worker.cfm.surroundings import Surroundings

_DIRECTIONS: Final = 36
"""Directions in which the extent is measured. The longest of them is at most 0.1 % shorter than the longest of all."""

_ANGLES: Final = np.pi * np.arange(_DIRECTIONS) / _DIRECTIONS
_ALONG: Final = np.stack([np.sin(_ANGLES), np.cos(_ANGLES)])


@dataclass(frozen=True, slots=True)
class PartMeasures:
    """How one part lies in its frame, in pixels of the 224×224 grid.

    `area_px` counts the part's pixels with valid 3D. `outline_px` is the area of its convex outline, missing points and
    holes included. `length_px` is its longest extent in any direction. `around` says what lies around it.
    """

    area_px: int
    outline_px: float
    length_px: float
    around: Surroundings

    @property
    def filled(self) -> float:
        """Share of the outline that has valid 3D. A corner that is missing lowers it in any pose of the part."""
        return self.area_px / self.outline_px if self.outline_px else 0.0

    @property
    def compactness(self) -> float:
        """Area over the square of the length: π/4 for a disc. Where poses differ in area, they differ less in this."""
        return self.area_px / self.length_px**2 if self.length_px else 0.0


def measure(foreground: NDArray[np.bool_], around: Sequence[int]) -> PartMeasures:
    """Measure one part from its pixels (224, 224) and the four numbers of `Surroundings`."""
    corners = _outermost_corners(foreground)
    if not len(corners):
        return PartMeasures(0, 0.0, 0.0, Surroundings(*around))
    outline = ConvexHull(corners)
    spread = corners[outline.vertices] @ _ALONG
    length_px = float(np.ptp(spread, axis=0).max())
    return PartMeasures(
        int(foreground.sum()), round(float(outline.volume), 1), round(length_px, 1), Surroundings(*around)
    )


def measure_frames(frames: PreparedFrames) -> list[PartMeasures]:
    """Measure the parts of prepared frames. Waits for the frames."""
    around: list[list[int]] = frames.surroundings.tolist()
    masks: torch.Tensor = frames.foreground.cpu()
    return [measure(mask.numpy(), numbers) for mask, numbers in zip(masks, around, strict=True)]


def _outermost_corners(mask: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return the corners (N, 2) of the first and the last pixel of every row; all others lie between them."""
    rows = np.flatnonzero(mask.any(axis=1))
    part = mask[rows]
    first, last = part.argmax(axis=1), mask.shape[1] - part[:, ::-1].argmax(axis=1)
    at_rows = np.concatenate([rows, rows, rows + 1, rows + 1])
    return np.stack([at_rows, np.concatenate([first, last, first, last])], axis=1).astype(np.float64)
