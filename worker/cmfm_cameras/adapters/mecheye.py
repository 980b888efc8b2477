"""A Mech-Eye Industrial 3D Camera by the Mech-Eye API. Not tried on hardware.

The calls follow the docstrings of mecheyeapi 2.6 (`mecheye.area_scan_3d_camera`): `Camera.discover_cameras`, `connect`,
`set_point_cloud_unit`, `UserSetManager.select_user_set`, `capture_2d_and_3d`, `Frame2DAnd3D.get_textured_point_cloud`.
Each point of the textured cloud has its own colour (`PointXYZBGR`: blue, green, red), so points and picture are of the
same pixels. A point that was not measured is NaN. The API does not say how its frame ids count 2D and 3D captures, so
captures are counted here instead.
"""

from collections.abc import Sequence
from typing import Any, Final, cast

import numpy as np

from cmfm_cameras.device import DeviceInfo
from cmfm_cameras.errors import DeviceError, InputError, Refusal, RefusedCaptureError
from cmfm_cameras.points import in_metres
from cmfm_cameras.settings.mecheye import MecheyeSection
from cmfm_cameras.vendor.package import vendor_package
from cmfm_cameras.vendor.requested import RequestedDevice, Taken
from cmfm_settings.section import Section

MILLIMETRE: Final = 1e-3


def check(section: Section) -> None:
    """Raise InputError if the Mech-Eye API is missing."""
    del section
    _package()


def open_device(section: Section) -> RequestedDevice:
    """Connect to the camera of the section. Raises DeviceError if it is not there, InputError for wrong settings."""
    check(section)
    mecheye = cast("MecheyeSection", section)
    return RequestedDevice(MecheyeSource(mecheye), mecheye.period_s)


def list_devices(section: Section) -> Sequence[DeviceInfo]:
    """Return the cameras that the API finds now. Raises InputError if it is missing."""
    del section
    return [
        DeviceInfo("mecheye", info.serial_number, f"Mech-Eye {info.model} {info.ip_address}")
        for info in _package().Camera.discover_cameras()
    ]


class MecheyeSource:
    """One connected camera."""

    def __init__(self, section: MecheyeSection) -> None:
        self._api, self._section = _package(), section
        info = _chosen(self._api, section)
        self.name = f"Mech-Eye {info.model} {info.serial_number}"
        self._camera = self._api.Camera()
        self._require(self._camera.connect(info), "cannot be connected")
        try:
            unit = self._shared().CoordinateUnit_Millimeter
            self._require(self._camera.set_point_cloud_unit(unit), "does not take the unit millimetre")
            self._select_user_set()
        except BaseException:
            self.close()
            raise

    def take(self) -> Taken:
        """Capture 2D and 3D. Raises DeviceError, RefusedCaptureError if no frame came in time."""
        frame = self._api.Frame2DAnd3D()
        status = self._camera.capture_2d_and_3d(frame, round(self._section.timeout_ms))
        late = (
            self._error("MMIND_STATUS_TIMEOUT_ERROR"),
            self._error("MMIND_STATUS_NO_DATA_ERROR"),
        )
        if not status.is_ok() and status.error_code in late:
            raise RefusedCaptureError(Refusal.INCOMPLETE, f"no frame came: {status.error_description}")
        self._require(status, "does not capture")
        cloud = frame.get_textured_point_cloud()
        if cloud.is_empty():
            raise RefusedCaptureError(
                Refusal.INCOMPLETE, "the frame has no textured point cloud: does the model have a 2D camera?"
            )
        return Taken(
            np.ascontiguousarray(cloud.colors()[..., ::-1]),
            in_metres(cloud.vertices(), MILLIMETRE, zero_is_missing=False),
            temperature_c=self._temperature_c(),
        )

    def close(self) -> None:
        """Disconnect the camera."""
        self._camera.disconnect()

    def _select_user_set(self) -> None:
        name = self._section.user_set
        if not name:
            return
        status = self._camera.user_set_manager().select_user_set(name)
        if not status.is_ok():
            raise InputError(f"mecheye.user_set: {name!r} is not taken ({status.error_description})")

    def _temperature_c(self) -> float | None:
        status = self._api.CameraStatus()
        said = self._camera.get_camera_status(status)
        return float(status.temperature.cpu_temperature) if said.is_ok() else None

    def _require(self, status: Any, what: str) -> None:
        if not status.is_ok():
            raise DeviceError(f"{self.name} {what}: {status.error_description}")

    def _error(self, name: str) -> int:
        return int(getattr(self._shared().ErrorStatus, name))

    def _shared(self) -> Any:
        return vendor_package("mecheye.shared", "pip install mecheyeapi")


def _package() -> Any:
    return vendor_package("mecheye.area_scan_3d_camera", "pip install mecheyeapi")


def _chosen(api: Any, section: MecheyeSection) -> Any:
    infos = list(api.Camera.discover_cameras())
    fitting = [info for info in infos if section.device in ("", info.serial_number)]
    known = ", ".join(info.serial_number for info in infos) or "none"
    if not fitting:
        raise DeviceError(f"no Mech-Eye camera {section.device!r} is connected; connected: {known}")
    if len(fitting) > 1:
        raise InputError(f"mecheye.device is empty and several cameras are connected; name one of: {known}")
    return fitting[0]
