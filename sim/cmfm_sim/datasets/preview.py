"""One picture of a data set: a good part of each category with its depth, and one part of each kind of defect."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from cmfm_protocol.files.dataset import GOOD, PartFiles, list_parts, read_part, read_part_ground_truth
from cmfm_protocol.pictures.panels import contact_sheet, depth_picture, outlined

_TILE_PX = 200


def write_preview(root: Path, categories: Sequence[str], path: Path) -> None:
    """Write the contact sheet of a data set as a PNG. Raises DatasetError if its parts cannot be read."""
    rows = [_row(root, category) for category in categories]
    contact_sheet(rows, "Good parts, depth, and each defect with its ground truth outlined").save(path)


def _row(root: Path, category: str) -> list[tuple[Image.Image, str]]:
    parts = list_parts(root, category, "train")[:1]
    kinds = {part.defect: part for part in reversed(_test_parts(root, category))}
    row = []
    for part in (*parts, *(part for kind, part in sorted(kinds.items()) if kind != GOOD)):
        rgb, xyz = read_part(part)
        gt = read_part_ground_truth(part, *rgb.shape[:2])
        caption = category if part.label == 0 else part.defect
        row.append((outlined(rgb, gt, 0.5, _TILE_PX), caption))
        if part.label == 0:
            depth, _, _ = depth_picture(xyz[..., 2])
            row.append((outlined(depth, np.zeros(gt.shape), 0.5, _TILE_PX), "depth"))
    return row


def _test_parts(root: Path, category: str) -> list[PartFiles]:
    return list_parts(root, category, "test") if (root / category / "test").is_dir() else []
