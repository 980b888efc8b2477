"""Frames for measurements: made up, from .npz files, or from a part's files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from cmfm_worker.bench.options import BenchError, BenchOptions

_PART_RADIUS = 0.29
"""Share of the image's side: the part covers 26 % of the image, as parts in MVTec 3D-AD do."""

_DISTANCE_M, _WIDTH_M, _HEIGHT_M = 0.5, 0.2, 0.03


@dataclass(frozen=True)
class Frames:
    """Host frames of one size: `rgb` (F, H, W, 3) uint8, `xyz` (F, H, W, 3) float32 metres; `source` their origin."""

    rgb: Tensor
    xyz: Tensor
    source: str

    def batch(self, size: int) -> tuple[Tensor, Tensor]:
        """`size` frames, from the first again after the last."""
        at = torch.arange(size) % len(self.rgb)
        return self.rgb[at].contiguous(), self.xyz[at].contiguous()


def load_frames(options: BenchOptions) -> Frames:
    """The frames that the options ask for. Raises BenchError naming the file."""
    if options.rgb is not None and options.xyz is not None:
        return _from_part(options.rgb, options.xyz)
    if options.frames:
        pairs = [_from_npz(path) for path in options.frames]
        return _stacked(pairs, ", ".join(path.name for path in options.frames))
    return _stacked([made_up_frame(options.side_px, seed) for seed in range(4)], "made up")


def made_up_frame(side_px: int, seed: int) -> tuple[Tensor, Tensor]:
    """A coloured, bumpy part on a tilted tray, seen from above: rgb and xyz of one frame."""
    rng = np.random.default_rng(seed)
    axis = (np.arange(side_px) + 0.5) / side_px - 0.5
    y, x = np.meshgrid(axis, axis, indexing="ij")
    radius = np.hypot(x, y) / _PART_RADIUS
    on_part = radius < 1 - 0.08 * rng.random() * np.sin(5 * np.arctan2(y, x)) ** 2
    bumps = 1 + 0.1 * np.sin(40 * x + seed) * np.cos(35 * y)
    height = np.where(on_part, _HEIGHT_M * bumps * np.sqrt(np.clip(1.2 - radius**2, 0.15, None)), 0)
    z = _DISTANCE_M + 0.04 * x - 0.02 * y - height + rng.normal(0, 1e-4, x.shape)
    xyz = np.stack([x * _WIDTH_M, y * _WIDTH_M, z], axis=-1).astype(np.float32)
    xyz[rng.random(x.shape) < 0.01] = np.nan  # points that a sensor misses
    light = 120 + 80 * height / _HEIGHT_M + rng.normal(0, 4, x.shape)
    tint = np.where(on_part[..., None], [1.0, 0.7, 0.4], [0.5, 0.5, 0.55])
    rgb = np.clip(light[..., None] * tint, 0, 255).astype(np.uint8)
    return torch.from_numpy(rgb), torch.from_numpy(xyz)


def _from_npz(path: Path) -> tuple[Tensor, Tensor]:
    try:
        with np.load(path, allow_pickle=False) as file:
            rgb, xyz = file["rgb"], file["xyz"]
    except (OSError, KeyError, ValueError) as error:
        raise BenchError(f"{path}: expected an .npz file with rgb and xyz ({error})") from error
    if rgb.dtype != np.uint8 or xyz.dtype != np.float32 or rgb.shape != xyz.shape or rgb.shape[-1:] != (3,):
        raise BenchError(f"{path}: expected rgb (H, W, 3) uint8 and xyz (H, W, 3) float32 of one size")
    return torch.from_numpy(rgb), torch.from_numpy(xyz)


def _from_part(rgb: Path, xyz: Path) -> Frames:
    from cmfm_protocol.files.dataset import DatasetError, PartFiles, read_part

    try:
        images = read_part(PartFiles(id=rgb.stem, split="", defect="", rgb=rgb, xyz=xyz, gt=None))
    except DatasetError as error:
        raise BenchError(str(error)) from error
    return _stacked([(torch.from_numpy(images[0].copy()), torch.from_numpy(images[1].copy()))], rgb.name)


def _stacked(pairs: list[tuple[Tensor, Tensor]], source: str) -> Frames:
    if len({pair[0].shape for pair in pairs}) > 1:
        raise BenchError("the frames are not of one size")
    return Frames(torch.stack([p[0] for p in pairs]), torch.stack([p[1] for p in pairs]), source)
