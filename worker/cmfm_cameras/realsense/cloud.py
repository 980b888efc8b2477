"""Colour pictures and registered points from a pair of librealsense frames.

The depth is filtered in the order that the makers recommend, deprojected by librealsense's own point cloud, moved into
the colour camera's frame and drawn into its picture (`geometry.registration`). librealsense's `align` is not used: it
copies the depth of the nearest depth pixel, which is the distance from the depth camera, into blocks of the picture.
"""

from typing import Any, Final, cast

import numpy as np
from numpy.typing import NDArray

from cmfm_cameras.errors import InputError, Refusal, RefusedCaptureError
from cmfm_cameras.geometry.lens import Lens
from cmfm_cameras.geometry.pose import Pose
from cmfm_cameras.geometry.registration import Registration
from cmfm_cameras.points import in_metres
from cmfm_cameras.realsense.library import library
from cmfm_cameras.settings.realsense import FARTHEST_M, RealsenseSection

BROWN_CONRADY: Final = ("none", "brown_conrady", "modified_brown_conrady", "inverse_brown_conrady")
"""Models that librealsense projects by one formula, up to a thousandth of a pixel for its lenses."""

HOLE_FILLING: Final = {"left": 0, "farthest": 1, "nearest": 2}

ORDERS: Final = {"rgb8": (0, 1, 2), "bgr8": (2, 1, 0), "rgba8": (0, 1, 2), "bgra8": (2, 1, 0)}


def picture(frame: Any) -> NDArray[np.uint8]:
    """Return the picture (H, W, 3) uint8 of a colour frame, in a new array."""
    video = frame.as_video_frame()
    order = ORDERS[video.profile.format().name]
    data = np.asanyarray(video.get_data())
    return np.ascontiguousarray(data.reshape(video.get_height(), video.get_width(), -1)[..., order])


class Cloud:
    """Makes points of depth frames, registered to the picture of a colour stream.

    Raises InputError if the colour lens is of a model that is not converted.
    """

    def __init__(self, depth: Any, color: Any, depth_sensor: Any, section: RealsenseSection) -> None:
        rs = library()
        self._cloud = rs.pointcloud()
        self._decimation = section.decimation
        self._filters = _filters(section, is_stereo=depth_sensor.supports(rs.option.stereo_baseline))
        self._registration = Registration(
            lens_of(color.get_intrinsics()),
            pose_of(depth.get_extrinsics_to(color)),
            steepest_deg=section.steepest_deg,
        )

    def points(self, frame: Any) -> NDArray[np.float32]:
        """Return points (H, W, 3) float32 metres at the picture's pixels, in the colour camera's frame.

        Raises RefusedCaptureError if the frame does not say its unit.
        """
        for step in self._filters:
            frame = step.process(frame)
        depth = frame.as_depth_frame()
        if not depth.get_units() > 0:
            raise RefusedCaptureError(Refusal.NOT_METRES, "the depth frame does not say its unit")
        vertices = np.asanyarray(self._cloud.calculate(depth).get_vertices(2))
        points = in_metres(
            cast("NDArray[np.float32]", vertices.reshape(depth.get_height(), depth.get_width(), 3)), 1.0
        )
        if self._decimation > 1:
            _centre(points, depth.profile.as_video_stream_profile().get_intrinsics(), self._decimation)
        return self._registration.register(points)


def _centre(points: NDArray[np.float32], intrinsics: Any, decimation: int) -> None:
    """Move points of decimated pixels to the middles of the pixels that they were made of.

    librealsense divides the principal point by `decimation`, as if pixels were counted from their edges.
    """
    aside_px = 0.5 - 0.5 / decimation
    points[..., 0] += points[..., 2] * np.float32(aside_px / intrinsics.fx)
    points[..., 1] += points[..., 2] * np.float32(aside_px / intrinsics.fy)


def lens_of(intrinsics: Any) -> Lens:
    """Return the lens of librealsense's intrinsics. Raises InputError for a fisheye."""
    if intrinsics.model.name not in BROWN_CONRADY:
        raise InputError(f"a colour lens of the model {intrinsics.model.name} is not converted")
    has_distortion = intrinsics.model.name != "none" and any(intrinsics.coeffs)
    return Lens(
        intrinsics.width,
        intrinsics.height,
        intrinsics.fx,
        intrinsics.fy,
        intrinsics.ppx,
        intrinsics.ppy,
        tuple(intrinsics.coeffs) if has_distortion else (),
    )


def pose_of(extrinsics: Any) -> Pose:
    """Return the motion of librealsense's extrinsics, whose rotation is column-major."""
    rotation = np.array(extrinsics.rotation, dtype=float).reshape(3, 3, order="F")
    return Pose.of(rotation, np.array(extrinsics.translation, dtype=float))


def _filters(section: RealsenseSection, *, is_stereo: bool) -> list[Any]:
    """The filters that are on: decimation, threshold, then in disparity spatial and temporal, then hole filling."""
    rs = library()
    steps: list[Any] = []
    if section.decimation > 1:
        steps.append(rs.decimation_filter(float(section.decimation)))
    if section.min_distance_m > 0 or section.max_distance_m < FARTHEST_M:
        steps.append(rs.threshold_filter(section.min_distance_m, section.max_distance_m))
    smooth: list[Any] = []
    if section.spatial:
        spatial = rs.spatial_filter(
            section.spatial_alpha, float(section.spatial_delta), float(section.spatial_magnitude), 0.0
        )
        smooth.append(spatial)
    if section.temporal:
        smooth.append(
            rs.temporal_filter(
                section.temporal_alpha, float(section.temporal_delta), section.temporal_persistence
            )
        )
    if smooth and is_stereo:
        smooth = [rs.disparity_transform(True), *smooth, rs.disparity_transform(False)]
    steps += smooth
    if section.hole_filling != "off":
        steps.append(rs.hole_filling_filter(HOLE_FILLING[section.hole_filling]))
    return steps
