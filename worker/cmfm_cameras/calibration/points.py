"""The motion between the devices by the depth sensor's own points: exact for them, whatever lens its maker assumed."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from cmfm_cameras.calibration.board import Board
from cmfm_cameras.calibration.fit import PoseFit, criteria, floats, matrix_of
from cmfm_cameras.calibration.views import View
from cmfm_cameras.errors import InputError
from cmfm_cameras.geometry.lens import Lens
from cmfm_cameras.geometry.pose import Pose
from cmfm_cameras.pairing.half import Side

LEAST_POINTS: Final = 60
"""Corners with a point, over all views."""

MOST_SCALE: Final = 0.02
"""Difference of a square's size by the points from the board's."""


def has_points(used: list[View]) -> bool:
    """Tell whether the depth sensor's points are there for every view."""
    return all(view.points is not None for view in used)


def scale_problem(board: Board, used: list[View]) -> str | None:
    """Say how the points contradict the board's size; None if they do not, or if there are none."""
    ratios: list[float] = []
    for view in used:
        depth = view.corners[Side.DEPTH]
        if view.points is None or depth is None:
            continue
        truth = board.points[depth.ids]
        apart, expected = (
            np.linalg.norm(np.diff(places, axis=0), axis=-1) for places in (view.points, truth)
        )
        ratios += (apart / expected)[np.isfinite(apart)].tolist()
    if not ratios or abs(float(np.median(ratios)) - 1) <= MOST_SCALE:
        return None
    found_mm = 1000 * board.square_m * float(np.median(ratios))
    return (
        f"by the depth sensor's points a square is {found_mm:.3g} mm, by --square-mm {1000 * board.square_m:.3g}: the "
        "unit of the points (NAME.xyz.tiff is in metres), or the size of the squares, is wrong"
    )


def fit_pose_to_points(used: list[View], lens: Lens) -> PoseFit:
    """Fit the motion, and the picture's lens with it, to corners that have a point. Raises InputError for too few."""
    import cv2

    objects, pixels, owners = _matched(used)
    if len(objects) < LEAST_POINTS:
        raise InputError(
            f"only {len(objects)} corners have a measured point in NAME.xyz.tiff; at least {LEAST_POINTS} are needed"
        )
    flags = cv2.CALIB_USE_INTRINSIC_GUESS | (cv2.CALIB_RATIONAL_MODEL if len(lens.distortion) == 8 else 0)
    flags |= cv2.CALIB_FIX_K3 if len(lens.distortion) == 4 else 0
    size = (lens.width_px, lens.height_px)
    error_px, matrix, distortion, turns, moves = cv2.calibrateCamera(
        [objects],
        [pixels],
        size,
        matrix_of(lens),
        np.array(lens.distortion),
        flags=flags,
        criteria=criteria(),
    )
    again = cv2.projectPoints(objects, turns[0], moves[0], matrix, distortion)[0].reshape(-1, 2)
    squares = np.sum((again - pixels) ** 2, axis=-1)
    errors = [[np.nan, float(np.sqrt(squares[owners == place].mean()))] for place in range(len(used))]
    coefficients = floats(distortion)[: len(lens.distortion)]
    fitted = Lens(*size, matrix[0, 0], matrix[1, 1], matrix[0, 2], matrix[1, 2], coefficients)
    return PoseFit(Pose.of(cv2.Rodrigues(turns[0])[0], moves[0]), fitted, float(error_px), np.array(errors))


def _matched(used: list[View]) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.int64]]:
    """Points of the depth sensor (n, 3), the pixels of the same corners in the picture, and the view of each."""
    objects, pixels, owners = [], [], []
    for place, view in enumerate(used):
        depth, picture = view.corners[Side.DEPTH], view.corners[Side.PICTURE]
        if depth is None or picture is None or view.points is None:
            continue
        _, in_depth, in_picture = np.intersect1d(depth.ids, picture.ids, return_indices=True)
        points = view.points[in_depth]
        has = np.isfinite(points).all(axis=-1)
        objects.append(points[has])
        pixels.append(picture.pixels[in_picture][has])
        owners.append(np.full(int(has.sum()), place))
    return (
        np.concatenate(objects).astype(np.float32),
        np.concatenate(pixels).astype(np.float32),
        np.concatenate(owners),
    )
