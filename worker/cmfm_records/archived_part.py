"""The folder of one archived part: its frame, maps and verdict; it appears complete, and reading it checks the frame.

    <verdict's time, UTC>_<boot_id>_<result_id>/
        rgb.png xyz.tiff      the frame, bit for bit; `cmfm-worker inspect` reads both
        psi.npy psi_2d.npy psi_3d.npy foreground.npy      (224, 224), if the verdict had maps
        result.json           the verdict, the hashes of frame, recipe and model, device, threads and versions

No name contains text that came over the wire. Sorted by name the oldest comes first.
"""

import hashlib
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from cmfm_protocol.files.picture_files import read_png, read_tiff
from cmfm_protocol.wire.errors import Violation
from cmfm_protocol.wire.fields import read
from cmfm_protocol.wire.limits import MAP_SIDE_PX
from cmfm_protocol.wire.result import Result
from cmfm_settings.errors import InputError

NAME: Final = re.compile(r"\d{8}T\d{9}Z_([0-9A-Za-z-]+)_(\d+)")
RESULT_FILE: Final = "result.json"
RGB_FILE: Final = "rgb.png"
XYZ_FILE: Final = "xyz.tiff"
MAPS: Final = ("psi", "psi_2d", "psi_3d", "foreground")
KEPT_VERSION: Final = 1

MAX_RESULT_BYTES: Final = 1 << 20
"""A result.json with all its regions and the longest texts has about 40 kB."""

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


def frame_sha256(rgb: NDArray[np.uint8], xyz: NDArray[np.float32]) -> str:
    """SHA-256, hex, of a frame's bytes as received: rgb (H, W, 3) uint8, then xyz (H, W, 3) float32."""
    digest = hashlib.sha256(np.ascontiguousarray(rgb).data)
    digest.update(np.ascontiguousarray(xyz).data)
    return digest.hexdigest()


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
        if path.stat().st_size > MAX_RESULT_BYTES:
            raise InputError(f"{path}: larger than {MAX_RESULT_BYTES} bytes, so no line wrote it")
        facts = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{folder}: not a kept part, it has no {RESULT_FILE}") from None
    except (OSError, ValueError, RecursionError) as error:
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


def read_result(folder: Path) -> Result:
    """Read the result in a result.json, each field checked as on the wire. Raises InputError naming file and field."""
    facts = read_facts(folder)
    try:
        return read(Result, facts)
    except Violation as error:
        raise InputError(f"{folder / RESULT_FILE}: {error}") from error


def part_folders(parent: Path) -> list[Path]:
    """The folders of parts under `parent`, oldest first; other files and folders are ignored."""
    try:
        entries = list(parent.iterdir())
    except (FileNotFoundError, NotADirectoryError):  # also if it is removed at this moment
        return []
    return sorted(entry for entry in entries if NAME.fullmatch(entry.name) and entry.is_dir())


def read_map(folder: Path, key: str) -> NDArray[np.generic] | None:
    """Read one of MAPS, (224, 224); None if the part has no such map. Raises InputError naming the file."""
    path = folder / f"{key}.npy"
    try:
        if not path.is_file():
            return None
        found = np.load(
            path, mmap_mode="r", allow_pickle=False
        )  # a header that promises too much allocates nothing
    except (OSError, ValueError, EOFError, SyntaxError, TypeError) as error:
        raise InputError(f"{path}: cannot be read ({error})") from error
    if found.shape != (MAP_SIDE_PX, MAP_SIDE_PX) or found.dtype.kind not in "fb":
        raise InputError(
            f"{path}: holds {found.dtype} of shape {found.shape}; expected a map of {MAP_SIDE_PX}×{MAP_SIDE_PX}"
        )
    return np.array(found)


def _read_maps(folder: Path) -> dict[str, NDArray[np.generic]]:
    read = ((key, read_map(folder, key)) for key in MAPS)
    return {key: found for key, found in read if found is not None}
