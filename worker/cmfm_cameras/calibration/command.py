"""`cmfm-camera calibrate`: the command, its table and its file."""

import importlib.util
import json as json_format
import math
import sys
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from cmfm_cameras.calibration.board import Board
from cmfm_cameras.calibration.calibrate import Report, calibrate
from cmfm_cameras.calibration.views import read_views
from cmfm_cameras.errors import ExitCode, InputError
from cmfm_cameras.geometry.calibration_file import calibration_text
from cmfm_cameras.pairing.half import Side
from cmfm_protocol.files.outputs import require_writable_files


def run_calibrate(folder: Path, board: Board, out: Path, options: Mapping[str, Any], *, json: bool) -> int:
    """Calibrate from a folder and write `out`. Returns the exit code; a refused calibration writes nothing.

    Raises InputError for a folder or board that cannot be used, OutputError for a file that cannot be written.
    """
    if importlib.util.find_spec("cv2") is None:
        raise InputError("calibrate needs OpenCV: pip install 'cmfm[calibrate]'")
    board.require_usable()
    require_writable_files(out)
    report = calibrate(board, read_views(folder, board), **options)
    if report.calibration is not None:
        _write(out, calibration_text(report.calibration))
    if json:
        sys.stdout.write(json_format.dumps(_as_json(report), indent=2) + "\n")
    else:
        _print(report, out)
    return int(ExitCode.OK if report.calibration is not None else ExitCode.BAD_INPUT)


def _write(path: Path, text: str) -> None:
    """Write a whole file or none: a camera may read it at any moment."""
    part = path.with_name(f".{path.name}.part")
    part.write_text(text, encoding="utf-8")
    part.replace(path)


def _print(report: Report, out: Path) -> None:
    console = Console()
    table = Table("view", "corners picture", "depth", "error picture (px)", "depth (px)", "")
    for view in report.views:
        errors = [_px(view.errors_px.get(side, math.nan)) for side in Side]
        table.add_row(view.name, *(str(view.corners[side]) for side in Side), *errors, view.left_out)
    console.print(table)
    for problem in report.problems:
        console.print(f"[red]refused:[/] {problem}", highlight=False, soft_wrap=True)
    if (found := report.calibration) is not None:
        for side, lens in ((Side.PICTURE, found.picture), (Side.DEPTH, found.depth)):
            if lens is not None:
                console.print(
                    f"{side}: focal length {lens.fx_px:.2f} {lens.fy_px:.2f} px, middle {lens.cx_px:.2f} "
                    f"{lens.cy_px:.2f}, error {lens.error_px:.3f} px",
                    highlight=False,
                )
        apart_mm = 1000 * sum(value**2 for value in found.pose.translation_m) ** 0.5
        console.print(
            f"devices: {apart_mm:.2f} mm apart, error of both {found.pose.error_px:.3f} px; wrote {out}",
            highlight=False,
            soft_wrap=True,
        )


def _px(error: float) -> str:
    return "" if math.isnan(error) else f"{error:.3f}"


def _as_json(report: Report) -> dict[str, Any]:
    calibration = report.calibration
    return {
        "views": [
            asdict(view)
            | {"errors_px": {side: error for side, error in view.errors_px.items() if not math.isnan(error)}}
            for view in report.views
        ],
        "problems": report.problems,
        "calibration": None if calibration is None else calibration.model_dump(mode="json"),
    }
