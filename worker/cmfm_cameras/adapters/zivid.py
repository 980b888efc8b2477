"""A Zivid camera by zivid-python, which needs the Zivid SDK. Not tried on hardware.

The calls follow the docstrings of zivid-python 2.18: `Application.connect_camera` and `create_file_camera`,
`Settings.load`, `Camera.capture_2d_3d`, `Frame.point_cloud`, `PointCloud.copy_data`, `FrameInfo`, `CameraState`. Points
are millimetres in the camera's frame with NaN where nothing was measured or the region of interest ends; the colours of
the point cloud are those of its points, pixel by pixel, whatever the resolution of the 2D capture. Zivid has no frame
ids; `FrameInfo.diagnostics.packet_loss` tells of a frame with missing data, which is refused.
"""

import contextlib
from collections.abc import Sequence
from typing import Any, Final, cast

import numpy as np
from numpy.typing import NDArray

from cmfm_cameras.device import DeviceInfo
from cmfm_cameras.errors import InputError, Refusal, RefusedCaptureError
from cmfm_cameras.points import in_metres
from cmfm_cameras.settings.zivid import ZividSection
from cmfm_cameras.vendor.package import said, vendor_errors, vendor_package
from cmfm_cameras.vendor.requested import RequestedDevice, Taken
from cmfm_settings.section import Section

MILLIMETRE: Final = 1e-3


def check(section: Section) -> None:
    """Raise InputError if zivid-python or a file is missing."""
    _package()
    zivid = cast("ZividSection", section)
    if zivid.settings is None:
        raise InputError('kind = "zivid" needs settings under [zivid]: export them from Zivid Studio (.yml)')
    for key, path in (("settings", zivid.settings), ("file_camera", zivid.file_camera)):
        if path is not None and not path.is_file():
            raise InputError(f"zivid.{key}: {path} is missing")


def open_device(section: Section) -> RequestedDevice:
    """Connect to the camera of the section. Raises DeviceError if it is not there, InputError for wrong settings."""
    check(section)
    zivid = cast("ZividSection", section)
    return RequestedDevice(ZividSource(zivid), zivid.period_s)


def list_devices(section: Section) -> Sequence[DeviceInfo]:
    """Return the cameras that the SDK finds now. Raises InputError if zivid-python is missing."""
    del section
    with vendor_errors("Zivid cameras cannot be listed"), _application() as application:
        return [
            DeviceInfo("zivid", camera.info.serial_number, f"Zivid {camera.info.model_name}")
            for camera in application.cameras()
        ]


class ZividSource:
    """One connected camera."""

    def __init__(self, section: ZividSection) -> None:
        self._settings = _settings(section)
        self._stack = contextlib.ExitStack()
        try:
            with vendor_errors("the Zivid camera cannot be opened"):
                application = self._stack.enter_context(_application())
                self._camera = _camera(application, section)
                self._stack.callback(self._camera.disconnect)
                info = self._camera.info
                self.name = f"Zivid {info.model_name} {info.serial_number}"
        except BaseException:
            self.close()
            raise

    def take(self) -> Taken:
        """Capture 2D and 3D. Raises DeviceError, RefusedCaptureError if data of the frame were lost."""
        with vendor_errors(f"{self.name} does not capture"):
            frame = self._camera.capture_2d_3d(self._settings)
            try:
                return _taken(frame)
            finally:
                frame.release()

    def close(self) -> None:
        """Disconnect the camera."""
        with contextlib.suppress(RuntimeError):
            self._stack.close()


def _package() -> Any:
    return vendor_package(
        "zivid",
        "Install the Zivid SDK from zivid.com/downloads, then: pip install zivid (it builds against the SDK)",
    )


@contextlib.contextmanager
def _application() -> Any:
    application = _package().Application()
    try:
        yield application
    finally:
        application.release()


def _camera(application: Any, section: ZividSection) -> Any:
    if section.file_camera is not None:
        return application.create_file_camera(str(section.file_camera))
    return application.connect_camera(serial_number=section.device or None)


def _settings(section: ZividSection) -> Any:
    try:
        settings = _package().Settings.load(str(section.settings))
    except RuntimeError as error:
        raise InputError(f"zivid.settings: {section.settings} cannot be loaded ({said(error)})") from error
    if settings.color is None:
        raise InputError(
            f"zivid.settings: {section.settings} has no 2D settings; export it for a 2D and 3D capture (Settings/Color)"
        )
    return settings


def _taken(frame: Any) -> Taken:
    cloud = frame.point_cloud()
    if frame.info.diagnostics.packet_loss:
        raise RefusedCaptureError(
            Refusal.INCOMPLETE, "the frame lacks data (packet_loss): look at the network"
        )
    acquisitions = list(frame.settings.acquisitions)
    only = acquisitions[0] if len(acquisitions) == 1 else None
    rgba: NDArray[np.uint8] = cloud.copy_data("rgba_srgb")
    return Taken(
        np.ascontiguousarray(rgba[..., :3]),
        in_metres(cloud.copy_data("xyz"), MILLIMETRE, zero_is_missing=False),
        exposure_us=only.exposure_time.total_seconds() * 1e6 if only and only.exposure_time else None,
        gain=only.gain if only else None,
        temperature_c=frame.state.temperature.general,
    )
