"""Collected parts on disk, with recorded verdicts and with what people decided."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image

from cmfm_records.archived_part import KEPT_VERSION, frame_sha256
from cmfm_records.collected import Use, choose


def collected_part(
    folder: Path,
    product: str,
    number: int,
    frame: tuple[NDArray[np.uint8], NDArray[np.float32]] | None = None,
    **facts: Any,
) -> str:
    """Write a part of a product as a line collects it, `facts` in its result.json; return its name."""
    name = f"20260102T03040500{number % 10}Z_boot_{number}"
    home = folder / product / "parts" / name
    home.mkdir(parents=True)
    rgb, xyz = frame or (np.zeros((4, 4, 3), np.uint8), np.zeros((4, 4, 3), np.float32))
    Image.fromarray(rgb).save(home / "rgb.png")
    tifffile.imwrite(home / "xyz.tiff", xyz, photometric="rgb")
    known: dict[str, Any] = {"kept_version": KEPT_VERSION, "boot_id": "boot", "result_id": number}
    known |= {"verdict": "PASS", "reason": "below_threshold", "score": 0.1, "recipe": product}
    known |= {"recipe_sha": "", "model_sha": "", "frame_sha256": frame_sha256(rgb, xyz)}
    (home / "result.json").write_text(json.dumps(known | facts))
    return name


def decided(folder: Path, product: str, number: int, use: Use, **more: Any) -> str:
    """Write a part and the decision about it; return its name."""
    name = collected_part(folder, product, number, **more)
    choose(folder, product, name, use, "Ann")
    return name
