"""A Photoneo PhoXi scanner or MotionCam by GigE Vision, on the code of `adapters.genicam`. Not tried on hardware.

The features follow photoneo-python-examples, GigE-V/README.md and GigE-V/harvesters/advanced (firmware 1.13 and later):
components Intensity and Range, whose points match 1:1; `Scan3dOutputMode` CalibratedABC_Grid (Coord3D_ABC32f);
`TextureSource` or `CameraTextureSource`; `CameraSpace`; `TriggerSource` Software or Line1. A point (0, 0, 0) was not
measured; coordinates are millimetres, as PhoXi Control has them.

Two traps are kept out: Normal also comes as Coord3D_ABC32f, so every component but these two is disabled; and a colour
texture in Mono16 is YCoCg, which looks like a grey picture, so RGB8 is set for it.
"""

from collections.abc import Sequence
from typing import Final, cast

from cmfm_cameras.adapters import genicam
from cmfm_cameras.adapters.genicam import GenicamDevice
from cmfm_cameras.device import DeviceInfo
from cmfm_cameras.settings.genicam import GenicamSection
from cmfm_cameras.settings.photoneo import PhotoneoSection
from cmfm_settings.section import Section

TEXTURE_FEATURES: Final = {"phoxi": "TextureSource", "motioncam": "CameraTextureSource"}


def check(section: Section) -> None:
    """Raise InputError if a package or a producer is missing."""
    genicam.check(genicam_section(cast("PhotoneoSection", section)))


def open_device(section: Section) -> GenicamDevice:
    """Open the device of the section. Raises DeviceError if it is not there, InputError for wrong settings."""
    return genicam.open_device(genicam_section(cast("PhotoneoSection", section)))


def list_devices(section: Section) -> Sequence[DeviceInfo]:
    """Return the producers' devices whose name says Photoneo. Raises InputError if there is no producer."""
    found = genicam.list_devices(genicam_section(cast("PhotoneoSection", section)))
    return [
        DeviceInfo("photoneo", info.identifier, info.description)
        for info in found
        if "photoneo" in f"{info.identifier} {info.description}".lower()
    ]


def genicam_section(section: PhotoneoSection) -> GenicamSection:
    """Return the settings of the GenICam device that a Photoneo device is."""
    return GenicamSection(
        producers=section.producers,
        device=section.device,
        user_set=section.user_set,
        components=("Intensity", "Range"),
        features=(*_features(section), *section.features),
        trigger=section.trigger,
        trigger_source="Line1",
        software_s=section.software_s,
        buffers=section.buffers,
        unit="mm",
        output_mode="CalibratedABC_Grid",
        pose="device",
        zero_is_missing=True,
        ptp_ahead_s=section.ptp_ahead_s,
        silent_s=section.silent_s,
    )


def _features(section: PhotoneoSection) -> list[str]:
    features = ["Scan3dOutputMode=CalibratedABC_Grid"]
    if section.camera_space != "as_is":
        features.append(f"CameraSpace={section.camera_space}")
    if section.texture != "as_is":
        features.append(f"{TEXTURE_FEATURES[section.family]}={section.texture}")
    if section.texture == "Color":
        features += ["ComponentSelector=Intensity", "PixelFormat=RGB8"]
    return features
