"""The layout of MVTec 3D-AD (docs/method.md, data sets), in which `cmfm-sim make` writes and a user's own parts lie.

    <root>/<category>/{train,validation,test}/<defect>/{rgb/*.png, xyz/*.tiff, gt/*.png}

`<defect>` is "good" for nominal parts; train and validation hold nothing else. A part is an RGB picture and
an XYZ picture of the same size and file name; a defective one also has a ground truth picture, which is not 0
where the defect is.
"""

from pathlib import Path
from typing import Final

from cmfm_protocol.files.dataset_error import DatasetError
from cmfm_protocol.files.folder_names import escaped, files_by_stem, missing, visible
from cmfm_protocol.files.part_files import GOOD, PartFiles

SHAPE: Final = "<category>/{train,validation,test}/<defect>/{rgb/*.png,xyz/*.tiff,gt/*.png}"
SPLIT_FOLDERS: Final = {"train": f"train/{GOOD}", "validation": f"validation/{GOOD}", "test": "test"}
_PNG_ENDINGS: Final = (".png",)
_XYZ_ENDINGS: Final = (".tiff", ".tif")
_OTHER_NAMES_OF_GOOD: Final = frozenset({"good", "goods", "ok", "okay", "normal", "nominal"})


def parts_of_split(category: Path, split: str) -> list[PartFiles]:
    """The parts of one split of a category's folder, sorted by kind of defect and file name.

    Raises DatasetError if a folder is missing or a part lacks its RGB or XYZ file.
    """
    folder = category / SPLIT_FOLDERS[split]
    kinds = _kinds(folder) if split == "test" else [folder]
    return [part for kind in kinds for part in parts_of_kind(kind, category.name, split)]


def _kinds(folder: Path) -> list[Path]:
    """Folders of the kinds of defect in a test split. Raises DatasetError for one that seems to mean `good`."""
    if not folder.is_dir():
        raise missing(folder, SHAPE)
    kinds = [entry for entry in visible(folder) if entry.is_dir()]
    for kind in kinds:
        if kind.name != GOOD and kind.name.strip().casefold() in _OTHER_NAMES_OF_GOOD:
            raise DatasetError(
                f"{escaped(kind)}: its parts would count as defective; nominal parts lie in a folder named {GOOD!r}, "
                "in lower case and without spaces"
            )
    return kinds


def _files(folder: Path, endings: tuple[str, ...]) -> dict[str, Path]:
    if not folder.is_dir():
        raise missing(folder, SHAPE)
    return files_by_stem(folder, endings)


def parts_of_kind(folder: Path, category: str, split: str) -> list[PartFiles]:
    """The parts of a folder that holds rgb/ and xyz/, sorted by file name. Raises DatasetError as `parts_of_split`."""
    rgb, xyz = _files(folder / "rgb", _PNG_ENDINGS), _files(folder / "xyz", _XYZ_ENDINGS)
    gt = files_by_stem(folder / "gt", _PNG_ENDINGS) if (folder / "gt").is_dir() else {}
    defect = folder.name
    parts = []
    for stem in sorted(rgb.keys() | xyz.keys()):
        if stem not in rgb:
            raise _without(folder / "rgb" / f"{stem}.png", f"{xyz[stem]} needs its picture")
        if stem not in xyz:
            raise _without(folder / "xyz" / f"{stem}.tiff", f"{rgb[stem]} needs its points")
        parts.append(
            PartFiles(
                id=f"{category}-{split}-{defect}-{stem}",
                split=split,
                defect=defect,
                rgb=rgb[stem],
                xyz=xyz[stem],
                gt=gt.get(stem, None if defect == GOOD else folder / "gt" / f"{stem}.png"),
            )
        )
    return parts


def _without(path: Path, why: str) -> DatasetError:
    """Return the error for a missing file; it names a file of another kind that has the same name."""
    other = next((entry for entry in visible(path.parent) if entry.stem == path.stem), None)
    there = f" ({other.name} is there)" if other is not None else ""
    return DatasetError(f"{path} is missing{there}; {why}")
