"""A part's points as a compact binary for a 3D view: a sample of the measured ones with colour and heat.

Little-endian, no padding:

    4 bytes   "CMP1"
    u4        n, the number of points
    u4        pixels of the frame between two points, in rows and in columns
    f4 × 3    centre of the points, metres (sensor's frame)
    f4        metres of one unit of `xyz`
    u1 × 768  the heat scale: 256 colours sRGB
    i2 × 3n   xyz, in units from the centre
    u1 × 3n   the picture's colour, sRGB
    u1 × n    heat: place on the scale, which ends at twice the threshold
    u1 × n    1 for points of the part, 0 for the tray and what else is around it; 1 for all without a foreground
"""

import math
import struct
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from cmfm_protocol.pictures.colour_map import HEAT, colour_table
from cmfm_protocol.pictures.layers import heat_index
from cmfm_protocol.pictures.map_in_frame import MapInFrame
from cmfm_protocol.wire.points import measured

MAGIC: Final = b"CMP1"
MAX_POINTS: Final = 30_000
"""About 340 kB, and few enough to be turned smoothly without a graphics processor."""

HEAD: Final = struct.Struct("<4sIIffff")
_STEPS: Final = 32_000  # of int16, to either side of the centre


@dataclass(frozen=True, slots=True, eq=False)
class CloudMaps:
    """The maps that colour points: Ψ (224, 224), the level at which it is anomalous, the part's pixels or None."""

    psi: NDArray[Any]
    level: float
    foreground: NDArray[np.bool_] | None


def point_cloud(
    rgb: NDArray[np.uint8], xyz: NDArray[np.float32], maps: CloudMaps | None, max_points: int = MAX_POINTS
) -> bytes:
    """Encode at most `max_points` measured points of a frame (H, W, 3), evenly taken from its grid.

    Raises ValueError for arrays of different size.
    """
    if rgb.shape != xyz.shape:
        raise ValueError(f"rgb {rgb.shape} and xyz {xyz.shape} are not of one size")
    rows, cols, step = _sampled(xyz, max_points)
    points = xyz[rows, cols].astype(np.float64)
    low, high = (points.min(axis=0), points.max(axis=0)) if len(points) else (np.zeros(3), np.zeros(3))
    centre = ((low + high) / 2).astype(np.float32)
    unit_m = np.float32(max(float((high - low).max()) / 2, 1e-6) / _STEPS)
    steps = np.clip(np.rint((points - centre) / unit_m), -_STEPS - 1, _STEPS + 1).astype("<i2")
    heat, part = _coloured(rows, cols, xyz.shape[:2], maps)
    head = HEAD.pack(MAGIC, len(rows), step, *(float(value) for value in centre), float(unit_m))
    arrays = (steps, rgb[rows, cols], heat, part)
    return b"".join((head, colour_table(HEAT).tobytes(), *(array.tobytes() for array in arrays)))


def _sampled(xyz: NDArray[np.float32], max_points: int) -> tuple[NDArray[np.intp], NDArray[np.intp], int]:
    """Rows and columns of the measured points on the finest grid that has at most `max_points`, and its step."""
    known = measured(xyz)
    step = max(1, math.isqrt(int(np.count_nonzero(known)) // max(max_points, 1)))
    while np.count_nonzero(known[step // 2 :: step, step // 2 :: step]) > max_points:
        step += 1
    rows, cols = np.nonzero(known[step // 2 :: step, step // 2 :: step])
    return rows * step + step // 2, cols * step + step // 2, step


def _coloured(
    rows: NDArray[np.intp], cols: NDArray[np.intp], frame: tuple[int, int], maps: CloudMaps | None
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    if maps is None:
        return np.zeros(len(rows), np.uint8), np.ones(len(rows), np.uint8)
    at = MapInFrame(*frame).pixels(rows, cols)
    part = np.ones(len(rows), np.uint8) if maps.foreground is None else maps.foreground[at].astype(np.uint8)
    return heat_index(maps.psi[at], maps.level), part
