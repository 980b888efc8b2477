"""Data sets on disk in the layout of MVTec 3D-AD (DESIGN § 5): the contract with whoever records parts.

    <root>/<category>/{train,validation,test}/<defect>/{rgb/*.png, xyz/*.tiff, gt/*.png}

`<defect>` is "good" for nominal parts; train and validation hold nothing else. A part is an RGB picture and
an XYZ picture of the same size and file name; a defective one also has a ground truth picture, which is not 0
where the defect is.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cmfm_protocol.picture_files import DatasetError, read_png, read_tiff

__all__ = [
    "GOOD",
    "SPLITS",
    "DatasetError",
    "PartFiles",
    "categories",
    "list_parts",
    "read_ground_truth",
    "read_part",
    "read_part_ground_truth",
    "read_rgb",
    "read_xyz",
]

GOOD = "good"
SPLITS = ("train", "validation", "test")
LAYOUT = "<category>/{train,validation,test}/<defect>/{rgb/*.png,xyz/*.tiff,gt/*.png}"
XYZ_SUFFIXES = (".tiff", ".tif")


@dataclass(frozen=True, slots=True)
class PartFiles:
    """The files of one part.

    `id` is unique in the data set and safe as a file name: "bagel-test-hole-003". `gt` is where the ground
    truth of a defective part has to be (reading it says so if it is not there); None for a good part without.
    """

    id: str
    split: str
    defect: str
    rgb: Path
    xyz: Path
    gt: Path | None

    @property
    def label(self) -> int:
        """0 for a nominal part, 1 for a defective one."""
        return int(self.defect != GOOD)


def categories(root: Path) -> list[str]:
    """Names of the categories under `root`, sorted. Raises DatasetError where there is none."""
    _require_folder(root)
    found = [folder.name for folder in _folders(root) if (folder / "train" / GOOD).is_dir()]
    if not found:
        raise DatasetError(f"{root} is not a data set: no folder in it has train/{GOOD}; expected {LAYOUT}")
    return found


def list_parts(root: Path, category: str, split: str) -> list[PartFiles]:
    """The parts of one split, sorted by kind of defect and file name.

    Raises DatasetError where `root` is not a data set, the category or the split is not in it, it holds no
    part, or a part lacks its RGB or XYZ file.
    """
    if split not in SPLITS:
        raise DatasetError(f"split {split!r} is not one of {', '.join(SPLITS)}")
    folder = _category_folder(root, category) / split
    kinds = [folder / GOOD] if split != "test" else _folders(folder)
    parts = [part for kind in kinds for part in _parts_of_kind(kind, category, split)]
    if not parts:
        raise DatasetError(f"{folder} holds no parts; expected {LAYOUT}")
    return parts


def read_rgb(path: Path) -> NDArray[np.uint8]:
    """Reads an 8-bit PNG (RGB, grey, palette; alpha dropped): (H, W, 3) uint8 sRGB. Raises DatasetError."""
    return read_png(path)


def read_xyz(path: Path) -> NDArray[np.float32]:
    """Reads a float32 or float64 TIFF of three channels: (H, W, 3) float32, metres. Raises DatasetError.

    Points that are not finite or (0, 0, 0) were not measured; they are returned as they are.
    """
    return read_tiff(path)


def read_ground_truth(path: Path) -> NDArray[np.bool_]:
    """Reads an 8-bit PNG: (H, W) bool, True where it is not 0 (black). Raises DatasetError."""
    gt: NDArray[np.bool_] = read_png(path).max(axis=-1) > 0
    return gt


def read_part(files: PartFiles) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Reads RGB (H, W, 3) uint8 and XYZ (H, W, 3) float32 metres.

    Raises DatasetError where either cannot be read or they differ in size.
    """
    rgb, xyz = read_rgb(files.rgb), read_xyz(files.xyz)
    if rgb.shape != xyz.shape:
        raise DatasetError(f"{files.xyz} is {_size(xyz)}, but {files.rgb} is {_size(rgb)}; expected one size")
    return rgb, xyz


def read_part_ground_truth(files: PartFiles, height: int, width: int) -> NDArray[np.bool_]:
    """The defect's pixels, (height, width) bool; nothing but False for a good part.

    Raises DatasetError where the ground truth of a defective part is missing or is not of that size.
    """
    if files.label == 0:
        return np.zeros((height, width), dtype=np.bool_)
    if files.gt is None or not files.gt.is_file():
        raise DatasetError(f"{files.gt or files.id} is missing; a part with a defect needs its ground truth")
    gt = read_ground_truth(files.gt)
    if gt.shape != (height, width):
        raise DatasetError(f"{files.gt} is {_size(gt)}; expected {width}×{height} like the part")
    return gt


def _size(image: NDArray[np.generic]) -> str:
    return f"{image.shape[1]}×{image.shape[0]}"


def _require_folder(folder: Path) -> None:
    if not folder.is_dir():
        problem = "is a file" if folder.exists() else "does not exist"
        raise DatasetError(f"{folder} {problem}; expected a folder {LAYOUT}")


def _category_folder(root: Path, category: str) -> Path:
    known = categories(root)
    if category not in known:
        raise DatasetError(f"{root} has no category {category!r}; it has {', '.join(known)}")
    return root / category


def _folders(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise DatasetError(f"{folder} is missing; expected {LAYOUT}")
    return sorted(entry for entry in folder.iterdir() if entry.is_dir() and not entry.name.startswith("."))


def _files(folder: Path, suffixes: tuple[str, ...]) -> dict[str, Path]:
    """Files by name without suffix; hidden ones (".DS_Store", "._000.png") are none of ours."""
    if not folder.is_dir():
        raise DatasetError(f"{folder} is missing; expected {LAYOUT}")
    entries = sorted(entry for entry in folder.iterdir() if not entry.name.startswith("."))
    return {entry.stem: entry for entry in entries if entry.suffix.lower() in suffixes and entry.is_file()}


def _parts_of_kind(folder: Path, category: str, split: str) -> list[PartFiles]:
    rgb, xyz = _files(folder / "rgb", (".png",)), _files(folder / "xyz", XYZ_SUFFIXES)
    defect = folder.name
    parts = []
    for stem in sorted(rgb.keys() | xyz.keys()):
        if stem not in rgb:
            raise DatasetError(f"{folder / 'rgb' / stem}.png is missing; {xyz[stem]} needs its picture")
        if stem not in xyz:
            raise DatasetError(f"{folder / 'xyz' / stem}.tiff is missing; {rgb[stem]} needs its points")
        gt = folder / "gt" / f"{stem}.png"
        parts.append(
            PartFiles(
                id=f"{category}-{split}-{defect}-{stem}",
                split=split,
                defect=defect,
                rgb=rgb[stem],
                xyz=xyz[stem],
                gt=gt if defect != GOOD or gt.is_file() else None,
            )
        )
    return parts
