"""An Ensenso stereo or structured light camera by NxLib, which needs the Ensenso SDK. Not tried on hardware.

The calls follow the docstrings of ensenso-nxlib 4.3 (`nxlib.context.StereoCamera`): `capture`, `compute_disparity_map`,
`compute_point_map`, `compute_texture`, which gives the rectified picture of the left sensor. The point map is of the
same pixels: the vendor's ROS driver (ensenso_camera, `pointCloudTexturedFromNxLib`) colours points that way, divides
them by 1000 and takes three channels for RGB. A point that was not measured is NaN. NxLib has no frame ids.
"""

import contextlib
from collections.abc import Sequence
from typing import Any, Final, cast

import numpy as np
from numpy.typing import NDArray

from cmfm_cameras.device import DeviceInfo
from cmfm_cameras.errors import DeviceError, InputError, Refusal, RefusedCaptureError
from cmfm_cameras.points import in_metres
from cmfm_cameras.settings.ensenso import EnsensoSection
from cmfm_cameras.vendor.package import said, vendor_errors, vendor_package
from cmfm_cameras.vendor.requested import RequestedDevice, Taken
from cmfm_settings.section import Section

MILLIMETRE: Final = 1e-3
DEPTH_TYPES: Final = ("Stereo", "StructuredLight")
"""Types of cameras that measure points, as NxLib writes them (VAL_STEREO, VAL_STRUCTURED_LIGHT)."""


def check(section: Section) -> None:
    """Raise InputError if NxLib's Python package or the file of parameters is missing."""
    _package()
    path = cast("EnsensoSection", section).parameters
    if path is not None and not path.is_file():
        raise InputError(f"ensenso.parameters: {path} is missing")


def open_device(section: Section) -> RequestedDevice:
    """Open the camera of the section. Raises DeviceError if it is not there, InputError for wrong settings."""
    check(section)
    ensenso = cast("EnsensoSection", section)
    return RequestedDevice(EnsensoSource(ensenso), ensenso.period_s)


def list_devices(section: Section) -> Sequence[DeviceInfo]:
    """Return the depth cameras that NxLib finds now. Raises InputError if its package is missing."""
    del section
    nxlib = _package()
    with vendor_errors("Ensenso cameras cannot be listed", *_errors()), nxlib.NxLib():
        return [DeviceInfo("ensenso", serial, f"Ensenso {model}") for serial, model in _depth_cameras(nxlib)]


class EnsensoSource:
    """One open camera."""

    def __init__(self, section: EnsensoSection) -> None:
        nxlib = _package()
        self._stack = contextlib.ExitStack()
        try:
            with vendor_errors("the Ensenso camera cannot be opened", *_errors()):
                self._stack.enter_context(nxlib.NxLib())
                serial = section.device or _only([one for one, _ in _depth_cameras(nxlib)])
                self._camera = nxlib.Camera.from_serial(serial, list(DEPTH_TYPES))
                self._camera.open()
                self._stack.callback(self._camera.close)
                self.name = f"Ensenso {self._camera.get_model_name()} {serial}"
            self._set(section)
        except BaseException:
            self.close()
            raise

    def take(self) -> Taken:
        """Capture, and compute points and picture. Raises DeviceError, RefusedCaptureError."""
        with vendor_errors(f"{self.name} does not capture", *_errors()):
            self._camera.capture()
            self._camera.compute_disparity_map()
            self._camera.compute_point_map()
            self._camera.compute_texture()
            points, texture = self._camera.get_point_map(), self._camera.get_texture()
        return Taken(_picture(texture), in_metres(points, MILLIMETRE, zero_is_missing=False))

    def close(self) -> None:
        """Close the camera."""
        with contextlib.suppress(*_errors()):
            self._stack.close()

    def _set(self, section: EnsensoSection) -> None:
        if section.parameters is None:
            return
        refusals: tuple[type[BaseException], ...] = (OSError, UnicodeDecodeError, *_errors())
        try:
            self._camera["Parameters"].set_json(section.parameters.read_text(encoding="utf-8"), True)
        except refusals as error:
            raise InputError(
                f"ensenso.parameters: {section.parameters} is not taken ({said(error)})"
            ) from error


def _package() -> Any:
    return vendor_package(
        "nxlib",
        "Install the Ensenso SDK from ensenso.com/download, then: pip install ensenso-nxlib",
    )


def _errors() -> tuple[type[BaseException], ...]:
    """The errors of the package; those of its contexts are of no common class."""
    context = vendor_package("nxlib.context", "pip install ensenso-nxlib")
    return (
        _package().NxLibError,
        context.CameraNotFoundError,
        context.CameraOpenError,
        context.CameraTypeError,
    )


def _depth_cameras(nxlib: Any) -> list[tuple[str, str]]:
    """Serial number and model of each camera that measures points."""
    cameras = nxlib.NxLibItem()["Cameras"]
    nodes = [cameras[number] for number in range(cameras.count())]
    return [
        (node["SerialNumber"].as_string(), node["ModelName"].as_string())
        for node in nodes
        if node["Type"].exists() and node["Type"].as_string() in DEPTH_TYPES
    ]


def _only(serials: Sequence[str]) -> str:
    if not serials:
        raise DeviceError("no Ensenso camera is connected")
    if len(serials) > 1:
        raise InputError(
            f"ensenso.device is empty and several cameras are there; name one of: {', '.join(serials)}"
        )
    return serials[0]


def _picture(texture: NDArray[Any]) -> NDArray[np.uint8]:
    """The picture (H, W, 3) of a grey or an RGB texture (H, W, channels)."""
    if texture.dtype != np.uint8 or texture.ndim != 3 or texture.shape[2] not in (1, 3):
        raise RefusedCaptureError(
            Refusal.UNSUPPORTED, f"a texture of {texture.shape} {texture.dtype} is not converted"
        )
    return np.repeat(texture, 3, axis=2) if texture.shape[2] == 1 else texture.copy()
