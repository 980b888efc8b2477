"""The layout of Eyecandies as its site documents it (eyecan-ai.github.io/eyecandies, Format).

    <root>/<Category>/{train,val,test_public}/data/NN_<item>

Items of a part: `image_0` to `image_5` (PNG, one a light), `depth` (16-bit PNG) with `info_depth` (YAML),
`mask` (8-bit PNG, not 0 where a defect is), and others that are not read here (`normals`, `pose`). train and
val hold nominal parts only. test_private has no ground truth and is no split here.

A part is defective if its `mask` is not empty. The kind of its defect is in `metadata` (YAML: a number a kind, not 0 if
the part has it), else in the masks of single kinds (`bumps_mask`, ...), else it is "defect".
"""

import re
from pathlib import Path
from typing import Final

from cmfm_protocol.files.dataset_error import DatasetError
from cmfm_protocol.files.folder_names import missing, unique, visible
from cmfm_protocol.files.ground_truth import read_mask
from cmfm_protocol.files.part_files import GOOD, PartFiles
from cmfm_protocol.files.yaml_files import number_at, read_yaml

SHAPE: Final = (
    "<Category>/{train,val,test_public}/data/NN_{image_0..5.png,depth.png,info_depth.yaml}, "
    "and NN_mask.png in test_public"
)
SPLIT_FOLDERS: Final = {"train": "train/data", "validation": "val/data", "test": "test_public/data"}

LIGHTS: Final = ("all spots", "bottom", "right", "top", "left", "light box")
"""The light of each of the six images."""

DEFAULT_LIGHT: Final = 4
"""The image that the paper's numbers were computed from (docs/method.md, data sets)."""

KINDS: Final = ("bumps", "dents", "colors", "normals")
COMBINED: Final = "combined"
"""The kind of a part with several, as MVTec 3D-AD names it."""
UNKNOWN: Final = "defect"

_ITEM: Final = re.compile(r"(\d+)_\w+\.(?:png|yaml|txt)")
_DEPTH_SUFFIX: Final = "_depth.png"


def parts_of_split(category: Path, split: str, light: int) -> list[PartFiles]:
    """The parts of one split of a category's folder, sorted by their numbers, seen in one of the `LIGHTS`.

    Raises DatasetError if the folder is missing, a part lacks a file, or (test) its mask or metadata cannot be read.
    """
    if light not in range(len(LIGHTS)):
        raise DatasetError(f"light {light} is not one of 0 to {len(LIGHTS) - 1}")
    folder = category / SPLIT_FOLDERS[split]
    if not folder.is_dir():
        raise missing(folder, SHAPE)
    items = _items(folder)
    numbers = {found[1] for name in items if (found := _ITEM.fullmatch(name)) is not None}
    order = sorted(numbers, key=lambda number: (int(number), number))
    return [_part(folder, number, items, (category.name, split, light)) for number in order]


def depth_info_beside(depth: Path) -> Path:
    """The file with the unit of a depth picture: NN_info_depth.yaml beside NN_depth.png. Raises DatasetError."""
    if not depth.name.lower().endswith(_DEPTH_SUFFIX):
        raise DatasetError(
            f"{depth} is a PNG; expected NN{_DEPTH_SUFFIX} beside its NN_info_depth.yaml, or a TIFF"
        )
    name = depth.name[: -len(_DEPTH_SUFFIX)] + "_info_depth.yaml"
    items = _items(depth.parent) if depth.parent.is_dir() else {}
    return items.get(name, depth.with_name(name))


def _items(folder: Path) -> dict[str, Path]:
    """Files of a folder by name, with the ending in lower case and `.yml` as `.yaml`. Raises DatasetError for two."""
    return unique((entry.stem + _ending(entry), entry) for entry in visible(folder))


def _ending(path: Path) -> str:
    ending = path.suffix.lower()
    return ".yaml" if ending == ".yml" else ending


def _part(folder: Path, number: str, items: dict[str, Path], of: tuple[str, str, int]) -> PartFiles:
    category, split, light = of
    needed = [f"image_{light}.png", "depth.png", "info_depth.yaml"]
    if split == "test":
        needed.append("mask.png")
    for item in needed:
        if f"{number}_{item}" not in items:
            raise DatasetError(f"{folder / f'{number}_{item}'} is missing; expected {SHAPE}")
    rgb, depth, unit, *mask = (items[f"{number}_{item}"] for item in needed)
    defect = _defect(number, mask[0], items) if mask else GOOD
    return PartFiles(
        id=f"{category}-{split}-{defect}-{number}",
        split=split,
        defect=defect,
        rgb=rgb,
        xyz=depth,
        gt=mask[0] if mask else None,
        depth_info=unit,
    )


def _defect(number: str, mask: Path, items: dict[str, Path]) -> str:
    if not read_mask(mask, painted=False).any():
        return GOOD
    kinds = _kinds_in_metadata(number, items) or _kinds_in_masks(number, items)
    if not kinds:
        return UNKNOWN
    return kinds[0] if len(kinds) == 1 else COMBINED


def _kinds_in_metadata(number: str, items: dict[str, Path]) -> list[str]:
    path = items.get(f"{number}_metadata.yaml")
    if path is None:
        return []
    numbers = read_yaml(path)
    return [kind for kind in KINDS if kind in numbers and number_at(path, numbers, kind)]


def _kinds_in_masks(number: str, items: dict[str, Path]) -> list[str]:
    masks = {kind: items.get(f"{number}_{kind}_mask.png") for kind in KINDS}
    return [kind for kind, mask in masks.items() if mask is not None and read_mask(mask, painted=False).any()]
