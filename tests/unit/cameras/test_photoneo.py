"""The Photoneo adapter: the settings of the GenICam device that it makes, on buffers as Photoneo documents them."""

from pathlib import Path

import numpy as np
import pytest
from tests.unit.made.known_scene import View, tilted_plane

pytest.importorskip("cv2", reason="needs the extra genicam")
pytest.importorskip("genicam", reason="needs the extra genicam")

from cmfm_cameras.adapters import photoneo
from cmfm_cameras.adapters.photoneo import genicam_section
from cmfm_cameras.errors import DeviceError, InputError
from cmfm_cameras.gentl.colour import picture, picture_part
from cmfm_cameras.gentl.nodes import Nodes, read_scan3d
from cmfm_cameras.gentl.parts import Part
from cmfm_cameras.gentl.points import points, require_same_pixels
from cmfm_cameras.gentl.producers import producers
from cmfm_cameras.settings.genicam import GenicamSection
from cmfm_cameras.settings.photoneo import PhotoneoSection

MONO10, MONO12, RGB8, ABC32F = 0x01100003, 0x01100005, 0x02180014, 0x026000C0


class NoFeatures:
    """A node map that says nothing about coordinates."""


@pytest.mark.parametrize(("code", "bits"), [(MONO10, 10), (MONO12, 12), (RGB8, 8)])
def test_intensity_and_range_become_picture_and_points(code: int, bits: int) -> None:
    """Mono10, Mono12 or RGB8, and Coord3D_ABC32f in millimetres with (0, 0, 0) where nothing was measured."""
    view, scene = View(), tilted_plane()
    xyz_mm = (scene.points(view) * 1000).astype("<f4")
    xyz_mm[:, :20] = 0
    rgb = scene.picture(view)
    grey = rgb[..., 0].astype("<u2") << (bits - 8)
    colour_bytes = rgb.tobytes() if code == RGB8 else grey.tobytes()
    raw = colour_bytes + xyz_mm.tobytes()
    colour = Part(code, 0, len(colour_bytes), view.width_px, view.height_px)
    cloud = Part(ABC32F, len(colour_bytes), xyz_mm.nbytes, view.width_px, view.height_px)
    scan = read_scan3d(Nodes(NoFeatures()), genicam_section(PhotoneoSection()))

    require_same_pixels(picture_part([colour, cloud]), [colour, cloud])
    found = points(raw, [colour, cloud], scan)
    expected = rgb if code == RGB8 else np.repeat(rgb[..., :1], 3, axis=2)
    np.testing.assert_array_equal(picture(raw, colour), expected)
    assert np.isnan(found[:, :20]).all()
    measured = found[:, 20:].astype(float)
    assert scene.distance_m(measured).max() < 1e-6
    columns, rows = np.meshgrid(np.arange(20, view.width_px), np.arange(view.height_px))
    assert np.abs(view.pixels(measured) - np.stack([columns, rows], axis=-1)).max() < 0.1


def test_features_follow_the_family_and_the_colour_camera() -> None:
    """A colour texture is set to RGB8, because Mono16 would be YCoCg; settings of the user come last."""
    section = PhotoneoSection(
        family="motioncam", texture="Color", camera_space="ColorCamera", features=("ExposureTime=10",)
    )
    made = genicam_section(section)
    assert made.features == (
        "Scan3dOutputMode=CalibratedABC_Grid",
        "CameraSpace=ColorCamera",
        "CameraTextureSource=Color",
        "ComponentSelector=Intensity",
        "PixelFormat=RGB8",
        "ExposureTime=10",
    )
    assert made.components == ("Intensity", "Range")
    assert genicam_section(PhotoneoSection(texture="LED")).features[-1] == "TextureSource=LED"
    assert made.trigger == "software"


def test_other_makers_devices_are_not_photoneo_s() -> None:
    """The simulated producer is found and not listed; it cannot be opened as a Photoneo device either."""
    (viky,) = producers(GenicamSection(producers=("viky",)))
    section = PhotoneoSection(producers=(viky,), device="VikyTL_DEV_red")
    assert photoneo.list_devices(section) == []
    with pytest.raises(InputError, match=r"feature (Scan3dOutputMode|CameraSpace)"):
        photoneo.open_device(section.model_copy(update={"camera_space": "ColorCamera"}))
    with pytest.raises(DeviceError, match="no device 'PhoXi'"):
        photoneo.open_device(PhotoneoSection(producers=(viky,), device="PhoXi"))


def test_a_producer_is_needed() -> None:
    """It is named if it is missing."""
    with pytest.raises(InputError, match=r"nowhere\.cti is missing"):
        photoneo.check(PhotoneoSection(producers=(Path("/nowhere.cti"),)))
