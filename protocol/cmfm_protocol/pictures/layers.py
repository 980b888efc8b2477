"""Pictures of one part that lie over one another, each of the frame's size: depth, heat of a map, a small overview."""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from cmfm_protocol.pictures.colour_map import HEAT, colour_table
from cmfm_protocol.pictures.map_in_frame import MapInFrame
from cmfm_protocol.pictures.overlay import depth_picture, heat_over_rgb, outline
from cmfm_protocol.pictures.panels import OUTLINE
from cmfm_protocol.pictures.region_floor import region_floor
from cmfm_protocol.wire.points import measured

LAYER_PX: Final = 1280
"""Longest side of a layer: a larger frame's layers are smaller than it, and cost no more memory."""

SCALE_END: Final = 2.0
"""The heat scale ends at this many times the threshold."""


def depth_layer(xyz: NDArray[np.float32], longest_px: int = LAYER_PX) -> Image.Image:
    """Draw the depth of points (H, W, 3), every n-th one of a frame larger than `longest_px`."""
    step = -(-max(xyz.shape[:2]) // longest_px)
    points = xyz[::step, ::step]
    depth = np.where(measured(points), points[..., 2], 0.0)
    return Image.fromarray(depth_picture(depth)[0])


def heat_layer(
    values: NDArray[Any], level: float, frame: tuple[int, int], longest_px: int = LAYER_PX
) -> Image.Image:
    """Draw a map (224, 224) over the frame of `frame` (H, W) by its heat: a palette picture, dark at 0, pale at twice
    `level`.
    """
    place = MapInFrame(*frame)
    stretched = place.stretched(values, place.shown_size(longest_px))
    image = Image.fromarray(heat_index(stretched, level))
    image.putpalette(colour_table(HEAT).tobytes())
    return image


def heat_index(values: NDArray[Any], level: float) -> NDArray[np.uint8]:
    """The places of numbers on the heat scale: 0 at 0, 255 at twice `level` and beyond; NaN is 0."""
    share = np.nan_to_num(np.asarray(values, dtype=np.float32) / np.float32(SCALE_END * level), nan=0.0)
    return np.asarray(np.clip(share, 0.0, 1.0) * 255.0 + 0.5, dtype=np.uint8)


def overview(
    rgb: NDArray[np.uint8],
    psi: NDArray[Any] | None,
    threshold: float | None,
    foreground: NDArray[np.bool_] | None,
    longest_px: int,
) -> Image.Image:
    """Draw the picture (H, W, 3) small, with the heat of Ψ (224, 224) over it and outlines around defects.

    `psi` is in the unit of `threshold`; None draws the picture alone. Without a threshold nothing is outlined.
    """
    place = MapInFrame(*rgb.shape[:2])
    height, width = place.shown_size(longest_px)
    image = Image.fromarray(rgb).resize((width, height), Image.Resampling.BILINEAR, reducing_gap=2.0)
    if psi is None:
        return image
    known = place.stretched(psi, (height, width))
    part = None if foreground is None else place.stretched(foreground, (height, width)) >= 0.5
    drawn = heat_over_rgb(np.asarray(image), known, threshold, part)
    if threshold is not None and threshold > 0:
        floor = place.stretched(region_floor(np.nan_to_num(psi), threshold), (height, width))
        drawn[outline(known >= floor)] = OUTLINE
    return Image.fromarray(drawn)
