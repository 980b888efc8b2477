"""The golden frames and the mapping networks that belong to them (`shared/golden/README.md`)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cmfm_worker.cfm.prepare import BackgroundOptions, PreparedFrames, prepare

NAMES = (
    "dev_l12_g128_101_good",
    "dev_l12_g128_102_hole",
    "dev_l12_g128_103_stain",
    "dev_l12_g128_104_both",
    "dev_l12_g32_104_both",
    "dev_l8_g128_104_both",
    "dev_l4_g128_104_both",
    "dev_l1_g128_104_both",
)


@dataclass(frozen=True)
class GoldenFrame:
    """One frame, its expected results, and the extractor and mapping networks that they belong to."""

    blocks: int
    group_size: int
    mapping_2d3d: Path
    mapping_3d2d: Path
    rgb: Tensor
    xyz: Tensor
    expected: dict[str, NDArray[np.float32]]

    @property
    def frames(self) -> PreparedFrames:
        """A batch of this frame alone, whose background was removed before."""
        return prepare(self.rgb[None], self.xyz[None], BackgroundOptions(method="none"))


def load_golden(name: str, shared: Path, seeded: Path) -> GoldenFrame:
    """Load one of `NAMES`."""
    _, cut, group, _, _ = name.split("_")
    blocks, group_size = int(cut[1:]), int(group[1:])
    if (blocks, group_size) == (12, 128):
        folder, fitted = shared / "golden", "part"
    else:
        folder, fitted = seeded, f"seeded{384 if blocks == 1 else 1152}"
    with np.load(shared / "golden" / f"{name}.npz") as file:
        arrays = dict(file)
    return GoldenFrame(
        blocks=blocks,
        group_size=group_size,
        mapping_2d3d=folder / f"CFM_2Dto3D_{fitted}_50ep_4bs.pth",
        mapping_3d2d=folder / f"CFM_3Dto2D_{fitted}_50ep_4bs.pth",
        rgb=torch.from_numpy(arrays.pop("rgb")),
        xyz=torch.from_numpy(arrays.pop("xyz")),
        expected=arrays,
    )


def relative_l2(found: Tensor | float, expected: NDArray[np.float32] | Tensor | float) -> float:
    """‖found − expected‖ / ‖expected‖, in float64."""
    x, ref = (np.asarray(value, dtype=np.float64) for value in (found, expected))
    return float(np.linalg.norm(x - ref) / np.linalg.norm(ref))
