"""An Orbbec camera by pyorbbecsdk 2. Not tried on hardware.

The calls follow pyorbbecsdk2 2.1, its type stubs and examples/beginner/03_color_and_depth_aligned.py: a `Pipeline` with
`Config`, frame sync, whole frame sets alone, `AlignFilter` to the colour stream, the depth scale in millimetres a step,
0 for a pixel not measured. Points follow from the aligned depth and the colour stream's intrinsics and distortion. The
depth frame's index is the device's count; its width is not documented, 64 bits are assumed. Depth and colour whose
device times differ by more than `window_ms` are refused.
"""

import contextlib
import time
from collections.abc import Sequence
from typing import Any, Final, cast

import numpy as np
from numpy.typing import NDArray

from cmfm_cameras.capture import Capture
from cmfm_cameras.device import DeviceInfo
from cmfm_cameras.errors import DeviceError, InputError, Refusal, RefusedCaptureError
from cmfm_cameras.geometry.lens import Lens
from cmfm_cameras.numbering import FrameIds
from cmfm_cameras.points import in_metres
from cmfm_cameras.settings.orbbec import OrbbecSection
from cmfm_cameras.vendor.package import said, vendor_errors, vendor_package
from cmfm_settings.section import Section

MILLIMETRE: Final = 1e-3
NS_PER_US: Final = 1000


def check(section: Section) -> None:
    """Raise InputError if pyorbbecsdk is missing."""
    del section
    _package()


def open_device(section: Section) -> "OrbbecDevice":
    """Start the camera of the section. Raises DeviceError if it is not there, InputError for wrong settings."""
    check(section)
    return OrbbecDevice(cast("OrbbecSection", section))


def list_devices(section: Section) -> Sequence[DeviceInfo]:
    """Return the cameras that are connected now. Raises InputError if pyorbbecsdk is missing."""
    del section
    sdk = _package()
    with vendor_errors("Orbbec cameras cannot be listed", sdk.OBError):
        devices = sdk.Context().query_devices()
        return [
            DeviceInfo(
                "orbbec",
                devices.get_device_serial_number_by_index(number),
                f"Orbbec {devices.get_device_name_by_index(number)}",
            )
            for number in range(devices.get_count())
        ]


class OrbbecDevice:
    """One camera that streams."""

    def __init__(self, section: OrbbecSection) -> None:
        self._sdk, self._section = _package(), section
        self.frame_ids = FrameIds()
        self._heard_s = time.monotonic()
        self._pipeline: Any = None
        try:
            with vendor_errors("the Orbbec camera cannot be opened", self._sdk.OBError):
                self._context = self._sdk.Context()
                self._device = _chosen(self._context.query_devices(), section)
                info = self._device.get_device_info()
                self.name = f"Orbbec {info.get_name()} {info.get_serial_number()}"
                self._load_preset()
                self._start()
        except BaseException:
            self.close()
            raise

    def capture(self, timeout_s: float) -> Capture | None:
        """Return the next frame, or None if none came in time. A camera that is silent is opened again."""
        with vendor_errors(f"{self.name} gives no frames", self._sdk.OBError):
            frames = self._pipeline.wait_for_frames(max(round(timeout_s * 1000), 1))
            if frames is None:
                if time.monotonic() - self._heard_s > self._section.silent_s:
                    raise DeviceError(f"{self.name} has been silent for {self._section.silent_s:g} s")
                return None
            self._heard_s = time.monotonic()
            return self._capture(frames)

    def close(self) -> None:
        """Stop the streams."""
        if self._pipeline is not None:
            with contextlib.suppress(self._sdk.OBError):
                self._pipeline.stop()

    def _load_preset(self) -> None:
        if not self._section.preset:
            return
        try:
            self._device.load_preset(self._section.preset)
        except self._sdk.OBError as error:
            raise InputError(
                f"orbbec.preset: {self._section.preset!r} is not taken ({said(error)})"
            ) from error

    def _start(self) -> None:
        sdk, section = self._sdk, self._section
        pipeline, config = sdk.Pipeline(self._device), sdk.Config()
        for name, sensor, pixel_format in (
            ("color", sdk.OBSensorType.COLOR_SENSOR, sdk.OBFormat.RGB),
            ("depth", sdk.OBSensorType.DEPTH_SENSOR, sdk.OBFormat.Y16),
        ):
            width, height = getattr(section, f"{name}_width"), getattr(section, f"{name}_height")
            try:
                profiles = pipeline.get_stream_profile_list(sensor)
                profile = profiles.get_video_stream_profile(width, height, pixel_format, section.fps)
            except sdk.OBError as error:
                raise InputError(
                    f"the camera has no {name} stream of {width or 'any'}x{height or 'any'} at {section.fps} frames a "
                    f"second ({said(error)})"
                ) from error
            config.enable_stream(profile)
        config.set_frame_aggregate_output_mode(sdk.OBFrameAggregateOutputMode.FULL_FRAME_REQUIRE)
        self._align = sdk.AlignFilter(align_to_stream=sdk.OBStreamType.COLOR_STREAM)
        pipeline.enable_frame_sync()
        pipeline.start(config)
        self._pipeline = pipeline

    def _capture(self, frames: Any) -> Capture:
        depth, color = frames.get_depth_frame(), frames.get_color_frame()
        if depth is None:
            raise RefusedCaptureError(Refusal.INCOMPLETE, "a frame set without depth")
        frame_id = int(depth.get_index())
        try:
            self._require_one_moment(depth, color)
            rgb = _picture(color, self._sdk)
            xyz = self._points(frames, color)
        except RefusedCaptureError as error:
            error.frame_id = frame_id
            raise
        kind = self._sdk.OBFrameMetadataType
        return Capture(
            rgb,
            xyz,
            frame_id=frame_id,
            trigger_ns=None,
            exposure_us=_metadata(color, kind.EXPOSURE),
            gain=_metadata(color, kind.GAIN),
            device_ns=int(depth.get_timestamp_us()) * NS_PER_US,
        )

    def _require_one_moment(self, depth: Any, color: Any) -> None:
        if color is None:
            raise RefusedCaptureError(Refusal.INCOMPLETE, "a frame set without colour")
        apart_ms = abs(depth.get_timestamp_us() - color.get_timestamp_us()) / 1000
        if apart_ms > self._section.window_ms:
            raise RefusedCaptureError(
                Refusal.OTHER_TRIGGER, f"depth and colour are {apart_ms:.1f} ms apart (window_ms)"
            )

    def _points(self, frames: Any, color: Any) -> NDArray[np.float32]:
        aligned = self._align.process(frames)
        depth = None if aligned is None else aligned.as_frame_set().get_depth_frame()
        if depth is None:
            raise RefusedCaptureError(Refusal.NOT_REGISTERED, "the depth could not be aligned to the colour")
        height, width = depth.get_height(), depth.get_width()
        if (height, width) != (color.get_height(), color.get_width()):
            raise RefusedCaptureError(
                Refusal.NOT_REGISTERED,
                f"the aligned depth has {width}x{height} pixels, the colour another number",
            )
        steps = np.frombuffer(depth.get_data(), np.uint16).reshape(height, width)
        lens = lens_of(color.get_stream_profile().as_video_stream_profile())
        z = steps * np.float64(depth.get_depth_scale())
        return in_metres(np.dstack([lens.rays() * z[..., None], z]), MILLIMETRE)


def lens_of(profile: Any) -> Lens:
    """Return the lens of a video stream profile; Orbbec's distortion is Brown-Conrady with k1 to k6."""
    intrinsic, distortion = profile.get_intrinsic(), profile.get_distortion()
    names = ("k1", "k2", "p1", "p2", "k3", "k4", "k5", "k6")
    coefficients = tuple(float(getattr(distortion, name)) for name in names)
    return Lens(
        int(intrinsic.width),
        int(intrinsic.height),
        float(intrinsic.fx),
        float(intrinsic.fy),
        float(intrinsic.cx),
        float(intrinsic.cy),
        coefficients if any(coefficients) else (),
    )


def _picture(color: Any, sdk: Any) -> NDArray[np.uint8]:
    if color.get_format() != sdk.OBFormat.RGB:
        raise RefusedCaptureError(
            Refusal.UNSUPPORTED, f"colour of format {color.get_format()} is not converted"
        )
    data = np.frombuffer(color.get_data(), np.uint8)
    return data.reshape(color.get_height(), color.get_width(), 3).copy()


def _metadata(frame: Any, kind: Any) -> float | None:
    return float(frame.get_metadata_value(kind)) if frame.has_metadata(kind) else None


def _package() -> Any:
    return vendor_package("pyorbbecsdk", "pip install pyorbbecsdk2 (the package pyorbbecsdk is the old SDK)")


def _chosen(devices: Any, section: OrbbecSection) -> Any:
    serials = [devices.get_device_serial_number_by_index(number) for number in range(devices.get_count())]
    known = ", ".join(serials) or "none"
    fitting = [number for number, serial in enumerate(serials) if section.device in ("", serial)]
    if not fitting:
        raise DeviceError(f"no Orbbec camera {section.device!r} is connected; connected: {known}")
    if len(fitting) > 1:
        raise InputError(f"orbbec.device is empty and several cameras are connected; name one of: {known}")
    return devices.get_device_by_index(fitting[0])
