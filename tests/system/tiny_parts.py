"""Tiny parts in MVTec 3D-AD layout for `stub_worker`, and the line that inspects them."""

import sys
from collections.abc import Sequence
from pathlib import Path

import tifffile
from PIL import Image

from cmfm_sim.chaos.line import LineOptions, LineSettings
from cmfm_sim.chaos.parts import ensure_parts, read_settings

from . import stub_worker
from .stub_worker import tiny_frame

CATEGORY = "praline"
GOOD, DEFECTIVE = 12, 4


def write_tiny_parts(root: Path) -> Path:
    """A category "praline" of tiny parts, most of them in its test split; returns `root`."""
    for split, defect, count in (("train", "good", 1), ("test", "good", GOOD), ("test", "hole", DEFECTIVE)):
        folders = [root / CATEGORY / split / defect / kind for kind in ("rgb", "xyz", "gt")]
        for folder in folders:
            folder.mkdir(parents=True, exist_ok=True)
        for number in range(count):
            rgb, xyz = tiny_frame(number, defective=defect != "good")
            Image.fromarray(rgb).save(folders[0] / f"{number:03d}.png")
            tifffile.imwrite(folders[1] / f"{number:03d}.tiff", xyz, photometric="rgb", metadata=None)
            Image.fromarray(rgb[..., 0] * 0 + 255).save(folders[2] / f"{number:03d}.png")
    return root


def taught_settings(folder: Path) -> LineSettings:
    """Settings with a real recipe, which the worker loads and warms up; taught in `folder` if it is missing."""
    return read_settings(ensure_parts(folder, CATEGORY, lambda: False)[1])


def stub_line(
    root: Path,
    settings: LineSettings,
    *,
    rate_hz: float,
    limit: int,
    deadline_ms: float = 2000.0,
    proxied: bool = True,
    disk_mb: int | None = 96,
    camera: Sequence[str] = (),
) -> LineOptions:
    """A line that sends the tiny parts of `root` to the stub; `settings` name its recipes."""
    return LineOptions(
        root,
        CATEGORY,
        rate_hz,
        deadline_ms,
        limit,
        settings={
            **settings,
            "maps": {"publish": "none"},
            "kept": {"which": "none"},
            "log": {"level": "error"},
            "ring": {"slots": 256, "max_pixels": 4096},
            "batch": {"max_batch": 32},
            "intake": {"receive_hwm": 100},
        },
        worker=[sys.executable, stub_worker.__file__],
        proxied=proxied,
        disk_mb=disk_mb,
        camera=camera,
    )
