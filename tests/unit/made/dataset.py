"""A data set of small frames in MVTec 3D-AD layout, and the command line run inside the test's process."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from PIL import Image

from cmfm_worker.app import main

SIDE_PX = 96


def frame(seed: int, *, stained: bool = False) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Return a warm dome on a grey tray 0.5 m below the sensor; its colour follows its height, except on a stain."""
    rng = np.random.default_rng(seed)
    axis = np.linspace(-0.1, 0.1, SIDE_PX)
    x, y = np.meshgrid(axis, axis)
    radius = np.hypot(x - rng.uniform(-0.01, 0.01), y - rng.uniform(-0.01, 0.01))
    dome = np.clip(0.06**2 - radius**2, 0, None) ** 0.5
    height = dome * rng.uniform(0.6, 0.7) + rng.normal(0, 2e-4, dome.shape)
    warm = np.stack([120 + 2500 * dome, 60 + 1500 * dome, np.full_like(dome, 60.0)], axis=-1)
    rgb = np.where(dome[..., None] > 0, warm, 110.0) + rng.normal(0, 3, (SIDE_PX, SIDE_PX, 3))
    if stained:
        rgb[stain()] = (20, 40, 220)
    return rgb.clip(0, 255).astype(np.uint8), np.stack([x, y, 0.5 - height], axis=-1).astype(np.float32)


def stain() -> NDArray[np.bool_]:
    """Return the mask of the stain."""
    at = np.zeros((SIDE_PX, SIDE_PX), dtype=bool)
    at[44:56, 50:62] = True
    return at


def write_part(folder: Path, name: str, rgb: NDArray[np.uint8], xyz: NDArray[np.float32]) -> None:
    """Write the two files of a part."""
    for kind in ("rgb", "xyz"):
        (folder / kind).mkdir(parents=True, exist_ok=True)
    Image.fromarray(rgb).save(folder / "rgb" / f"{name}.png")
    tifffile.imwrite(folder / "xyz" / f"{name}.tiff", xyz, photometric="rgb")


def write_dataset(root: Path, *, train: int = 4, validation: int = 5, good: int = 2, stains: int = 2) -> Path:
    """Write the category "dome"; return the root."""
    seed = 0
    splits = {"train": (train, 0), "validation": (validation, 0), "test": (good, stains)}
    for split, (nominal, stained) in splits.items():
        for i in range(nominal):
            write_part(root / "dome" / split / "good", f"{i:03d}", *frame(seed := seed + 1))
        for i in range(stained):
            folder = root / "dome" / split / "stain"
            write_part(folder, f"{i:03d}", *frame(seed := seed + 1, stained=True))
            (folder / "gt").mkdir(exist_ok=True)
            Image.fromarray(stain().astype(np.uint8) * 255).save(folder / "gt" / f"{i:03d}.png")
    return root


def run(*arguments: object) -> int:
    """Run `cmfm-worker ARGUMENTS` in this process; return its exit code."""
    with pytest.raises(SystemExit) as ended:
        main([str(argument) for argument in arguments])
    return int(ended.value.code or 0)


def fit(root: Path, out: Path, *more: object) -> int:
    """Run `cmfm-worker fit` on the data set above for three epochs, without simulated defects."""
    return run(
        "fit",
        "--dataset",
        "mvtec3d",
        "--root",
        root,
        "--category",
        "dome",
        "--out",
        out,
        "--epochs",
        3,
        "--extractors",
        "classic",
        "--simulated-defects",
        0,
        *more,
    )


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object from a file."""
    value: dict[str, Any] = json.loads(path.read_text())
    return value
