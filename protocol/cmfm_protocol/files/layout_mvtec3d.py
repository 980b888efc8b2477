"""The layout of MVTec 3D-AD (docs/method.md, data sets), in which `cmfm-sim make` writes and a user's own parts lie.

    <root>/<category>/{train,validation,test}/<defect>/{rgb/*.png, xyz/*.tiff, gt/*.png}

`<defect>` is "good" for nominal parts; train and validation hold nothing else. A part is an RGB picture and
an XYZ picture of the same size and file name; a defective one also has a ground truth picture, which is not 0
where the defect is.
"""

from pathlib import Path
from typing import Final

from cmfm_protocol.files.part_files import GOOD, PartFiles
from cmfm_protocol.files.picture_files import DatasetError

SHAPE: Final = "<category>/{train,validation,test}/<defect>/{rgb/*.png,xyz/*.tiff,gt/*.png}"
SPLIT_FOLDERS: Final = {"train": f"train/{GOOD}", "validation": f"validation/{GOOD}", "test": "test"}
_XYZ_SUFFIXES: Final = (".tiff", ".tif")


def parts_of_split(category: Path, split: str) -> list[PartFiles]:
    """The parts of one split of a category's folder, sorted by kind of defect and file name.

    Raises DatasetError if a folder is missing or a part lacks its RGB or XYZ file.
    """
    folder = category / SPLIT_FOLDERS[split]
    kinds = _folders(folder) if split == "test" else [folder]
    return [part for kind in kinds for part in parts_of_kind(kind, category.name, split)]


def _folders(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise DatasetError(f"{folder} is missing; expected {SHAPE}")
    return sorted(entry for entry in folder.iterdir() if entry.is_dir() and not entry.name.startswith("."))


def _files(folder: Path, suffixes: tuple[str, ...]) -> dict[str, Path]:
    """Files by name without suffix; hidden ones (".DS_Store", "._000.png") are ignored."""
    if not folder.is_dir():
        raise DatasetError(f"{folder} is missing; expected {SHAPE}")
    entries = sorted(entry for entry in folder.iterdir() if not entry.name.startswith("."))
    return {entry.stem: entry for entry in entries if entry.suffix.lower() in suffixes and entry.is_file()}


def parts_of_kind(folder: Path, category: str, split: str) -> list[PartFiles]:
    """The parts of a folder that holds rgb/ and xyz/, sorted by file name. Raises DatasetError as `parts_of_split`."""
    rgb, xyz = _files(folder / "rgb", (".png",)), _files(folder / "xyz", _XYZ_SUFFIXES)
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
