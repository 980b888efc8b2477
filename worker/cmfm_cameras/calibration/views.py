"""The folder of views: NAME.picture.* by the 2D camera, NAME.depth.* and NAME.xyz.tiff by the depth sensor."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from cmfm_cameras.calibration.board import Board, Corners
from cmfm_cameras.errors import InputError
from cmfm_cameras.pairing.half import Side
from cmfm_protocol.files.picture_files import read_tiff
from cmfm_protocol.wire.points import measured

POINTS: Final = ".xyz.tiff"

ENDINGS: Final = (".png", ".tif", ".tiff", ".bmp", ".jpg", ".jpeg")


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """One place of the board: its corners as each device sees them, None where it is not found.

    `points` (n, 3) are the depth sensor's points at its corners in metres, NaN at gaps; None without NAME.xyz.tiff.
    """

    name: str
    corners: dict[Side, Corners | None]
    points: NDArray[np.float64] | None = None

    @property
    def is_seen_by_both(self) -> bool:
        """Tell whether both devices see the board."""
        return all(found is not None for found in self.corners.values())


@dataclass(frozen=True, slots=True, eq=False)
class Views:
    """All views, and the size (width, height) of each device's pictures."""

    views: list[View]
    sizes: dict[Side, tuple[int, int]]


def read_views(folder: Path, board: Board) -> Views:
    """Find the board in every pair of pictures. Raises InputError for a folder without pairs, or of mixed sizes."""
    if not folder.is_dir():
        raise InputError(
            f"{folder}: no such folder; it holds NAME.picture.png and NAME.depth.png of each view"
        )
    files = _files(folder)
    views: list[View] = []
    sizes: dict[Side, tuple[int, int]] = {}
    for name, paths in sorted(files.items()):
        if missing := [str(side) for side in Side if side not in paths]:
            raise InputError(f"{folder}: {name} has no {missing[0]} picture (NAME.{missing[0]}.png)")
        corners: dict[Side, Corners | None] = {}
        for side in Side:
            grey = read_grey(paths[side])
            size = (grey.shape[1], grey.shape[0])
            if sizes.setdefault(side, size) != size:
                raise InputError(f"{paths[side]} is {size}, others are {sizes[side]} (width, height)")
            corners[side] = board.find(grey)
        views.append(View(name, corners, _points(folder / f"{name}{POINTS}", corners[Side.DEPTH], sizes)))
    if not views:
        raise InputError(f"{folder}: no views; expected NAME.picture.png and NAME.depth.png of each")
    return Views(views, sizes)


def _points(
    path: Path, corners: Corners | None, sizes: dict[Side, tuple[int, int]]
) -> NDArray[np.float64] | None:
    if corners is None or not path.is_file():
        return None
    xyz = read_tiff(path)
    if (xyz.shape[1], xyz.shape[0]) != sizes[Side.DEPTH]:
        raise InputError(
            f"{path} has other rows and columns than the depth sensor's picture; each pixel has a point"
        )
    return points_at(xyz, corners.pixels)


def points_at(xyz: NDArray[np.float32], pixels: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return points (n, 3) between the measured points (H, W, 3) at columns and rows (n, 2); NaN at a gap."""
    columns, rows = pixels[:, 0], pixels[:, 1]
    left = np.clip(np.floor(columns).astype(int), 0, xyz.shape[1] - 2)
    top = np.clip(np.floor(rows).astype(int), 0, xyz.shape[0] - 2)
    right, down = (columns - left)[:, None], (rows - top)[:, None]
    known = np.where(measured(xyz)[..., None], xyz, np.nan).astype(np.float64)
    above = known[top, left] * (1 - right) + known[top, left + 1] * right
    below = known[top + 1, left] * (1 - right) + known[top + 1, left + 1] * right
    return np.asarray(above * (1 - down) + below * down)


def read_grey(path: Path) -> NDArray[np.uint8]:
    """Read a picture of 8 or 16 bits as grey (H, W) uint8; 16 bits are stretched to their brightest pixel."""
    import cv2

    # Not turned by an EXIF mark: pixels must be those that the device delivers.
    grey = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE | cv2.IMREAD_ANYDEPTH | cv2.IMREAD_IGNORE_ORIENTATION)
    if grey is None:
        raise InputError(f"{path} cannot be read as a picture")
    if grey.dtype == np.uint16:
        grey = (grey.astype(np.float32) * (255.0 / max(int(grey.max()), 1))).astype(np.uint8)
    if grey.dtype != np.uint8:
        raise InputError(f"{path} has {grey.dtype} pixels; expected 8 or 16 bits")
    return np.asarray(grey)


def _files(folder: Path) -> dict[str, dict[Side, Path]]:
    files: dict[str, dict[Side, Path]] = {}
    for path in sorted(folder.iterdir()):
        name, dot, side = path.stem.rpartition(".")
        if dot and side in list(Side) and path.suffix.lower() in ENDINGS:
            files.setdefault(name, {})[Side(side)] = path
    return files
