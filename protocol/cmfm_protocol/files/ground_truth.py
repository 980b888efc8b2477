"""Ground truth pictures: 0 (black) is sound, everything else is the defect.

A picture that another tool painted differently would give wrong figures without an error. So a picture is refused
that hides its marks in transparency, holds the grey levels of a soft brush or of JPEG, or marks most of itself.
"""

from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from cmfm_protocol.files.dataset_error import DatasetError
from cmfm_protocol.files.picture_files import decode_png, png_size

MAX_KINDS: Final = 8
"""A picture may mark several kinds or pieces, each with a level of its own."""

_LOW_LEVELS: Final = 16
_HIGH_LEVELS: Final = 200
"""Levels of several kinds lie together at one end: numbers from 1 on, or just below 255."""

_MOST: Final = 0.5
_OPAQUE: Final = 255


def read_mask(path: Path, *, painted: bool = True) -> NDArray[np.bool_]:
    """Read a ground truth, an 8-bit PNG: (H, W) bool, True for pixels that are not 0. Raises DatasetError.

    The grey levels of a picture that was not `painted` but rendered (Eyecandies) are its edges, and are not refused.
    """
    png_size(path)
    levels = decode_png(path, _levels)
    mask: NDArray[np.bool_] = levels > 0
    if painted:
        _require_few_levels(path, levels)
    share = float(mask.mean())
    if share > _MOST:
        raise DatasetError(
            f"{path} marks {share:.0%} of the picture as the defect: is it inverted? Expected 0 (black) where the part "
            "is sound"
        )
    return mask


def _levels(path: Path, image: Image.Image) -> NDArray[np.uint8]:
    """Return the highest channel of every pixel. Raises DatasetError for a picture that is transparent somewhere."""
    if image.has_transparency_data:
        rgba = np.array(image.convert("RGBA"), dtype=np.uint8)
        if rgba[..., 3].min() < _OPAQUE:
            raise DatasetError(
                f"{path} is transparent in places: are the marks in its alpha channel? Expected an opaque picture"
            )
        rgb = rgba[..., :3]
    else:
        rgb = np.array(image.convert("RGB"), dtype=np.uint8)
    highest: NDArray[np.uint8] = rgb.max(axis=-1)
    return highest


def _require_few_levels(path: Path, levels: NDArray[np.uint8]) -> None:
    found = np.flatnonzero(np.bincount(levels.ravel(), minlength=256))
    marks = found[found > 0]
    together = marks.size == 0 or marks.max() <= _LOW_LEVELS or marks.min() >= _HIGH_LEVELS
    if marks.size > 1 and not (marks.size <= MAX_KINDS and together):
        raise DatasetError(
            f"{path} has {marks.size + int(found[0] == 0)} grey levels: was it painted with a soft brush, or saved as "
            "JPEG? Expected 0 where the part is sound and one other value where the defect is"
        )
