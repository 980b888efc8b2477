"""Scenes of a made-up product in which something is wrong with the view: heights and colours, edited, seen again.

A scene is a height map over the tray and its colours. Both are changed together, and points are computed from them as a
camera over the tray sees them. So a part that is moved, turned or cut off stays consistent.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from cmfm_sim.datasets.families import family_of

SIDE_PX = 224
_PART_MM = 2.0
"""Heights above this are the part: trays are flatter."""

Heights = NDArray[np.float64]
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Scene:
    """Heights over the tray (H, W) in mm, NaN where nothing is measured, colours (H, W, 3) uint8, and the view."""

    height_mm: Heights
    rgb: NDArray[np.uint8]
    plane: tuple[float, ...]
    focal_px: float

    @property
    def part(self) -> Mask:
        """The pixels of everything that stands on the tray."""
        return np.asarray(np.nan_to_num(self.height_mm) > _PART_MM)

    @property
    def box(self) -> tuple[slice, slice]:
        """Rows and columns that hold the part."""
        rows, columns = (np.flatnonzero(self.part.any(axis)) for axis in (1, 0))
        return slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)

    @property
    def xyz(self) -> NDArray[np.float32]:
        """Points (H, W, 3) in metres in the camera's frame."""
        ray = (np.arange(SIDE_PX) + 0.5 - SIDE_PX / 2) / self.focal_px
        x, y = np.meshgrid(ray, ray)
        a, b, c, d = self.plane
        z = (self.height_mm / 1000.0 - d) / (a * x + b * y + c)
        return np.stack([x * z, y * z, z], axis=-1).astype(np.float32)


def scene(category: str, index: int, defect: str = "good", split: str = "train") -> Scene:
    """Render a part of one of the simulator's products."""
    made = family_of(category).render(
        category, seed=3, split=split, defect=defect, index=index, size_px=SIDE_PX
    )
    info = made.info  # type: ignore[attr-defined]  # both families have it
    plane = tuple(float(value) for value in info["plane"])
    points = np.where((made.xyz == 0).all(-1, keepdims=True), np.nan, made.xyz).astype(np.float64)
    height_mm = 1000.0 * (points @ np.array(plane[:3]) + plane[3])
    return Scene(height_mm, made.rgb, plane, float(info["focal_px"]))


def _transformed(of: Scene, change: Callable[[NDArray[np.float64]], NDArray[np.float64]]) -> Scene:
    """Return the scene with its part transformed on an empty tray: `change` maps (H, W) arrays."""
    part = change(of.part.astype(float)) > 0.5
    heights = change(np.where(of.part, np.nan_to_num(of.height_mm), 0.0))
    colours = np.stack([change(of.rgb[..., k].astype(float)) for k in range(3)], axis=-1)
    empty = emptied(of)
    return replace(
        of,
        height_mm=np.where(part, heights, empty.height_mm),
        rgb=np.where(part[..., None], colours, empty.rgb).clip(0, 255).astype(np.uint8),
    )


def emptied(of: Scene, where: Mask | None = None) -> Scene:
    """Return the scene with tray in place of everything that stands on it, or of what is in `where`."""
    away = ndimage.binary_dilation(of.part, iterations=3)
    away = away if where is None else away & where
    tray = of.rgb[~ndimage.binary_dilation(of.part, iterations=3)]
    rgb = of.rgb.copy()
    rgb[away] = tray[np.arange(np.count_nonzero(away)) * 7 % len(tray)]
    return replace(of, height_mm=np.where(away, 0.0, of.height_mm), rgb=rgb)


def shifted(of: Scene, rows: int, columns: int) -> Scene:
    """Move the part over the tray; what leaves the picture is cut off."""
    return _transformed(of, lambda a: ndimage.shift(a, (rows, columns), order=0))


def turned(of: Scene, degrees: float) -> Scene:
    """Turn the part about the picture's middle."""
    return _transformed(of, lambda a: ndimage.rotate(a, degrees, reshape=False, order=1))


def enlarged(of: Scene, factor: float) -> Scene:
    """Show the part larger, about the picture's middle, as if it were nearer to the camera."""
    middle = SIDE_PX / 2
    return _transformed(
        of,
        lambda a: ndimage.affine_transform(a, np.eye(2) / factor, offset=middle - middle / factor, order=1),
    )


def without_quadrant(of: Scene, down: bool, right: bool, *, broken: bool) -> Scene:
    """Take a quadrant of the part's box away: broken off, so that the tray shows, or not measured."""
    rows, columns = of.box
    middle = (rows.start + rows.stop) // 2, (columns.start + columns.stop) // 2
    quadrant = np.zeros_like(of.part)
    quadrant[
        slice(middle[0], rows.stop) if down else slice(rows.start, middle[0]),
        slice(middle[1], columns.stop) if right else slice(columns.start, middle[1]),
    ] = True
    return emptied(of, quadrant) if broken else unmeasured(of, quadrant)


def unmeasured(of: Scene, where: Mask) -> Scene:
    """Return the scene without 3D at some pixels."""
    return replace(of, height_mm=np.where(where, np.nan, of.height_mm))


def with_block(of: Scene, rows: slice, columns: slice, height_mm: float, colour: int = 140) -> Scene:
    """Put a block of an even colour onto the tray, or onto the part."""
    heights, rgb = of.height_mm.copy(), of.rgb.copy()
    heights[rows, columns] = np.maximum(np.nan_to_num(heights[rows, columns]), height_mm)
    rgb[rows, columns] = colour
    return replace(of, height_mm=heights, rgb=rgb)
