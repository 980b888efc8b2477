"""Places of a map's pixels in the frame that it was computed from.

The worker pads a frame to its centred square and resizes that to 224 × 224 (docs/method.md, RGB). So a map covers the
square, and the frame is a band of it: whole in one direction, centred in the other.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from cmfm_protocol.wire.limits import MAP_SIDE_PX


@dataclass(frozen=True, slots=True)
class MapInFrame:
    """The place of a map in a frame of `height` × `width` pixels."""

    height: int
    width: int

    @property
    def side(self) -> int:
        """Side of the frame's square, in frame pixels."""
        return max(self.height, self.width)

    @property
    def offset(self) -> tuple[int, int]:
        """Row and column of the square at which the frame begins, in frame pixels."""
        return (self.side - self.height) // 2, (self.side - self.width) // 2

    @property
    def band(self) -> tuple[float, float, float, float]:
        """The frame on the map: left, top, right, bottom in map pixels, from the map's corner."""
        (top, left), scale = self.offset, MAP_SIDE_PX / self.side
        return left * scale, top * scale, (left + self.width) * scale, (top + self.height) * scale

    def box(self, bbox: tuple[int, int, int, int]) -> tuple[float, float, float, float]:
        """A region's box (row0, col0, row1, col1 in map pixels) as left, top, right, bottom in frame pixels.

        It is cut to the frame: the padding around it shows nothing.
        """
        (top, left), scale = self.offset, self.side / MAP_SIDE_PX
        row0, col0, row1, col1 = (edge * scale for edge in bbox)
        return (
            min(max(col0 - left, 0.0), self.width),
            min(max(row0 - top, 0.0), self.height),
            min(max(col1 - left, 0.0), self.width),
            min(max(row1 - top, 0.0), self.height),
        )

    def pixels(self, rows: NDArray[np.intp], cols: NDArray[np.intp]) -> tuple[NDArray[Any], NDArray[Any]]:
        """The map pixels (rows, columns) in which frame pixels lie."""
        top, left = self.offset
        return (rows + top) * MAP_SIDE_PX // self.side, (cols + left) * MAP_SIDE_PX // self.side

    def stretched(self, values: NDArray[Any], size: tuple[int, int] | None = None) -> NDArray[np.float32]:
        """A map (224, 224) over the frame, (H, W) float32, between its pixels linearly; not finite becomes 0.

        `size` (rows, columns) None is the frame's own size. Raises ValueError for a map of another size.
        """
        if values.shape != (MAP_SIDE_PX, MAP_SIDE_PX):
            raise ValueError(f"a map is {MAP_SIDE_PX}×{MAP_SIDE_PX}, not {values.shape}")
        height, width = size or (self.height, self.width)
        known = np.nan_to_num(np.asarray(values, dtype=np.float32), nan=0.0, posinf=0.0, neginf=0.0)
        picture = Image.fromarray(known).resize((width, height), Image.Resampling.BILINEAR, box=self.band)
        return np.asarray(picture, dtype=np.float32)

    def shown_size(self, longest_px: int) -> tuple[int, int]:
        """Rows and columns of a picture of the frame whose longer side has at most `longest_px` pixels."""
        scale = min(1.0, longest_px / self.side)
        return max(1, round(self.height * scale)), max(1, round(self.width * scale))
