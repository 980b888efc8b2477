"""Fits lenses and the motion between two devices to the corners of many views, with OpenCV."""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from cmfm_cameras.calibration.board import Board, Corners
from cmfm_cameras.geometry.lens import Lens
from cmfm_cameras.geometry.pose import Pose

STEPS: Final = 100
PRECISION: Final = 1e-9


@dataclass(frozen=True, slots=True, eq=False)
class LensFit:
    """A lens, its error over all corners, the error of each view, and the standard deviation of its focal length.

    `normals` (n, 3) are the board's normals in the camera's frame.
    """

    lens: Lens
    error_px: float
    view_errors_px: NDArray[np.float64]
    focal_deviation: float
    normals: NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class PoseFit:
    """The motion from the depth sensor to the picture, its error, and that of each view, depth and picture (n, 2).

    `picture` is the picture's lens that goes with it. The error of a view is NaN for a device that it says nothing of.
    """

    pose: Pose
    picture: Lens
    error_px: float
    view_errors_px: NDArray[np.float64]


def fit_lens(board: Board, views: list[Corners], size: tuple[int, int], coefficients: int) -> LensFit:
    """Fit a lens with 4, 5 or 8 distortion coefficients to the board's corners in each view."""
    import cv2

    objects, pixels = [board.points[view.ids] for view in views], [view.pixels for view in views]
    flags = {4: cv2.CALIB_FIX_K3, 5: 0, 8: cv2.CALIB_RATIONAL_MODEL}[coefficients]
    error_px, matrix, distortion, turns, _, deviations, _, errors = cv2.calibrateCameraExtended(
        objects, pixels, size, None, None, flags=flags, criteria=criteria()
    )
    lens = Lens(
        *size, matrix[0, 0], matrix[1, 1], matrix[0, 2], matrix[1, 2], floats(distortion)[:coefficients]
    )
    normals = np.stack([cv2.Rodrigues(turn)[0][:, 2] for turn in turns])
    deviation = float(max(deviations[0, 0] / matrix[0, 0], deviations[1, 0] / matrix[1, 1]))
    return LensFit(lens, float(error_px), np.asarray(errors).ravel(), deviation, normals)


def fit_pose(
    board: Board, depth: list[Corners], picture: list[Corners], lenses: tuple[Lens, Lens]
) -> PoseFit:
    """Fit the motion from the depth sensor's frame to the picture's, both lenses held. Views are those of both."""
    import cv2

    objects, depths, pictures = [], [], []
    for of_depth, of_picture in zip(depth, picture, strict=True):
        ids, first, second = of_depth.common(of_picture)
        objects.append(board.points[ids])
        depths.append(first)
        pictures.append(second)
    first_lens, second_lens = lenses
    found = cv2.stereoCalibrateExtended(
        objects,
        depths,
        pictures,
        matrix_of(first_lens),
        np.array(first_lens.distortion),
        matrix_of(second_lens),
        np.array(second_lens.distortion),
        (first_lens.width_px, first_lens.height_px),
        np.eye(3),
        np.zeros((3, 1)),
        flags=cv2.CALIB_FIX_INTRINSIC,
        criteria=criteria(),
    )
    error_px, rotation, translation, errors = found[0], found[5], found[6], found[-1]
    view_errors_px = np.asarray(errors).reshape(-1, 2)
    return PoseFit(Pose.of(rotation, translation), second_lens, float(error_px), view_errors_px)


def matrix_of(lens: Lens) -> NDArray[np.float64]:
    """Return OpenCV's camera matrix (3, 3) of a lens."""
    return np.array([[lens.fx_px, 0, lens.cx_px], [0, lens.fy_px, lens.cy_px], [0, 0, 1]])


def criteria() -> Any:
    """Return when OpenCV's solvers end."""
    import cv2

    return (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, STEPS, PRECISION)


def floats(values: NDArray[Any]) -> tuple[float, ...]:
    """Return an array's numbers."""
    return tuple(float(value) for value in values.ravel())
