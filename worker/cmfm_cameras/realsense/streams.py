"""A RealSense device with two open streams: chosen profiles, settings, frames as they come.

The sensors are used as in librealsense's examples for sensors (`sensor.open`, `sensor.start` with a callback), not
its pipeline: a pipeline pairs frames by rules of its own, and refuses software devices.
"""

import contextlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from cmfm_cameras.errors import InputError
from cmfm_cameras.realsense.inbox import Inbox
from cmfm_cameras.realsense.library import library
from cmfm_cameras.settings.realsense import OPTION, RealsenseSection
from cmfm_cameras.vendor.package import vendor_errors

COLOUR_FORMATS: Final = ("rgb8", "bgr8", "rgba8", "bgra8")
"""Formats of colour that are converted, the best first."""


class Streams:
    """Depth and colour of a device. `depth` and `color` are their profiles, `depth_sensor` is the depth's sensor.

    Raises InputError for settings that the device does not take, DeviceError if it fails.
    """

    def __init__(self, device: Any, section: RealsenseSection) -> None:
        self._rs = library()
        self._started: list[Any] = []
        with vendor_errors("the device cannot be set up"):
            sensors = list(device.query_sensors())
            self.depth_sensor, self.depth = _chosen(sensors, "depth", ("z16",), section)
            color_sensor, self.color = _chosen(sensors, "color", COLOUR_FORMATS, section)
            _set_up(device, {"depth": self.depth_sensor, "color": color_sensor}, section)
            self._require_narrow_window(section)
        self._color_sensor = color_sensor
        self._inbox = Inbox(section.queue, waits=section.playback is not None)

    def start(self) -> None:
        """Let frames come. Raises DeviceError."""
        with vendor_errors("the streams cannot be started"):
            self._start()

    def next_frame(self, timeout_s: float) -> Any:
        """Return the next frame of either stream, or None. Other threads run while this one waits."""
        return self._inbox.get(timeout_s)

    def temperature_c(self) -> float | None:
        """Return the temperature of the depth sensor's chip in °C; None if the device does not say it."""
        option = self._rs.option.asic_temperature
        with vendor_errors("the temperature cannot be read"):
            return float(self.depth_sensor.get_option(option)) if self.depth_sensor.supports(option) else None

    def close(self) -> None:
        """Stop and close the sensors. Never raises for a device that is gone."""
        self._inbox.close()
        for sensor in self._started:
            for call in (sensor.stop, sensor.close):
                with contextlib.suppress(RuntimeError):
                    call()
        self._started = []

    def _start(self) -> None:
        color_sensor = self._color_sensor
        same = color_sensor is self.depth_sensor
        wanted = (
            [(self.depth_sensor, [self.depth, self.color])]
            if same
            else [(self.depth_sensor, [self.depth]), (color_sensor, [self.color])]
        )
        for sensor, profiles in wanted:
            sensor.open(profiles)
            self._started.append(sensor)
        for sensor, _ in wanted:
            sensor.start(self._inbox)

    def _require_narrow_window(self, section: RealsenseSection) -> None:
        fps = max(self.depth.fps(), self.color.fps())
        if fps and section.window_ms >= 500 / fps:
            raise InputError(
                f"realsense.window_ms = {section.window_ms:g} is not below half of the time between two frames "
                f"({500 / fps:.1f} ms at {fps} frames a second)"
            )


def _chosen(
    sensors: Sequence[Any], stream: str, formats: Sequence[str], section: RealsenseSection
) -> tuple[Any, Any]:
    """The sensor and profile of a stream: the default one if it fits, else the first of the best format."""
    found = [
        (sensor, profile.as_video_stream_profile())
        for sensor in sensors
        for profile in sensor.get_stream_profiles()
        if profile.stream_type().name == stream and profile.is_video_stream_profile()
    ]
    width, height = getattr(section, f"{stream}_width"), getattr(section, f"{stream}_height")
    fitting = [
        (sensor, profile)
        for sensor, profile in found
        if profile.format().name in formats
        and width in (0, profile.width())
        and height in (0, profile.height())
        and section.fps in (0, profile.fps())
    ]
    if not fitting:
        known = ", ".join(sorted({_described(profile) for _, profile in found})) or "none"
        raise InputError(
            f"the device has no {stream} stream of {width or 'any'}x{height or 'any'} at {section.fps or 'any'} frames "
            f"a second in {' or '.join(formats)}; it has: {known}"
        )
    return min(fitting, key=lambda one: (not one[1].is_default(), formats.index(one[1].format().name)))


def _described(profile: Any) -> str:
    return f"{profile.width()}x{profile.height()}@{profile.fps()} {profile.format().name}"


def _set_up(device: Any, sensors: dict[str, Any], section: RealsenseSection) -> None:
    if section.preset_file is not None:
        load_preset(device, section.preset_file)
    if section.visual_preset:
        _set_visual_preset(sensors["depth"], section.visual_preset)
    for option in section.options:
        _set_option(sensors, option)


def load_preset(device: Any, path: Path) -> None:
    """Load a settings file into the device. Raises InputError if it does not take one, or not this one."""
    try:
        library().serializable_device(device).load_json(preset_text(path))
    except RuntimeError as error:
        raise InputError(f"realsense.preset_file: the device does not take {path} ({error})") from error


def preset_text(path: Path) -> str:
    """Return the content of a settings file. Raises InputError if it cannot be read or is no JSON object."""
    try:
        text = path.read_text(encoding="utf-8")
        is_object = isinstance(json.loads(text), dict)
    except (OSError, ValueError) as error:
        raise InputError(f"realsense.preset_file: {path} cannot be read as JSON ({error})") from error
    if not is_object:
        raise InputError(f"realsense.preset_file: {path} is no JSON object")
    return text


def _set_visual_preset(sensor: Any, name: str) -> None:
    option = library().option.visual_preset
    if not sensor.supports(option):
        raise InputError("realsense.visual_preset: the device has no presets")
    limits = sensor.get_option_range(option)
    names = {
        sensor.get_option_value_description(option, float(value)): float(value)
        for value in range(int(limits.min), int(limits.max) + 1)
    }
    if name not in names:
        known = ", ".join(str(one) for one in names)
        raise InputError(f"realsense.visual_preset: the device has no preset {name!r}; it has {known}")
    sensor.set_option(option, names[name])


def _set_option(sensors: dict[str, Any], text: str) -> None:
    found = OPTION.fullmatch(text)
    if found is None:
        raise InputError(f"realsense.options: {text!r} has no value")
    stream, name, value = found[1], found[2], float(found[3])
    sensor, option = sensors[stream], getattr(library().option, name, None)
    if option is None or not sensor.supports(option):
        raise InputError(f"realsense.options: the device's {stream} sensor has no option {name}")
    if sensor.is_option_read_only(option):
        raise InputError(f"realsense.options: {stream}.{name} cannot be set on this device")
    limits = sensor.get_option_range(option)
    if not limits.min <= value <= limits.max:
        raise InputError(
            f"realsense.options: {text} is out of range, {limits.min:g} to {limits.max:g} are possible"
        )
    sensor.set_option(option, value)
