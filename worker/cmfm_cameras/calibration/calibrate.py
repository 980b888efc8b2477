"""From views to a calibration: fit, judge, refuse."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

import numpy as np

from cmfm_cameras.calibration.board import Board, Corners
from cmfm_cameras.calibration.coverage import fit_problems, view_problems
from cmfm_cameras.calibration.fit import LensFit, PoseFit, fit_lens, fit_pose
from cmfm_cameras.calibration.points import fit_pose_to_points, has_points, scale_problem
from cmfm_cameras.calibration.views import View, Views
from cmfm_cameras.geometry.calibration_file import FORMAT, Calibration, LensTable, PoseTable
from cmfm_cameras.geometry.lens import Lens
from cmfm_cameras.pairing.half import Side

OUTLIER: Final = 3.0
"""A view whose error is so many times the median of all is left out: the board moved, or a corner is wrong."""

OUTLIER_PX: Final = 0.5
"""And at least so large."""


@dataclass(frozen=True, slots=True)
class ViewReport:
    """One view: corners found by each device, errors in pixels, and why it was not used."""

    name: str
    corners: dict[Side, int]
    errors_px: dict[Side, float]
    left_out: str = ""


@dataclass(frozen=True, slots=True)
class Report:
    """A calibration and the data that it was made of. `calibration` is None if `problems` refuse it."""

    views: list[ViewReport]
    problems: list[str]
    calibration: Calibration | None


def calibrate(
    board: Board, views: Views, *, coefficients: int = 5, most_error_px: float = 1.0, calib_id: str = ""
) -> Report:
    """Fit both lenses and the motion between the devices, without outliers; refuse what cannot be trusted."""
    used = [view for view in views.views if view.is_seen_by_both]
    problems = _of_views(used, views.sizes)
    if problems:
        return Report(_reports(views.views, {}, set()), problems, None)
    lenses, used, outliers = _without_outliers(board, used, views.sizes, coefficients)
    problems = _of_views(used, views.sizes)
    for side, fit in lenses.items():
        problems += [f"{side}: {problem}" for problem in fit_problems(fit.normals, fit.focal_deviation)]
        if fit.error_px > most_error_px:
            problems.append(
                f"{side}: the lens fits to {fit.error_px:.2f} px; at most {most_error_px:g} (--most-error-px). Is the "
                "board flat, are --squares and its kind right, are the pictures sharp?"
            )
    if problems:
        return Report(_reports(views.views, _errors(used, lenses), outliers), problems, None)
    if problem := scale_problem(board, used):
        return Report(_reports(views.views, _errors(used, lenses), outliers), [problem], None)
    pose = _fit_pose(board, used, lenses)
    reports = _reports(views.views, _pair_errors(used, pose), outliers)
    if pose.error_px > most_error_px:
        problem = (
            f"both devices together fit to {pose.error_px:.2f} px; at most {most_error_px:g} (--most-error-px). Did "
            "the board stand still while both took a view?"
        )
        return Report(reports, [problem], None)
    return Report(reports, [], _calibration(lenses, pose, used, calib_id))


def _of_views(used: list[View], sizes: dict[Side, tuple[int, int]]) -> list[str]:
    problems = []
    for side in Side:
        problems += [f"{side}: {problem}" for problem in view_problems(_corners(used, side), sizes[side])]
    return problems


def _corners(views: list[View], side: Side) -> list[Corners]:
    return [found for view in views if (found := view.corners[side]) is not None]


def _without_outliers(
    board: Board, used: list[View], sizes: dict[Side, tuple[int, int]], coefficients: int
) -> tuple[dict[Side, LensFit], list[View], set[str]]:
    lenses = {side: fit_lens(board, _corners(used, side), sizes[side], coefficients) for side in Side}
    outliers = set()
    for fit in lenses.values():
        limit = max(OUTLIER * float(np.median(fit.view_errors_px)), OUTLIER_PX)
        outliers |= {view.name for view, error in zip(used, fit.view_errors_px, strict=True) if error > limit}
    if outliers and len(outliers) < len(used) / 2:
        used = [view for view in used if view.name not in outliers]
        lenses = {side: fit_lens(board, _corners(used, side), sizes[side], coefficients) for side in Side}
    return lenses, used, outliers


def _fit_pose(board: Board, used: list[View], lenses: dict[Side, LensFit]) -> PoseFit:
    if has_points(used):
        return fit_pose_to_points(used, lenses[Side.PICTURE].lens)
    both = (lenses[Side.DEPTH].lens, lenses[Side.PICTURE].lens)
    return fit_pose(board, _corners(used, Side.DEPTH), _corners(used, Side.PICTURE), both)


def _errors(used: list[View], lenses: dict[Side, LensFit]) -> dict[str, dict[Side, float]]:
    return {
        view.name: {side: float(fit.view_errors_px[place]) for side, fit in lenses.items()}
        for place, view in enumerate(used)
    }


def _pair_errors(used: list[View], pose: PoseFit) -> dict[str, dict[Side, float]]:
    return {
        view.name: {Side.DEPTH: float(errors[0]), Side.PICTURE: float(errors[1])}
        for view, errors in zip(used, pose.view_errors_px, strict=True)
    }


def _reports(views: list[View], errors: dict[str, dict[Side, float]], outliers: set[str]) -> list[ViewReport]:
    reports = []
    for view in views:
        counts = {side: 0 if found is None else len(found.ids) for side, found in view.corners.items()}
        unseen = [str(side) for side, count in counts.items() if not count]
        why = f"board not found in {' and '.join(unseen)}" if unseen else ""
        why = "outlier" if view.name in outliers else why
        reports.append(ViewReport(view.name, counts, errors.get(view.name, {}), why))
    return reports


def _calibration(lenses: dict[Side, LensFit], pose: PoseFit, used: list[View], calib_id: str) -> Calibration:
    by = "the depth sensor's points" if has_points(used) else "two pictures"
    made = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}, {len(used)} views, by {by}"
    return Calibration(
        format=FORMAT,
        calib_id=calib_id,
        made=made,
        picture=_table(pose.picture, lenses[Side.PICTURE].error_px),
        depth=_table(lenses[Side.DEPTH].lens, lenses[Side.DEPTH].error_px),
        pose=PoseTable(
            rotation=pose.pose.rotation, translation_m=pose.pose.translation_m, error_px=pose.error_px
        ),
    )


def _table(lens: Lens, error_px: float) -> LensTable:
    return LensTable(
        width_px=lens.width_px,
        height_px=lens.height_px,
        fx_px=lens.fx_px,
        fy_px=lens.fy_px,
        cx_px=lens.cx_px,
        cy_px=lens.cy_px,
        distortion=lens.distortion,
        error_px=error_px,
    )
