"""Points from a depth picture of Eyecandies (eyecan-ai.github.io/eyecandies, Format).

The picture is a 16-bit PNG; its unit lies beside it in YAML: depth = png / 65535 · (max − min) + min, metres.
Depth is along the optical axis, not along the ray, and the principal point is (width / 2, height / 2) in
whole pixels, as in the data set's own conversion. The camera's pose is left out: points stay in the sensor's
coordinates, like those of a line's sensors. A pose is a rigid motion, which changes neither a height above the tray nor
a distance, and the tray is found in every frame.
"""

from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from cmfm_protocol.files.dataset_error import DatasetError
from cmfm_protocol.files.picture_files import png_size, read_png_16bit
from cmfm_protocol.files.yaml_files import number_at, read_yaml

FOCAL_PX: Final = 711.11
"""Focal length of the one camera of all pictures, in both directions, at `SIDE_PX` × `SIDE_PX` pixels."""

SIDE_PX: Final = 512
FULL_SCALE: Final = 65_535


def read_depth_points(depth: Path, info: Path) -> NDArray[np.float32]:
    """The points (512, 512, 3) float32 metres of a depth picture and the file of its unit.

    Raises DatasetError naming the file, and the key of `info`.
    """
    height, width = png_size(depth, bits=16)
    if (height, width) != (SIDE_PX, SIDE_PX):
        raise DatasetError(
            f"{depth} is {width}×{height}; expected {SIDE_PX}×{SIDE_PX}, for which the focal length is {FOCAL_PX} px"
        )
    least_m, most_m = read_depth_bounds(info)
    return points_from_depth(decode_depth(read_png_16bit(depth), least_m, most_m), FOCAL_PX)


def read_depth_bounds(info: Path) -> tuple[float, float]:
    """The depths in metres that 0 and 65535 stand for. Raises DatasetError naming file and key."""
    content = read_yaml(info)
    least_m, most_m = (number_at(info, content, f"normalization.{key}") for key in ("min", "max"))
    if not 0 <= least_m <= most_m:
        raise DatasetError(
            f"{info}: normalization.min is {least_m:g} and normalization.max {most_m:g}; expected 0 ≤ min ≤ max, metres"
        )
    return least_m, most_m


def decode_depth(png: NDArray[np.uint16], least_m: float, most_m: float) -> NDArray[np.float64]:
    """Depth in metres of a picture (H, W) uint16."""
    return png.astype(np.float64) / FULL_SCALE * (most_m - least_m) + least_m


def points_from_depth(depth_m: NDArray[np.float64], focal_px: float) -> NDArray[np.float32]:
    """Points (H, W, 3) float32 metres of the depths (H, W) along z; (0, 0, 0) for depths that are not above 0.

    x grows with the columns, y with the rows, z away from the camera. Raises ValueError for a focal length that is not
    positive and finite.
    """
    if not 0 < focal_px < float("inf"):
        raise ValueError(f"a focal length is a positive number of pixels, not {focal_px}")
    height, width = depth_m.shape
    z = np.where(depth_m > 0, depth_m, 0.0)
    x = (np.arange(width) - width / 2)[None, :] * z / focal_px
    y = (np.arange(height) - height / 2)[:, None] * z / focal_px
    return np.stack([x, y, z], axis=-1).astype(np.float32)
