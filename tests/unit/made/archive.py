"""Archives of parts as a line writes them: a dome on a tray with a defect, its maps, its verdict."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from tests.unit.made.verdicts import BASE_NS, result

from cmfm_protocol.wire.frame import Frame, FrameHeader
from cmfm_protocol.wire.result import Region
from cmfm_protocol.wire.verdict import Verdict
from cmfm_records.archived_part import frame_sha256
from cmfm_worker.line.messages import PartMaps
from cmfm_worker.line.records.archive_folder import part_name, write_part
from cmfm_worker.line.records.recorder import Evidence

DEFECT = (100, 140)
"""Map pixel (row, col) of the defect of `domed_part`."""


def region_at(defect: tuple[int, int]) -> Region:
    """The region of a defect."""
    row, col = defect
    box = (row - 10, col - 10, row + 11, col + 11)
    return Region(bbox=box, area_px=350, area_mm2=12.5, peak=3.0, peak_px=defect, modality="3d")


REGION = region_at(DEFECT)


def domed_part(
    result_id: int,
    verdict: Verdict = Verdict.FAIL,
    *,
    size_px: tuple[int, int] = (120, 160),
    defect: tuple[int, int] = DEFECT,
    with_maps: bool = True,
    **changes: Any,
) -> Evidence:
    """A dome in a frame of `size_px` (rows, columns), with a red spot and a bump at `defect` on the map."""
    height, width = size_px
    side = max(height, width)
    rows, cols = np.mgrid[:height, :width].astype(np.float32)
    y, x = (rows - height / 2 + 0.5) / side, (cols - width / 2 + 0.5) / side
    far = np.hypot(x, y)
    z = np.where(far < 0.3, 0.5 - 0.1 * np.sqrt(np.maximum(0.09 - far**2, 0)) / 0.3, 0.5)
    at_y = (defect[0] + 0.5) / 224 - 0.5
    at_x = (defect[1] + 0.5) / 224 - 0.5
    spot = np.hypot(x - at_x, y - at_y) < 0.04
    xyz = np.stack([x * 0.4, y * 0.4, np.where(spot, z - 0.01, z)], axis=-1).astype(np.float32)
    xyz[:2] = np.nan
    rgb = np.full((height, width, 3), 90, np.uint8)
    rgb[far < 0.3] = (150, 140, 120)
    rgb[spot] = (200, 30, 30)
    rgb += np.random.default_rng(result_id).integers(0, 20, rgb.shape, dtype=np.uint8)
    given: dict[str, Any] = {
        "score": 3.0,
        "threshold": 1.0,
        "coverage": 0.97,
        "recipe": "dome",
        "camera": "north",
    }
    given |= {"regions": (region_at(defect),) if verdict in (Verdict.FAIL, Verdict.UNDECIDED) else ()}
    header = FrameHeader("a", result_id, f"p{result_id}", 0, 100.0, "dome")
    return Evidence(
        result(result_id, verdict, **(given | changes)),
        Frame(header, rgb, xyz),
        _maps(defect) if with_maps else None,
        "c" * 64,
    )


def archive_part(parent: Path, evidence: Evidence) -> Path:
    """Write a part as the line's archive does; return its folder."""
    frame = evidence.frame
    if frame is None:
        raise ValueError("a part without a frame is not archived")
    parent.mkdir(parents=True, exist_ok=True)
    write_part(parent, evidence, frame, frame_sha256(frame.rgb, frame.xyz), {"device": "cpu", "threads": 1})
    return parent / part_name(evidence)


def done_ns(result_id: int) -> int:
    """The time of the verdict of `domed_part(result_id)`."""
    return BASE_NS + result_id * 10**9


def _maps(defect: tuple[int, int]) -> PartMaps:
    rows, cols = np.mgrid[:224, :224].astype(np.float32)
    near = np.exp(-((rows - defect[0]) ** 2 + (cols - defect[1]) ** 2) / (2 * 6.0**2))
    inside = np.hypot(rows - 111.5, cols - 111.5) < 0.3 * 224
    psi = (np.where(inside, 0.2, 0.0) + 2.8 * near).astype(np.float32)
    rgb, depth = np.zeros((224, 224, 3), np.uint8), np.zeros((224, 224), np.float32)
    return PartMaps(psi, psi * np.float32(0.5), psi * np.float32(2), rgb, depth, inside)
