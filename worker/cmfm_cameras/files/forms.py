"""The forms of a part's files: which files belong together, and how they become colour and points."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from cmfm_cameras.capture import NO_PICTURE, NO_POINTS
from cmfm_cameras.files.ply import read_ply
from cmfm_cameras.points import in_metres, points_of_distances
from cmfm_cameras.settings.folder import FolderSection
from cmfm_protocol.files.dataset_error import DatasetError
from cmfm_protocol.files.part_files import METRES
from cmfm_protocol.files.picture_files import read_png, read_png_16bit, read_tiff

Pixels = tuple[NDArray[np.uint8], NDArray[np.float32]]
"""Colour (H, W, 3) uint8 sRGB, and points (H, W, 3) float32 metres with NaN where nothing was measured."""


@dataclass(frozen=True, slots=True)
class Form:
    """Files of one part NAME are NAME and each of `endings`. `read` takes their paths in that order."""

    endings: tuple[str, ...]
    read: Callable[[FolderSection, tuple[Path, ...]], Pixels]


def _read_rgb_xyz(section: FolderSection, paths: tuple[Path, ...]) -> Pixels:
    return read_png(paths[0]), _metres(section, read_tiff(paths[1]))


def _read_ply(section: FolderSection, paths: tuple[Path, ...]) -> Pixels:
    size = (section.height, section.width) if section.height and section.width else None
    rgb, points = read_ply(paths[0], size)
    return rgb, _metres(section, points)


def _read_rgb_depth(section: FolderSection, paths: tuple[Path, ...]) -> Pixels:
    return read_png(paths[0]), _points_of_depth(section, paths[1])


def _read_rgb(_section: FolderSection, paths: tuple[Path, ...]) -> Pixels:
    return read_png(paths[0]), NO_POINTS


def _read_xyz(section: FolderSection, paths: tuple[Path, ...]) -> Pixels:
    return NO_PICTURE, _metres(section, read_tiff(paths[0]))


def _read_depth(section: FolderSection, paths: tuple[Path, ...]) -> Pixels:
    return NO_PICTURE, _points_of_depth(section, paths[0])


def _points_of_depth(section: FolderSection, path: Path) -> NDArray[np.float32]:
    steps = read_png_16bit(path)
    z_m = np.multiply(steps, section.depth_scale, dtype=np.float32, casting="unsafe")
    z_m[steps == 0] = np.nan
    height, width = z_m.shape
    fx = section.fx or 0.0
    fy = section.fy or fx
    cx = (width - 1) / 2 if section.cx is None else section.cx
    cy = (height - 1) / 2 if section.cy is None else section.cy
    return points_of_distances(z_m, fx, fy, cx, cy)


def _read_numpy(section: FolderSection, paths: tuple[Path, ...]) -> Pixels:
    rgb, points = (_load_array(path) for path in paths)
    if rgb.dtype != np.uint8 or rgb.ndim != 3 or rgb.shape[2] != 3:
        raise DatasetError(f"{paths[0]} holds {rgb.shape} {rgb.dtype}; expected (H, W, 3) uint8")
    if points.dtype.kind not in "fiu" or points.ndim != 3 or points.shape[2] != 3:
        raise DatasetError(f"{paths[1]} holds {points.shape} {points.dtype}; expected (H, W, 3) numbers")
    return rgb, _metres(section, points)


def _load_array(path: Path) -> NDArray[Any]:
    try:
        found = np.load(path, allow_pickle=False)
    except Exception as error:  # a damaged file raises errors of many kinds
        raise DatasetError(f"{path} is torn or damaged ({error}); expected a numpy array (.npy)") from error
    if not isinstance(found, np.ndarray):
        raise DatasetError(f"{path} holds several arrays; expected one (.npy)")
    return found


def _metres(section: FolderSection, points: NDArray[Any]) -> NDArray[np.float32]:
    return in_metres(points, METRES[section.unit], zero_is_missing=section.zero_is_missing)


FORMS: Final[Mapping[str, Form]] = {
    "rgb_xyz": Form((".rgb.png", ".xyz.tiff"), _read_rgb_xyz),
    "ply": Form((".ply",), _read_ply),
    "rgb_depth": Form((".rgb.png", ".depth.png"), _read_rgb_depth),
    "numpy": Form((".rgb.npy", ".xyz.npy"), _read_numpy),
    "rgb": Form((".rgb.png",), _read_rgb),
    "xyz": Form((".xyz.tiff",), _read_xyz),
    "depth": Form((".depth.png",), _read_depth),
}
"""By `form` of the section [folder]."""
