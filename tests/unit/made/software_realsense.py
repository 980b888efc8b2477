"""librealsense's software device: a RealSense camera without hardware, whose frames a test makes up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyrealsense2 as rs
from numpy.typing import NDArray
from tests.unit.made.known_scene import DEPTH_VIEW, PICTURE_VIEW, Cube, KnownScene, Plane, View, turn

UNIT_M = 1e-6
"""Metres of one step of depth: fine, so that rounding does not hide an error. Depth ends at 65 mm."""

PERIOD_MS = 100.0
FPS = 10
BASE_MS = 1000.0

MODELS = {"none": rs.distortion.none, "brown_conrady": rs.distortion.brown_conrady}

COLOR_VIEW = replace(PICTURE_VIEW, translation_m=np.array([0.008, 0.0004, 0.0006]))
"""A colour camera 8 mm beside the depth sensor, turned towards the same place, with a lens that distorts."""


def tilted_plane() -> KnownScene:
    """A plane 50 mm away, tilted by about 25° in x and 10° in y."""
    return KnownScene([Plane((0.45, 0.18, 1.0), 0.05)])


def cube_on_plane() -> KnownScene:
    """A cube of 6 mm, turned about z, on a plane 50 mm away."""
    return KnownScene([Plane((0.0, 0.0, 1.0), 0.05), Cube((0.0005, -0.0004, 0.047), 0.006, turn(z_deg=20.0))])


@dataclass(frozen=True)
class Parts:
    """The frames of one moment."""

    depth: NDArray[np.uint16]
    color: NDArray[np.uint8]


def seen(scene: KnownScene, depth_view: View = DEPTH_VIEW, color_view: View = COLOR_VIEW) -> Parts:
    """The views of two sensors of a scene; depth is 0 where nothing is."""
    z = np.nan_to_num(scene.points(depth_view)[..., 2] / UNIT_M)
    return Parts(np.rint(z).astype(np.uint16), scene.picture(color_view))


class SoftwareRealsense:
    """A device with a depth and a colour sensor. Frames go in by `depth` and `color` after the streams were opened."""

    def __init__(
        self,
        depth_view: View = DEPTH_VIEW,
        color_view: View = COLOR_VIEW,
        *,
        color_format: str = "rgb8",
        color_model: str = "brown_conrady",
        unit_m: float = UNIT_M,
        fps: int = FPS,
        one_sensor: bool = False,
    ) -> None:
        self.unit_m = unit_m
        self.device = rs.software_device()
        self.device.register_info(rs.camera_info.name, "Software RealSense")
        self.device.register_info(rs.camera_info.serial_number, "0001")
        self.depth_sensor = self.device.add_sensor("Stereo Module")
        self.color_sensor = self.depth_sensor if one_sensor else self.device.add_sensor("RGB Camera")
        self._depth_profile = self.depth_sensor.add_video_stream(
            _stream(rs.stream.depth, depth_view, rs.format.z16, 2, rs.distortion.brown_conrady, fps), True
        )
        self._bytes = 4 if color_format.endswith("a8") else 3
        color_stream = _stream(
            rs.stream.color,
            color_view,
            getattr(rs.format, color_format),
            self._bytes,
            getattr(rs.distortion, color_model),
            fps,
        )
        self._color_profile = self.color_sensor.add_video_stream(color_stream, True)
        self.depth_sensor.add_read_only_option(rs.option.depth_units, unit_m)
        motion = rs.extrinsics()
        to_color = color_view.rotation @ depth_view.rotation.T
        motion.rotation = to_color.ravel(order="F").tolist()
        motion.translation = (color_view.translation_m - to_color @ depth_view.translation_m).tolist()
        self._depth_profile.register_extrinsics_to(self._color_profile, motion)

    def depth(
        self,
        pixels: NDArray[np.uint16],
        number: int,
        *,
        time_ms: float | None = None,
        domain: Any = rs.timestamp_domain.hardware_clock,
    ) -> None:
        """Give a depth frame to whoever opened the stream."""
        frame = self._frame(self._depth_profile, pixels, 2, number, time_ms, domain)
        frame.depth_units = self.unit_m
        self.depth_sensor.on_video_frame(frame)

    def color(
        self,
        pixels: NDArray[np.uint8],
        number: int,
        *,
        time_ms: float | None = None,
        domain: Any = rs.timestamp_domain.hardware_clock,
    ) -> None:
        """Give a colour frame to whoever opened the stream."""
        frame = self._frame(self._color_profile, pixels, self._bytes, number, time_ms, domain)
        self.color_sensor.on_video_frame(frame)

    def both(self, parts: Parts, number: int, **changes: Any) -> None:
        """Give the frames of one moment."""
        self.depth(parts.depth, number, **changes)
        self.color(parts.color, number, **changes)

    def say(self, **values: int) -> None:
        """Put metadata into the next colour frames."""
        for name, value in values.items():
            self.color_sensor.set_metadata(getattr(rs.frame_metadata_value, name), value)

    def _frame(
        self, profile: Any, pixels: NDArray[Any], size: int, number: int, time_ms: float | None, domain: Any
    ) -> Any:
        frame = rs.software_video_frame()
        frame.bpp, frame.stride = size, pixels.shape[1] * size
        frame.pixels = np.ascontiguousarray(pixels)
        frame.timestamp = BASE_MS + number * PERIOD_MS if time_ms is None else time_ms
        frame.domain, frame.frame_number = domain, number
        frame.profile = profile.as_video_stream_profile()
        return frame


def record(path: Path, moments: Sequence[Parts], **changes: Any) -> None:
    """Record frames with librealsense's recorder into a .db3 file."""
    software = SoftwareRealsense(**changes)
    recorder = rs.recorder(str(path), software.device)
    queue = rs.frame_queue(64, keep_frames=True)
    sensors = list(recorder.query_sensors())
    for sensor in sensors:
        sensor.open(sensor.get_stream_profiles())
    for sensor in sensors:
        sensor.start(queue)
    for number, parts in enumerate(moments, start=1):
        software.both(parts, number)
    for sensor in sensors:
        sensor.stop()
        sensor.close()


def _stream(kind: Any, view: View, pixel_format: Any, size: int, model: Any, fps: int) -> Any:
    intrinsics = rs.intrinsics()
    intrinsics.width, intrinsics.height = view.width_px, view.height_px
    intrinsics.fx, intrinsics.fy = view.fx_px, view.fy_px
    intrinsics.ppx, intrinsics.ppy = view.cx_px, view.cy_px
    intrinsics.model = model
    intrinsics.coeffs = [*view.distortion, *[0.0] * (5 - len(view.distortion))]
    stream = rs.video_stream()
    stream.type, stream.index, stream.uid = kind, 0, int(kind)
    stream.width, stream.height, stream.fps, stream.bpp = view.width_px, view.height_px, fps, size
    stream.fmt, stream.intrinsics = pixel_format, intrinsics
    return stream
