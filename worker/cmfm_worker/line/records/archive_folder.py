"""Writes the folder of one archived part (`cmfm_records.archived_part`), which appears complete."""

import json
import re
import shutil
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Final

import numpy as np
import tifffile
from PIL import Image

from cmfm_protocol.wire.frame import Frame
from cmfm_records.archived_part import KEPT_VERSION, MAPS, RESULT_FILE, RGB_FILE, XYZ_FILE
from cmfm_records.time_text import utc_text
from cmfm_worker.line.records.recorder import Evidence

PARTIAL: Final = ".partial-"
PNG_LEVEL: Final = 1
"""Writes a part five times as fast as the default level, and a tenth larger."""


def part_name(evidence: Evidence) -> str:
    """The name of a verdict's folder; characters of the boot id other than letters, digits and - are left out."""
    result = evidence.result
    boot = re.sub(r"[^0-9A-Za-z-]", "", result.boot_id) or "boot"
    return f"{re.sub(r'[-:.]', '', utc_text(result.done_ns))}_{boot}_{result.result_id}"


def write_part(
    parent: Path, evidence: Evidence, frame: Frame, sha256: str, made_on: Mapping[str, object]
) -> int:
    """Write a part, which appears complete under `parent`; returns its bytes. Raises OSError."""
    name = part_name(evidence)
    scratch = parent / f"{PARTIAL}{name}"
    try:
        scratch.mkdir()
        Image.fromarray(frame.rgb).save(scratch / RGB_FILE, compress_level=PNG_LEVEL)
        tifffile.imwrite(scratch / XYZ_FILE, frame.xyz, photometric="rgb", metadata=None)
        for key in MAPS if evidence.maps is not None else ():
            np.save(scratch / f"{key}.npy", getattr(evidence.maps, key), allow_pickle=False)
        text = json.dumps(facts_of(evidence, frame, sha256, made_on), indent=2, allow_nan=False)
        (scratch / RESULT_FILE).write_text(text + "\n", encoding="utf-8")
        size = folder_bytes(scratch)
        scratch.rename(parent / name)
    except BaseException:
        shutil.rmtree(scratch, ignore_errors=True)
        raise
    return size


def facts_of(
    evidence: Evidence, frame: Frame, sha256: str, made_on: Mapping[str, object]
) -> dict[str, object]:
    """The contents of result.json: the result as published, and the facts that reproduce it."""
    return {
        "kept_version": KEPT_VERSION,
        **asdict(evidence.result),
        "size_px": list(frame.rgb.shape[:2]),
        "frame_sha256": sha256,
        "recipe_sha": evidence.recipe_sha,
        "batch": evidence.batch,
        **made_on,
    }


def folder_bytes(folder: Path) -> int:
    """Bytes of the files in a folder."""
    return sum(file.stat().st_size for file in folder.iterdir())
