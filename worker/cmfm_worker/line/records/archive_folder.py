"""The folder of one archived part: its frame, maps and verdict; it appears complete, and reading it checks the frame.

    <verdict's time, UTC>_<boot_id>_<result_id>/
        rgb.png xyz.tiff      the frame, bit for bit; `cmfm-worker inspect` reads both
        psi.npy psi_2d.npy psi_3d.npy foreground.npy      (224, 224), if the verdict had maps
        result.json           the verdict, the hashes of frame, recipe and model, device, threads and versions

No name contains text that came over the wire. Sorted by name the oldest comes first.
"""

import json
import re
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image

from cmfm_protocol.files.picture_files import read_png, read_tiff
from cmfm_protocol.wire.frame import Frame
from cmfm_worker.errors import InputError
from cmfm_worker.line.records.recorder import Evidence, frame_sha256
from cmfm_worker.line.records.time_text import utc_text

NAME: Final = re.compile(r"\d{8}T\d{9}Z_([0-9A-Za-z-]+)_(\d+)")
PARTIAL: Final = ".partial-"
RESULT_FILE: Final = "result.json"
RGB_FILE: Final = "rgb.png"
XYZ_FILE: Final = "xyz.tiff"
MAPS: Final = ("psi", "psi_2d", "psi_3d", "foreground")
KEPT_VERSION: Final = 1
PNG_LEVEL: Final = 1
"""Writes a part five times as fast as the default level, and a tenth larger."""

MAX_THREADS: Final = 1024
"""A larger number in a file is not one that a line wrote."""


@dataclass(frozen=True, slots=True, eq=False)
class ArchivedPart:
    """An archived part as read back: rgb (H, W, 3) uint8, xyz (H, W, 3) float32, maps by name, result.json."""

    folder: Path
    rgb: NDArray[np.uint8]
    xyz: NDArray[np.float32]
    maps: dict[str, NDArray[np.generic]]
    facts: dict[str, Any]

    @property
    def threads(self) -> int | None:
        """CPU threads of the computation that inspected it; None if the file does not say."""
        threads = self.facts.get("threads")
        return threads if type(threads) is int and 1 <= threads <= MAX_THREADS else None


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


def read_archived_part(folder: Path) -> ArchivedPart:
    """Read a kept part. Raises InputError if the folder is not one or its frame does not have the recorded hash."""
    facts = read_facts(folder)
    rgb, xyz = read_png(folder / RGB_FILE), read_tiff(folder / XYZ_FILE)
    found = frame_sha256(rgb, xyz)
    if found != facts["frame_sha256"]:
        raise InputError(
            f"{folder}: {RGB_FILE} and {XYZ_FILE} are not the frame that was inspected: sha256 {found[:12]}…, "
            f"recorded {str(facts['frame_sha256'])[:12]}…"
        )
    return ArchivedPart(folder, rgb, xyz, _read_maps(folder), facts)


def read_facts(folder: Path) -> dict[str, Any]:
    """The contents of result.json. Raises InputError if it is not that of a kept part."""
    path = folder / RESULT_FILE
    if path.exists() and not path.is_file():
        raise InputError(f"{path}: not a file")
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{folder}: not a kept part, it has no {RESULT_FILE}") from None
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read as JSON: {error}") from error
    version = facts.get("kept_version") if isinstance(facts, dict) else None
    if version is None:
        raise InputError(f"{path}: was not written by a running line, there is no kept_version in it")
    if version != KEPT_VERSION:
        raise InputError(f"{path}: kept_version is {version!r}, this cmfm reads {KEPT_VERSION}")
    wanted = ("boot_id", "result_id", "verdict", "reason", "score", "recipe", "recipe_sha", "model_sha")
    missing = [key for key in (*wanted, "frame_sha256") if key not in facts]
    if missing:
        raise InputError(f"{path}: {', '.join(missing)} missing")
    return dict(facts)


def part_folders(parent: Path) -> list[Path]:
    """The folders of parts under `parent`, oldest first; other files and folders are ignored."""
    try:
        entries = list(parent.iterdir())
    except (FileNotFoundError, NotADirectoryError):  # also if it is removed at this moment
        return []
    return sorted(entry for entry in entries if NAME.fullmatch(entry.name) and entry.is_dir())


def folder_bytes(folder: Path) -> int:
    """Bytes of the files in a folder."""
    return sum(file.stat().st_size for file in folder.iterdir())


def _read_maps(folder: Path) -> dict[str, NDArray[np.generic]]:
    maps: dict[str, NDArray[np.generic]] = {}
    for key in MAPS:
        path = folder / f"{key}.npy"
        try:
            if path.is_file():
                maps[key] = np.load(path, allow_pickle=False)
        except (OSError, ValueError) as error:
            raise InputError(f"{path}: cannot be read ({error})") from error
    return maps
