"""Preparing frames for the extractors: 224×224 RGB, 224×224 points, and the mask of those that belong to the part.

The facts behind it are in docs/method.md: RGB, points, background.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cache
from typing import Final, Literal, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from cmfm_worker.cfm.background import find_support_planes, signed_height
from cmfm_worker.cfm.clusters import clean_clusters
from cmfm_worker.cfm.surroundings import Box, surroundings_of

SIZE_PX = 224  # the side of DINO's input image; every map of the method has it
BAND_PX = 10  # the image border that should show background only
MAX_RANGE_M = 20.0  # a larger coordinate is no metre of a sensor over a line
_UNIT_TOLERANCE = 1e-4  # float32 and a decimal file leave the normal's length within this


@dataclass(frozen=True, slots=True)
class BackgroundOptions:
    """How the part is separated from the tray.

    `method` "ransac" finds the plane of the tray in every frame. The part is what lies more than `plane_distance_m`
    above it. Points below the tray do not belong to the part: a sensor does not see through a tray, so they are the
    floor beside it or a reflection. Of the rest, `clusters` "largest" keeps the largest connected piece, and "all"
    drops only specks of fewer than 30 pixels of the image.

    `method` "fixed" uses `plane` for every frame, for a tray and a sensor that do not move (`background.common_plane`).
    It is a unit normal n towards the sensor and d in metres, with n·p + d = 0 on the tray.

    `method` "none" takes every valid point as the part. "ransac" does the same for a frame without a tray: no point was
    measured in the outer 10 pixels of the image (the background was removed before), or no plane fits.
    """

    method: Literal["ransac", "fixed", "none"] = "ransac"
    plane_distance_m: float = 0.005
    clusters: Literal["largest", "all"] = "largest"
    plane: tuple[float, float, float, float] | None = None

    def __post_init__(self) -> None:
        """Raise ValueError for options other than those above."""
        if self.method not in ("ransac", "fixed", "none"):
            raise ValueError(f"background method must be 'ransac', 'fixed' or 'none', not {self.method!r}")
        if self.clusters not in ("largest", "all"):
            raise ValueError(f"clusters must be 'largest' or 'all', not {self.clusters!r}")
        if not 0 < self.plane_distance_m < float("inf"):
            raise ValueError(f"plane_distance_m must be positive metres, not {self.plane_distance_m}")
        if (self.method == "fixed") != (self.plane is not None):
            raise ValueError("background method 'fixed' needs a plane, and no other method takes one")
        if self.plane is not None and not abs(math.hypot(*self.plane[:3]) - 1) < _UNIT_TOLERANCE:
            raise ValueError(f"a plane is a unit normal and an offset in metres, not {self.plane}")


COMPUTED: Final = ("rgb", "xyz", "foreground", "valid", "plane", "surroundings")
"""The fields of `PreparedFrames` that `prepare` computes; the picture is the one that it was given."""


@dataclass(frozen=True, slots=True)
class PreparedFrames:
    """A batch of B prepared frames on one device.

    - `rgb` (B, 3, 224, 224) float32 in [0, 1], with its background.
    - `xyz` (B, 3, 224, 224) float32 metres, 0 outside `foreground`.
    - `foreground` (B, 224, 224) bool: the part's valid points.
    - `valid` (B, 224, 224) bool: all valid points.
    - `plane` (B, 4) float32: unit normal n towards the sensor and d, with n·p + d = 0 on the tray. NaN if no plane was
      removed.
    - `surroundings` (B, 4) int32: the fields of `cfm.surroundings.Surroundings`.
    - `picture` (B, H, W, 3) uint8 sRGB: the picture as it was given, for extractors that need its own pixels.
    - `change` (B, 3, 224, 224) float32: the colour that a simulation has added. `rgb` has it already, `picture` has it
      not. None for frames of a camera.
    """

    rgb: Tensor
    xyz: Tensor
    foreground: Tensor
    valid: Tensor
    plane: Tensor
    surroundings: Tensor
    picture: Tensor
    change: Tensor | None = None

    def at(self, places: Tensor) -> PreparedFrames:
        """Return the frames at some places (N,) of the batch."""
        chosen = {name: getattr(self, name)[places] for name in (*COMPUTED, "picture")}
        return PreparedFrames(**chosen, change=None if self.change is None else self.change[places])

    def recoloured(self, rgb: Tensor, xyz: Tensor) -> PreparedFrames:
        """Return the frames with simulated `rgb` and `xyz`; the difference in colour is added to `change`."""
        added = rgb - self.rgb
        return replace(self, rgb=rgb, xyz=xyz, change=added if self.change is None else self.change + added)


def prepare(rgb: Tensor, xyz: Tensor, background: BackgroundOptions) -> PreparedFrames:
    """Prepare B frames of one size on their device. The same frame always gives the same result.

    `rgb` (B, H, W, 3) uint8 sRGB; `xyz` (B, H, W, 3) float32 metres with the sensor at the origin, z away from it. A
    point was measured if 0 < z ≤ 20 m and |x|, |y| ≤ 20 m. Raises ValueError for other arrays.
    """
    _check(rgb, xyz)
    rgb_224, xyz_224, valid = resize(rgb, xyz)
    plane, foreground, surroundings = part_alone(xyz_224, valid, (xyz.shape[1], xyz.shape[2]), background)
    return PreparedFrames(
        rgb=rgb_224,
        xyz=torch.where(foreground[:, None], xyz_224, 0.0),
        foreground=foreground,
        valid=valid,
        plane=plane,
        surroundings=surroundings,
        picture=rgb,
    )


def resize(rgb: Tensor, xyz: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return the 224×224 pictures, points and mask of valid points of a checked batch (the first half of `prepare`)."""
    return _resize_rgb(rgb), *_resize_xyz(xyz)


def square_pad_offsets(height: int, width: int) -> tuple[int, int, int]:
    """Return the position of a `height`×`width` image in its centred square: (top, left, side) in pixels."""
    side = max(height, width)
    return (side - height) // 2, (side - width) // 2, side


def plane_height(frames: PreparedFrames) -> Tensor:
    """Compute the height of every foreground point above the tray: (B, 224, 224) float32 metres, 0 elsewhere.

    Heights are positive towards the sensor. For a frame without a plane they are relative to the median z of its
    foreground, as if a tray faced the sensor there: neither stray points nor a defect move the median.
    """
    z = frames.xyz[:, 2]
    median = torch.where(frames.foreground, z, torch.nan).flatten(1).nanmedian(1).values
    height = signed_height(frames.xyz, frames.plane)
    height = torch.where(height.isnan(), median[:, None, None] - z, height)
    return torch.where(frames.foreground, height, 0.0)


def _check(rgb: Tensor, xyz: Tensor) -> None:
    for name, array, dtype in (("rgb", rgb, torch.uint8), ("xyz", xyz, torch.float32)):
        if array.dtype != dtype:
            raise ValueError(f"{name} must be {dtype}, not {array.dtype}")
        if array.ndim != 4 or array.shape[-1] != 3 or 0 in array.shape:
            raise ValueError(f"{name} must be (B, H, W, 3) without an empty side, not {tuple(array.shape)}")
    if rgb.shape != xyz.shape:
        raise ValueError(f"rgb {tuple(rgb.shape)} and xyz {tuple(xyz.shape)} are not of one size")
    if rgb.device != xyz.device:
        raise ValueError(f"rgb lies on {rgb.device}, xyz on {xyz.device}")


def _resize_rgb(rgb: Tensor) -> Tensor:
    height, width = rgb.shape[1:3]
    top, left, side = square_pad_offsets(height, width)
    image = rgb.permute(0, 3, 1, 2).contiguous().float()  # B H W C -> B C H W
    if height != width:
        image = functional.pad(image, (left, side - width - left, top, side - height - top), mode="replicate")
    if side != SIZE_PX:
        image = functional.interpolate(image, (SIZE_PX, SIZE_PX), mode="bicubic", antialias=True)
    return (image / 255.0).clamp(0.0, 1.0)  # bicubic overshoots at edges


def _resize_xyz(xyz: Tensor) -> tuple[Tensor, Tensor]:
    """Return the nearest points (B, 3, 224, 224), 0 where not valid, and the mask of valid ones (B, 224, 224)."""
    height, width = xyz.shape[1:3]
    top, left, side = square_pad_offsets(height, width)
    source = torch.arange(SIZE_PX, device=xyz.device) * side // SIZE_PX
    rows, columns = source - top, source - left
    inside = ((rows >= 0) & (rows < height))[:, None] & ((columns >= 0) & (columns < width))
    points = xyz[:, rows.clamp(0, height - 1)[:, None], columns.clamp(0, width - 1)]
    points = points.permute(0, 3, 1, 2).contiguous()  # B H W C -> B C H W
    near = points.abs() <= MAX_RANGE_M  # False for NaN
    valid = inside & near[:, 0] & near[:, 1] & near[:, 2] & (points[:, 2] > 0)
    return torch.where(valid[:, None], points, 0.0), valid


class PartAlone(NamedTuple):
    """The tray's plane (B, 4), the part's pixels (B, 224, 224) bool, and `PreparedFrames.surroundings` (B, 4)."""

    plane: Tensor
    foreground: Tensor
    surroundings: Tensor


def part_alone(
    xyz: Tensor, valid: Tensor, image_size: tuple[int, int], options: BackgroundOptions
) -> PartAlone:
    """Separate the part from the tray. Without a tray the plane is NaN, and all valid pixels are the part."""
    picture = _picture_box(*image_size)
    if options.method == "none":
        plane = xyz.new_full((len(xyz), 4), torch.nan)
        one = torch.ones(len(xyz), dtype=torch.long, device=xyz.device)
        return PartAlone(plane, valid, surroundings_of(valid, valid, plane, picture, one, 0 * one))
    plane = support_planes(xyz, valid, image_size, options)
    height = signed_height(xyz, plane)
    footprint = (xyz - height[:, None] * plane[:, :3, None, None]).nan_to_num(0.0)
    above = valid & (height > options.plane_distance_m)
    part = clean_clusters(footprint, above, options.clusters, scale=SIZE_PX / max(image_size))
    no_tray = plane[:, 3].isnan()
    foreground = torch.where(no_tray[:, None, None], valid, part.kept)
    pieces, beside_px = torch.where(no_tray, 1, part.pieces), torch.where(no_tray, 0, part.beside_px)
    around = surroundings_of(foreground, valid, plane, picture, pieces, beside_px)
    return PartAlone(plane, foreground, around)


def support_planes(
    xyz: Tensor, valid: Tensor, image_size: tuple[int, int], options: BackgroundOptions
) -> Tensor:
    """Return the plane of each frame's tray (B, 4): the fixed one, or the one found in the frame; NaN without one."""
    if options.plane is not None:
        return _plane_on(options.plane, xyz.device).expand(len(xyz), -1)
    edge_px = _edge_px(image_size[0], image_size[1], xyz.device)
    band = (edge_px >= 0) & (edge_px < math.ceil(BAND_PX * SIZE_PX / max(image_size)))
    has_background = (valid & band).any(2).any(1)
    plane = find_support_planes(xyz, valid, edge_px, options.plane_distance_m)
    return torch.where(has_background[:, None], plane, torch.nan)


@cache
def _plane_on(plane: tuple[float, float, float, float], device: torch.device) -> Tensor:
    """Return the plane on a device. It is copied once, because each copy from the host would make the line wait."""
    with torch.inference_mode(mode=False):  # the line asks first, in inference mode, but a fit may use it too
        return torch.tensor(plane, device=device)


def _edge_px(height: int, width: int, device: torch.device) -> Tensor:
    """Return every grid pixel's distance to the nearest edge of the image, in grid pixels; negative outside."""
    box, at = _picture_box(height, width), torch.arange(SIZE_PX, device=device)
    down, right = (
        torch.minimum(at - first, last - at) for first, last in ((box.top, box.bottom), (box.left, box.right))
    )
    return torch.minimum(down[:, None], right)


def _picture_box(height: int, width: int) -> Box:
    """Return the first and last rows and columns of the grid whose source lies in the image."""
    top, left, side = square_pad_offsets(height, width)

    def ends(start: int, length: int) -> tuple[int, int]:
        return -(-start * SIZE_PX // side), -(-(start + length) * SIZE_PX // side) - 1

    return Box(*ends(top, height), *ends(left, width))
