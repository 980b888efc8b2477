"""A fake of pyorbbecsdk2 2.1: a camera whose aligned depth is that of its colour camera."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tests.unit.made.fake_vendors.shown import VIEW, Shown

STEP_MM = 0.01


def fake(shown: Shown, *, apart_us: int = 0, only: tuple[str, ...] = ("depth", "color")) -> Any:
    """The module `pyorbbecsdk`. Colour is `apart_us` later than depth; frame sets hold `only` these."""

    class OBError(Exception):
        pass

    class Frame:
        real = "VideoFrame"

        def __init__(self, data: NDArray[Any], number: int, time_us: int, pixel_format: str) -> None:
            self._data, self._number, self._time_us, self._format = data, number, time_us, pixel_format

        def get_index(self) -> int:
            return self._number

        def get_timestamp_us(self) -> int:
            return self._time_us

        def get_data(self) -> NDArray[np.uint8]:
            return np.frombuffer(self._data.tobytes(), np.uint8)

        def get_height(self) -> int:
            return int(self._data.shape[0])

        def get_width(self) -> int:
            return int(self._data.shape[1])

        def get_format(self) -> str:
            return self._format

        def has_metadata(self, arg0: str) -> bool:
            return arg0 == "EXPOSURE"

        def get_metadata_value(self, arg0: str) -> int:
            return 8000

        def get_stream_profile(self) -> StreamProfile:
            return StreamProfile()

    class DepthFrame(Frame):
        real = "DepthFrame"

        def get_depth_scale(self) -> float:
            return STEP_MM

    class StreamProfile:
        real = "StreamProfile"

        def as_video_stream_profile(self) -> VideoStreamProfile:
            return VideoStreamProfile()

    class VideoStreamProfile:
        real = "VideoStreamProfile"

        def get_intrinsic(self) -> Any:
            return SimpleNamespace(
                width=VIEW.width_px,
                height=VIEW.height_px,
                fx=VIEW.fx_px,
                fy=VIEW.fy_px,
                cx=VIEW.cx_px,
                cy=VIEW.cy_px,
            )

        def get_distortion(self) -> Any:
            return SimpleNamespace(**dict.fromkeys(("k1", "k2", "k3", "k4", "k5", "k6", "p1", "p2"), 0.0))

    class FrameSet:
        real = "FrameSet"

        def __init__(self, number: int, offered: tuple[str, ...] = only) -> None:
            self._number, self._offered = number, offered

        def get_depth_frame(self) -> DepthFrame | None:
            steps = np.nan_to_num(shown.xyz_mm[..., 2] / STEP_MM).round().astype(np.uint16)
            found = DepthFrame(steps, self._number, 1000 * self._number, "Y16")
            return found if "depth" in self._offered else None

        def get_color_frame(self) -> Frame | None:
            found = Frame(shown.rgb, self._number, 1000 * self._number + apart_us, "RGB")
            return found if "color" in self._offered else None

        def as_frame_set(self) -> FrameSet:
            return self

    class AlignFilter:
        real = "AlignFilter"

        def __init__(self, align_to_stream: str) -> None:
            assert align_to_stream == "COLOR_STREAM"

        def process(self, arg0: FrameSet) -> FrameSet:
            shown.called("align")
            return arg0

    class StreamProfileList:
        real = "StreamProfileList"

        def get_video_stream_profile(
            self, width: int, height: int, format: str, fps: int
        ) -> VideoStreamProfile:
            if width == 1:
                raise OBError("no such profile")
            return VideoStreamProfile()

    class Config:
        real = "Config"

        def enable_stream(self, arg0: VideoStreamProfile) -> None:
            shown.called("enable stream")

        def set_frame_aggregate_output_mode(self, arg0: str) -> None:
            shown.called(arg0)

    class Pipeline:
        real = "Pipeline"

        def __init__(self, arg0: Device) -> None:
            self._number = 0

        def get_stream_profile_list(self, arg0: str) -> StreamProfileList:
            return StreamProfileList()

        def enable_frame_sync(self) -> None:
            shown.called("sync")

        def start(self, arg0: Config) -> None:
            shown.called("start")

        def stop(self) -> None:
            shown.called("stop")

        def wait_for_frames(self, arg0: int) -> FrameSet | None:
            shown.called("capture")
            if "silent" in shown.calls:
                return None
            self._number += 1
            return FrameSet(self._number)

    class DeviceInfo:
        real = "DeviceInfo"

        def get_name(self) -> str:
            return "Gemini 335"

        def get_serial_number(self) -> str:
            return shown.serials[0]

    class Device:
        real = "Device"

        def get_device_info(self) -> DeviceInfo:
            return DeviceInfo()

        def load_preset(self, arg0: str) -> None:
            if arg0 != "High Accuracy":
                raise OBError("no such preset")

    class DeviceList:
        real = "DeviceList"

        def get_count(self) -> int:
            return len(shown.serials)

        def get_device_serial_number_by_index(self, arg0: int) -> str:
            return shown.serials[arg0]

        def get_device_name_by_index(self, arg0: int) -> str:
            return "Gemini 335"

        def get_device_by_index(self, index: int) -> Device:
            return Device()

    class Context:
        real = "Context"

        def query_devices(self) -> DeviceList:
            return DeviceList()

    classes = (Context, DeviceList, Device, DeviceInfo, Pipeline, Config, StreamProfileList, AlignFilter)
    return SimpleNamespace(
        OBError=OBError,
        OBFormat=SimpleNamespace(RGB="RGB", Y16="Y16"),
        OBSensorType=SimpleNamespace(COLOR_SENSOR="color", DEPTH_SENSOR="depth"),
        OBStreamType=SimpleNamespace(COLOR_STREAM="COLOR_STREAM"),
        OBFrameAggregateOutputMode=SimpleNamespace(FULL_FRAME_REQUIRE="FULL_FRAME_REQUIRE"),
        OBFrameMetadataType=SimpleNamespace(EXPOSURE="EXPOSURE", GAIN="GAIN"),
        **{one.__name__: one for one in (*classes, FrameSet, Frame, DepthFrame)},
        StreamProfile=StreamProfile,
        VideoStreamProfile=VideoStreamProfile,
    )
