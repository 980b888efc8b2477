"""A RealSense camera by librealsense (`cmfm_cameras.realsense`): depth registered to the colour picture.

Each depth frame is one trigger; its frame number is the device's count. The time of the trigger is the depth frame's
time if librealsense keeps the device's clock on the host's (domain global_time), else none. A depth frame whose colour
did not come, or is of another moment, uses its number.
"""

import time
from collections.abc import Callable, Sequence
from typing import Any, Final, cast

from cmfm_cameras.capture import Capture
from cmfm_cameras.device import DeviceInfo
from cmfm_cameras.errors import DeviceError, InputError, RefusedCaptureError, SourceEndedError
from cmfm_cameras.numbering import FrameIds
from cmfm_cameras.realsense.cloud import Cloud, picture
from cmfm_cameras.realsense.library import library
from cmfm_cameras.realsense.pairing import Alone, FramePairing, Pair, Stamped
from cmfm_cameras.realsense.streams import Streams, preset_text
from cmfm_cameras.settings.realsense import RealsenseSection
from cmfm_cameras.vendor.package import vendor_errors
from cmfm_protocol.clock import NS_PER_MS
from cmfm_settings.section import Section

FRAME_NUMBER_BITS: Final = 32
"""Width of the frame counter in the metadata of D400 devices."""

STATE_PERIOD_S: Final = 1.0
"""How often the temperature is read from the device."""

HOST_CLOCK: Final = "global_time"


def check(section: Section) -> None:
    """Raise InputError if pyrealsense2 or a file is missing."""
    library()
    realsense = cast("RealsenseSection", section)
    if realsense.playback is not None and not realsense.playback.is_file():
        raise InputError(f"realsense.playback: {realsense.playback} is missing")
    if realsense.preset_file is not None:
        preset_text(realsense.preset_file)


def open_device(section: Section) -> "RealsenseDevice":
    """Open the device or recording of the section. Raises DeviceError if it is not there, InputError."""
    check(section)
    realsense = cast("RealsenseSection", section)
    context = library().context()
    if realsense.playback is not None:
        return RealsenseDevice(_playback(context, realsense), realsense, lambda: True)
    device = _connected(context, realsense)
    return RealsenseDevice(device, realsense, lambda: bool(device.is_connected()))


def list_devices(section: Section) -> Sequence[DeviceInfo]:
    """Return the devices that are connected now. Raises InputError if pyrealsense2 is missing."""
    library()
    del section
    with vendor_errors("devices cannot be listed"):
        return [
            DeviceInfo("realsense", _info(device, "serial_number"), _name(device))
            for device in library().context().query_devices()
        ]


class RealsenseDevice:
    """An open device of librealsense. `is_there` tells whether it is still connected."""

    def __init__(
        self, device: Any, section: RealsenseSection, is_there: Callable[[], bool] = lambda: True
    ) -> None:
        self.name = _name(device)
        self.frame_ids = FrameIds(FRAME_NUMBER_BITS)
        self._device, self._section, self._is_there = device, section, is_there
        self._rs = library()
        self._pairing = FramePairing(section.pair_by, window_ms=section.window_ms, wait_ms=section.wait_ms)
        self._heard_s = time.monotonic()
        self._state_s = -STATE_PERIOD_S
        self._temperature_c: float | None = None
        self._streams = Streams(device, section)
        try:
            self._cloud = Cloud(self._streams.depth, self._streams.color, self._streams.depth_sensor, section)
            self._start()
        except BaseException:
            self.close()
            raise

    def _start(self) -> None:
        """Start both streams. A recording waits until both run, else it begins with the first alone."""
        if self._section.playback is None:
            self._streams.start()
            return
        with vendor_errors("the recording cannot be started"):
            self._device.pause()
            self._streams.start()
            self._device.resume()

    def capture(self, timeout_s: float) -> Capture | None:
        """Return the next pair of depth and colour as a capture, or None if none came in time."""
        until_s = time.monotonic() + timeout_s
        while True:
            is_ended = self._is_ended()
            frame = self._streams.next_frame(until_s - time.monotonic())
            if frame is not None:
                self._offer(frame)
            found = self._pairing.take(time.monotonic(), is_ended=is_ended and frame is None)
            if isinstance(found, Pair):
                return self._capture(found)
            if isinstance(found, Alone):
                raise self._refused(found)
            if is_ended and frame is None:
                raise SourceEndedError(f"{self.name}: the recording has no more frames")
            if time.monotonic() >= until_s:
                self._require_there()
                return None

    def close(self) -> None:
        """Stop the streams."""
        self._streams.close()

    def _offer(self, frame: Any) -> None:
        self._heard_s = time.monotonic()
        stamped = Stamped(
            frame,
            frame.get_frame_number(),
            frame.get_timestamp(),
            frame.get_frame_timestamp_domain().name,
            self._heard_s,
        )
        if frame.is_depth_frame():
            self._pairing.offer_depth(stamped)
        else:
            self._pairing.offer_color(stamped)

    def _capture(self, pair: Pair) -> Capture:
        depth, color = pair.depth, pair.color.frame
        try:
            with vendor_errors(f"{self.name}: a frame cannot be converted"):
                return Capture(
                    rgb=picture(color),
                    xyz=self._cloud.points(depth.frame),
                    frame_id=depth.number,
                    trigger_ns=self._trigger_ns(depth),
                    exposure_us=self._metadata(color, "actual_exposure"),
                    gain=self._metadata(color, "gain_level"),
                    temperature_c=self._temperature(),
                    device_ns=round(depth.time_ms * NS_PER_MS),
                )
        except RefusedCaptureError as error:
            error.frame_id, error.trigger_ns = depth.number, self._trigger_ns(depth)
            raise

    def _refused(self, alone: Alone) -> RefusedCaptureError:
        return RefusedCaptureError(
            alone.reason,
            alone.detail,
            frame_id=alone.depth.number,
            trigger_ns=self._trigger_ns(alone.depth),
        )

    def _trigger_ns(self, depth: Stamped) -> int | None:
        """The time by the host's clock. That of a recording is long ago."""
        if depth.domain != HOST_CLOCK or self._section.playback is not None:
            return None
        return round(depth.time_ms * NS_PER_MS)

    def _metadata(self, frame: Any, name: str) -> float | None:
        kind = getattr(self._rs.frame_metadata_value, name)
        return float(frame.get_frame_metadata(kind)) if frame.supports_frame_metadata(kind) else None

    def _temperature(self) -> float | None:
        """The device's temperature, read once a second."""
        if time.monotonic() - self._state_s >= STATE_PERIOD_S:
            self._state_s = time.monotonic()
            self._temperature_c = self._streams.temperature_c()
        return self._temperature_c

    def _is_ended(self) -> bool:
        if self._section.playback is None:
            return False
        return bool(self._device.current_status() == self._rs.playback_status.stopped)

    def _require_there(self) -> None:
        if time.monotonic() - self._heard_s < self._section.silent_s:
            return
        with vendor_errors(f"{self.name} is gone"):
            if not self._is_there():
                raise DeviceError(f"{self.name} is gone: it is no longer connected")
        self._heard_s = time.monotonic()


def _playback(context: Any, section: RealsenseSection) -> Any:
    try:
        device = context.load_device(str(section.playback))
        device.set_real_time(section.playback_real_time)
    except RuntimeError as error:
        raise InputError(
            f"realsense.playback: {section.playback} cannot be played ({' '.join(str(error).split())[:200]})"
        ) from error
    return device


def _connected(context: Any, section: RealsenseSection) -> Any:
    with vendor_errors("devices cannot be listed"):
        devices = list(context.query_devices())
        serials = [_info(device, "serial_number") for device in devices]
    fitting = [
        device for device, serial in zip(devices, serials, strict=True) if section.device in ("", serial)
    ]
    known = ", ".join(serials) or "none"
    if not fitting:
        wanted = f"no RealSense device {section.device!r}" if section.device else "no RealSense device"
        raise DeviceError(f"{wanted} is connected; connected: {known}")
    if len(fitting) > 1:
        raise InputError(f"realsense.device is empty and several devices are connected; name one of: {known}")
    return fitting[0]


def _name(device: Any) -> str:
    return f"{_info(device, 'name')} {_info(device, 'serial_number')}".strip()


def _info(device: Any, key: str) -> str:
    kind = getattr(library().camera_info, key)
    return str(device.get_info(kind)) if device.supports(kind) else ""
