"""One part on disk: its files, and what their names say about it."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

__all__ = ["GOOD", "METRES", "SPLITS", "PartFiles", "XyzUnit"]

XyzUnit = Literal["m", "cm", "mm", "um"]
METRES: Final[Mapping[XyzUnit, float]] = {"m": 1.0, "cm": 1e-2, "mm": 1e-3, "um": 1e-6}
"""Metres in each unit."""

GOOD = "good"
SPLITS = ("train", "validation", "test")


@dataclass(frozen=True, slots=True)
class PartFiles:
    """The files of one part.

    `id` is unique in the data set and safe as a file name: "bagel-test-hole-003". `gt` is the path of the ground truth
    that a defective part must have (reading raises an error if it is missing); None for a good part without one.
    `depth_info` is None if `xyz` is a picture of points (TIFF). If `xyz` is a depth picture (16-bit PNG,
    `cmfm_protocol.files.depth_picture`), it is the file of that picture's unit. `xyz_unit` is the unit of a TIFF.
    """

    id: str
    split: str
    defect: str
    rgb: Path
    xyz: Path
    gt: Path | None
    depth_info: Path | None = None
    xyz_unit: XyzUnit = "m"

    @property
    def label(self) -> int:
        """0 for a nominal part, 1 for a defective one."""
        return int(self.defect != GOOD)

    @property
    def sources(self) -> tuple[Path, ...]:
        """The files that its RGB and its points are read from."""
        return (self.rgb, self.xyz) if self.depth_info is None else (self.rgb, self.xyz, self.depth_info)
