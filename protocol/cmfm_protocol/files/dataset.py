"""Data sets on disk: their layouts, the parts in one, and the arrays of a part.

| layout | data set |
|---|---|
| `mvtec3d` | MVTec 3D-AD, or any folder laid out like it (`layout_mvtec3d`) |
| `synthetic` | made by `cmfm-sim make`, laid out like `mvtec3d` |
| `eyecandies` | Eyecandies (`layout_eyecandies`) |
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from cmfm_protocol.files import layout_eyecandies, layout_mvtec3d
from cmfm_protocol.files.dataset_error import DatasetError, ImplausiblePointsError
from cmfm_protocol.files.depth_picture import read_depth_points
from cmfm_protocol.files.folder_names import category_name, misnamed_in, missing, require_utf8, visible
from cmfm_protocol.files.ground_truth import read_mask
from cmfm_protocol.files.layout_eyecandies import DEFAULT_LIGHT
from cmfm_protocol.files.part_files import GOOD, METRES, SPLITS, PartFiles, XyzUnit
from cmfm_protocol.files.picture_files import is_whole_png, png_size, read_png, read_tiff
from cmfm_protocol.wire.points import look_at_sample

__all__ = [
    "DEFAULT_LIGHT",
    "GOOD",
    "LAYOUTS",
    "SPLITS",
    "DatasetError",
    "ImplausiblePointsError",
    "Layout",
    "PartFiles",
    "XyzUnit",
    "categories",
    "check_ground_truths",
    "has_split",
    "in_unit",
    "list_nominal_folder",
    "list_parts",
    "read_ground_truth",
    "read_part",
    "read_part_ground_truth",
    "read_rgb",
    "read_xyz",
]

Layout = Literal["mvtec3d", "eyecandies", "synthetic"]
LAYOUTS: Final[tuple[Layout, ...]] = get_args(Layout)


@dataclass(frozen=True, slots=True)
class _Shape:
    """A layout in text, and the folder of each split below that of a category."""

    text: str
    splits: Mapping[str, str]


_MVTEC3D: Final = _Shape(layout_mvtec3d.SHAPE, layout_mvtec3d.SPLIT_FOLDERS)
_EYECANDIES: Final = _Shape(layout_eyecandies.SHAPE, layout_eyecandies.SPLIT_FOLDERS)
_SHAPES: Final[Mapping[str, _Shape]] = {
    "mvtec3d": _MVTEC3D,
    "eyecandies": _EYECANDIES,
    "synthetic": _MVTEC3D,
}


def categories(root: Path, layout: Layout = "mvtec3d") -> list[str]:
    """Names of the categories under `root`, sorted. Raises DatasetError if there is none."""
    shape = _shape(layout)
    require_utf8(root)
    if not root.is_dir():
        problem = "is a file" if root.exists() else "does not exist"
        raise DatasetError(f"{root} {problem}; expected a folder {shape.text}")
    found = _categories(root, shape)
    if not found:
        for entry in visible(root):
            if (misnamed := misnamed_in(entry, shape.splits["train"])) is not None:
                raise misnamed
        others = [name for name, other in _SHAPES.items() if other is not shape and _categories(root, other)]
        hint = f"; it has the layout {others[0]!r}" if others else ""
        raise DatasetError(
            f"{root} is not a data set: no folder in it has {shape.splits['train']}; expected {shape.text}{hint}"
        )
    return found


def has_split(root: Path, category: str, split: str, layout: Layout = "mvtec3d") -> bool:
    """True if a category has the folder of a split.

    Raises DatasetError if there is no such category, or if the folder is there under almost that name ("Validation").
    """
    shape = _shape(layout)
    folder, below = _category_folder(root, category, layout), _split_folder(shape, split)
    if (folder / below).is_dir():
        return True
    if (misnamed := misnamed_in(folder, below)) is not None:
        raise misnamed
    return False


def list_parts(
    root: Path, category: str, split: str, layout: Layout = "mvtec3d", *, light: int = DEFAULT_LIGHT
) -> list[PartFiles]:
    """The parts of one split, in a fixed order: by kind of defect and file name, in `eyecandies` by number.

    `light` selects which of Eyecandies' six images is a part's RGB; other layouts have one.

    Raises DatasetError if `root` is not a data set, the category or the split is not in it, it holds no part, or a part
    lacks a file.
    """
    shape = _shape(layout)
    name = _split_folder(shape, split)
    folder = _category_folder(root, category, layout)
    if shape is _EYECANDIES:
        parts = layout_eyecandies.parts_of_split(folder, split, light)
    else:
        parts = layout_mvtec3d.parts_of_split(folder, split)
    if not parts:
        raise DatasetError(f"{folder / name} holds no parts; expected {shape.text}")
    return parts


def list_nominal_folder(folder: Path) -> list[PartFiles]:
    """The parts of a folder that holds only rgb/ and xyz/, sorted by file name; all count as nominal.

    Raises DatasetError if it holds no part, or a part lacks its RGB or XYZ file.
    """
    if not folder.is_dir():
        problem = "is a file" if folder.exists() else "does not exist"
        raise DatasetError(f"{folder} {problem}; expected a folder that holds rgb/*.png and xyz/*.tiff")
    name = folder.resolve().name
    found = layout_mvtec3d.parts_of_kind(folder, name, split="")
    parts = [replace(part, id=f"{name}-{part.rgb.stem}", defect=GOOD, gt=None) for part in found]
    if not parts:
        raise DatasetError(f"{folder} holds no parts; expected rgb/*.png and xyz/*.tiff in it")
    return parts


def read_rgb(path: Path) -> NDArray[np.uint8]:
    """Read an 8-bit PNG (RGB, grey, palette; alpha dropped): (H, W, 3) uint8 sRGB. Raises DatasetError."""
    return read_png(path)


def read_xyz(path: Path) -> NDArray[np.float32]:
    """Read a float32 or float64 TIFF of three channels: (H, W, 3) float32, metres. Raises DatasetError.

    Points that are not finite or (0, 0, 0) were not measured; they are returned unchanged.
    """
    return read_tiff(path)


def read_ground_truth(path: Path) -> NDArray[np.bool_]:
    """Read an 8-bit PNG: (H, W) bool, True for pixels that are not 0 (black). Raises DatasetError (`ground_truth`)."""
    return read_mask(path)


def read_part(files: PartFiles) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Read RGB (H, W, 3) uint8 and XYZ (H, W, 3) float32 metres.

    Raises DatasetError if either cannot be read or they differ in size, ImplausiblePointsError if the points cannot be
    metres in the sensor's coordinates (`cmfm_protocol.wire.points`).
    """
    rgb, xyz = read_images(files)
    _, problem = look_at_sample(xyz)
    if problem is not None:
        unit = "" if files.xyz_unit == "m" else f" (read as {files.xyz_unit})"
        raise ImplausiblePointsError(f"{files.xyz}{unit}: {problem}")
    return rgb, xyz


def read_images(files: PartFiles) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Read the same, whatever the points may be. Raises DatasetError."""
    rgb = read_rgb(files.rgb)
    xyz = read_xyz(files.xyz) if files.depth_info is None else read_depth_points(files.xyz, files.depth_info)
    if rgb.shape != xyz.shape:
        raise DatasetError(f"{files.xyz} is {_size(xyz)}, but {files.rgb} is {_size(rgb)}; expected one size")
    if files.xyz_unit != "m":
        xyz = xyz * np.float32(METRES[files.xyz_unit])
    return rgb, xyz


def in_unit(parts: Sequence[PartFiles], unit: XyzUnit) -> list[PartFiles]:
    """Return the same parts with points whose files are in another unit than metres."""
    return [replace(part, xyz_unit=unit) for part in parts]


def read_part_ground_truth(files: PartFiles, height: int, width: int) -> NDArray[np.bool_]:
    """The defect's pixels, (height, width) bool; all False for a good part.

    Raises DatasetError if the ground truth of a defective part is missing or is not of that size.
    """
    if files.label == 0:
        return np.zeros((height, width), dtype=np.bool_)
    gt = _read_mask_of(files, _ground_truth_of(files))
    if gt.shape != (height, width):
        raise DatasetError(f"{files.gt} is {_size(gt)}; expected {width}×{height} like the part")
    return gt


def check_ground_truths(parts: Sequence[PartFiles]) -> list[str]:
    """Read the ground truth of every part that has one; return a remark for each that marks no defect but should.

    Raises DatasetError naming the first that is missing, of another size than its part, painted in another way
    (`ground_truth`), or marks a defect on a good part. A part whose own picture has no readable size is skipped, and so
    is a torn ground truth: reading them raises an error of its own.
    """
    remarks = []
    for part in parts:
        gt = part.gt if part.label == 0 else _ground_truth_of(part)
        if gt is None or not _is_of_its_size(gt, part.rgb):
            continue
        marked = _read_mask_of(part, gt).any()
        if part.label == 0 and marked:
            raise DatasetError(f"{gt} marks a defect, but its part is a good one ({part.rgb})")
        if part.label == 1 and not marked:
            remarks.append(
                f"{gt} is all black: the defect of {part.id} is not marked, and figures over pixels miss it"
            )
    return remarks


def _is_of_its_size(gt: Path, rgb: Path) -> bool:
    """Tell whether both pictures are whole; raise DatasetError for a ground truth of another size, or for no PNG."""
    try:
        height, width = png_size(rgb)
    except DatasetError:
        return False
    found = png_size(gt)
    if found != (height, width):
        raise DatasetError(f"{gt} is {found[1]}×{found[0]}; expected {width}×{height} like {rgb}")
    return is_whole_png(gt)


def _read_mask_of(files: PartFiles, gt: Path) -> NDArray[np.bool_]:
    return read_mask(gt, painted=files.depth_info is None)


def _ground_truth_of(files: PartFiles) -> Path:
    if files.gt is None or not files.gt.is_file():
        raise DatasetError(f"{files.gt or files.id} is missing; a part with a defect needs its ground truth")
    return files.gt


def _shape(layout: str) -> _Shape:
    if layout not in _SHAPES:
        raise DatasetError(f"layout {layout!r} is not one of {', '.join(LAYOUTS)}")
    return _SHAPES[layout]


def _split_folder(shape: _Shape, split: str) -> str:
    if split not in SPLITS:
        raise DatasetError(f"split {split!r} is not one of {', '.join(SPLITS)}")
    return shape.splits[split]


def _size(image: NDArray[np.generic]) -> str:
    return f"{image.shape[1]}×{image.shape[0]}"


def _categories(root: Path, shape: _Shape) -> list[str]:
    return [entry.name for entry in visible(root) if (entry / shape.splits["train"]).is_dir()]


def _category_folder(root: Path, category: str, layout: Layout) -> Path:
    known, category = categories(root, layout), category_name(category)
    if category in known:
        return root / category
    shape = _shape(layout)
    if category and (root / category).is_dir():
        raise missing(root / category / shape.splits["train"], shape.text)
    raise DatasetError(f"{root} has no category {category!r}; it has {', '.join(known)}")
