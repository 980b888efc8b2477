"""Adapters of vendors' Python packages on fakes of them: the documented calls, and what becomes of their answers."""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.unit.made.fake_vendors import FAKES, MODULES, mecheye, modules_of
from tests.unit.made.fake_vendors.shown import SCENE, VIEW, Shown
from tests.unit.made.published_camera import published
from tests.unit.made.scripted_device import next_capture, refused, wait_until

from cmfm_cameras.capture import check_capture
from cmfm_cameras.device import Device, adapter_of
from cmfm_cameras.errors import DeviceError, InputError, Refusal
from cmfm_cameras.settings.model import CameraSettings
from cmfm_settings.section import Section

REQUESTED = ("ensenso", "mecheye", "zivid")
STREAMED = ("oakd", "orbbec")


class Vendors:
    """Puts fakes in the place of vendors' packages, and opens devices by the adapters."""

    def __init__(self, patch: pytest.MonkeyPatch, folder: Path) -> None:
        self.shown = Shown()
        self._patch = patch
        self._settings = folder / "capture.yml"
        self._settings.write_text("made up")

    def install(self, kind: str, **changes: Any) -> None:
        for name, module in modules_of(kind, self.shown, **changes).items():
            self._patch.setitem(sys.modules, name, module)

    def section(self, kind: str, **keys: Any) -> Section:
        if kind in REQUESTED:
            keys = {"period_s": 0.001, **keys}
        if kind == "zivid":
            keys = {"settings": self._settings, **keys}
        section: Section = getattr(CameraSettings.model_validate({kind: keys}), kind)
        return section

    def open(self, kind: str, **keys: Any) -> Device:
        return adapter_of(kind).open_device(self.section(kind, **keys))


@pytest.fixture
def vendors(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Vendors:
    return Vendors(monkeypatch, tmp_path)


@pytest.mark.parametrize("kind", FAKES)
def test_frames_are_registered_and_in_metres(vendors: Vendors, kind: str) -> None:
    """Each point lies on the surface within a micrometre (Orbbec: a step of its depth), and on its pixel's ray."""
    vendors.install(kind)
    device = vendors.open(kind)
    capture = next_capture(device)
    device.close()
    check_capture(capture)
    np.testing.assert_array_equal(capture.rgb, SCENE.picture(VIEW))
    assert np.isnan(capture.xyz[:5]).all()
    points = capture.xyz[5:].astype(float)
    surface_m = 6e-6 if kind == "orbbec" else 1e-6
    assert SCENE.distance_m(points).max() < surface_m
    columns, rows = np.meshgrid(np.arange(VIEW.width_px), np.arange(5, VIEW.height_px))
    assert np.abs(VIEW.pixels(points) - np.stack([columns, rows], axis=-1)).max() < 0.1


@pytest.mark.parametrize("kind", FAKES)
def test_captures_stay_as_they_were(vendors: Vendors, kind: str) -> None:
    """Arrays are copies: the next frame changes none of them."""
    vendors.install(kind)
    device = vendors.open(kind)
    capture = next_capture(device)
    rgb, xyz = capture.rgb.copy(), capture.xyz.copy()
    vendors.shown.rgb[:], vendors.shown.xyz_mm[:] = 0, 1.0
    next_capture(device)
    np.testing.assert_array_equal(capture.rgb, rgb)
    np.testing.assert_array_equal(capture.xyz, xyz)
    assert capture.rgb.flags.c_contiguous
    device.close()


@pytest.mark.parametrize("kind", FAKES)
def test_devices_are_listed_and_chosen_by_serial_number(vendors: Vendors, kind: str) -> None:
    """One that is not there may come; two without a name are a question to the person who writes the settings."""
    vendors.install(kind)
    assert [info.identifier for info in adapter_of(kind).list_devices(vendors.section(kind))] == ["0815"]
    with pytest.raises(DeviceError):
        vendors.open(kind, device="4711")
    vendors.shown.serials = ("1", "2")
    if kind != "zivid":  # the SDK takes the next one that is free
        with pytest.raises(InputError, match=f"{kind}.device is empty.*1, 2"):
            vendors.open(kind)
    vendors.open(kind, device="2").close()
    vendors.shown.serials = ()
    with pytest.raises(DeviceError):
        vendors.open(kind)


@pytest.mark.parametrize("kind", FAKES)
def test_a_missing_package_is_named_with_its_source(
    monkeypatch: pytest.MonkeyPatch, vendors: Vendors, kind: str
) -> None:
    """`check` says what to install; nothing is imported before."""
    monkeypatch.setitem(sys.modules, MODULES[kind].partition(".")[0], None)
    with pytest.raises(InputError, match=r"cannot be imported.*pip install"):
        adapter_of(kind).check(vendors.section(kind))


@pytest.mark.parametrize("kind", REQUESTED)
def test_a_request_without_a_frame_is_a_lost_part(vendors: Vendors, kind: str) -> None:
    """Its number is used; the camera is opened again; parts after it are published."""
    vendors.install(kind)
    broken: Exception = RuntimeError("gone")
    if kind == "ensenso":
        broken = vars(sys.modules["nxlib"])["NxLibError"]("gone")
    if kind == "mecheye":
        broken = mecheye.Failed(mecheye.OFFLINE)
    opened: list[Device] = []

    def open_next() -> Device:
        opened.append(vendors.open(kind, period_s=0.05))
        if len(opened) == 1:
            vendors.shown.fails = broken
        return opened[-1]

    with published(open_next) as listening:
        received = listening.until(lambda received: len(received.frames) >= 3)
    assert len(opened) == 2
    assert received.lost[:1] == [0]
    assert [frame.header.seq for frame in received.frames[:3]] == [1, 2, 3]


@pytest.mark.parametrize("kind", STREAMED)
def test_numbers_are_the_device_s_and_a_silent_one_is_opened_again(vendors: Vendors, kind: str) -> None:
    """Frame ids count on; after silent_s without a frame the device is an error."""
    vendors.install(kind)
    device = vendors.open(kind, silent_s=0.05)
    assert [next_capture(device).frame_id for _ in range(3)] == [1, 2, 3]
    vendors.shown.calls.append("silent")
    with pytest.raises(DeviceError, match="silent"):
        wait_until(lambda: device.capture(0.01) is not None)
    device.close()
    assert "stop" in vendors.shown.calls


def test_zivid_says_what_it_knows_of_a_frame(vendors: Vendors) -> None:
    """Exposure, gain and temperature; buffers are given back, the camera and the SDK released."""
    vendors.install("zivid")
    device = vendors.open("zivid")
    capture = next_capture(device)
    assert (capture.exposure_us, capture.gain, capture.temperature_c) == (6500.0, 1.5, 41.5)
    assert capture.trigger_ns is not None
    device.close()
    assert vendors.shown.calls == [
        "load capture.yml",
        "capture_2d_3d",
        "release frame",
        "disconnect",
        "release application",
    ]


def test_zivid_refuses_frames_with_lost_data(vendors: Vendors) -> None:
    """The number is used, and the frame's memory given back."""
    vendors.install("zivid")
    device = vendors.open("zivid")
    vendors.shown.calls.append("lose")
    assert refused(device).reason is Refusal.INCOMPLETE
    assert vendors.shown.calls[-1] == "release frame"
    device.close()


def test_zivid_needs_settings_for_2d_and_3d(vendors: Vendors, tmp_path: Path) -> None:
    """A file that is missing, damaged, or without colour is named."""
    vendors.install("zivid")
    for name, words in (("broken.yml", "cannot be loaded"), ("only_3d.yml", "no 2D settings")):
        (tmp_path / name).write_text("made up")
        with pytest.raises(InputError, match=f"{name} .*{words}|{name} {words}"):
            vendors.open("zivid", settings=tmp_path / name)
    with pytest.raises(InputError, match="is missing"):
        vendors.open("zivid", settings=tmp_path / "nowhere.yml")
    with pytest.raises(InputError, match="needs settings"):
        adapter_of("zivid").check(CameraSettings().zivid)


def test_a_zivid_file_camera_is_opened_instead(vendors: Vendors, tmp_path: Path) -> None:
    """For trials without a device."""
    vendors.install("zivid")
    (tmp_path / "part.zfc").write_text("made up")
    device = vendors.open("zivid", file_camera=tmp_path / "part.zfc")
    next_capture(device)
    device.close()
    assert "file camera part.zfc" in vendors.shown.calls


def test_ensenso_computes_points_and_then_the_picture(vendors: Vendors, tmp_path: Path) -> None:
    """In the order that NxLib asks for; parameters are written first, and the tree is left in order."""
    vendors.install("ensenso")
    parameters = tmp_path / "parameters.json"
    parameters.write_text("{}")
    device = vendors.open("ensenso", parameters=parameters)
    next_capture(device)
    device.close()
    calls = ["initialise", "open", "parameters True", "capture", "disparity", "points", "texture"]
    assert vendors.shown.calls == [*calls, "close", "finalise"]
    parameters.write_text("[]")
    with pytest.raises(InputError, match=r"parameters\.json is not taken"):
        vendors.open("ensenso", parameters=parameters)


def test_ensenso_without_its_sdk(vendors: Vendors) -> None:
    """The package imports without the SDK, and fails at its first use: the SDK is named then."""
    vendors.install("ensenso")
    vendors.shown.calls.append("without SDK")
    with pytest.raises(InputError, match=r"Ensenso SDK cannot be loaded.*ensenso\.com"):
        vendors.open("ensenso")
    with pytest.raises(InputError, match="Ensenso SDK cannot be loaded"):
        adapter_of("ensenso").list_devices(vendors.section("ensenso"))


def test_a_grey_ensenso_gives_a_grey_picture(vendors: Vendors) -> None:
    """Three equal channels."""
    vendors.install("ensenso", grey=True)
    device = vendors.open("ensenso")
    rgb = next_capture(device).rgb
    device.close()
    np.testing.assert_array_equal(rgb, np.repeat(SCENE.picture(VIEW)[..., :1], 3, axis=2))


def test_mecheye_sets_its_unit_and_user_set(vendors: Vendors) -> None:
    """Millimetres are set, not assumed; a user set that the device does not have is named."""
    vendors.install("mecheye")
    device = vendors.open("mecheye", user_set="praline")
    assert next_capture(device).temperature_c == 44.0
    device.close()
    assert vendors.shown.calls == [
        "connect 0815",
        "unit 0",
        "user set praline",
        "capture 10000",
        "disconnect",
    ]
    with pytest.raises(InputError, match="'nut' is not taken"):
        vendors.open("mecheye", user_set="nut")


def test_mecheye_without_a_frame(vendors: Vendors) -> None:
    """A capture that is late, and a model without colour: the number is used, the device stays open."""
    vendors.install("mecheye")
    device = vendors.open("mecheye")
    vendors.shown.fails = mecheye.Failed(mecheye.TIMEOUT)
    assert refused(device).reason is Refusal.INCOMPLETE
    next_capture(device)
    vendors.shown.calls.append("without 2D")
    assert "2D camera" in str(refused(device))
    device.close()


def test_orbbec_refuses_halves_and_other_moments(vendors: Vendors) -> None:
    """Depth without colour, and colour of another moment: the depth's number is used."""
    for changes, reason in (
        ({"only": ("depth",)}, Refusal.INCOMPLETE),
        ({"apart_us": 9000}, Refusal.OTHER_TRIGGER),
    ):
        vendors.install("orbbec", **changes)
        device = vendors.open("orbbec")
        error = refused(device)
        assert (error.reason, error.frame_id) == (reason, 1)
        device.close()


def test_orbbec_settings_that_the_camera_does_not_take(vendors: Vendors) -> None:
    """Preset and streams are named."""
    vendors.install("orbbec")
    with pytest.raises(InputError, match=r"orbbec\.preset: 'Fast'"):
        vendors.open("orbbec", preset="Fast")
    with pytest.raises(InputError, match="no depth stream of 1xany"):
        vendors.open("orbbec", depth_width=1)


def test_oakd_refuses_sparse_clouds(vendors: Vendors) -> None:
    """Their points belong to no pixel."""
    vendors.install("oakd", sparse=True)
    device = vendors.open("oakd")
    error = refused(device)
    assert (error.reason, error.frame_id) == (Refusal.NOT_REGISTERED, 1)
    device.close()


def test_oakd_asks_for_metres_and_the_size_of_the_settings(vendors: Vendors) -> None:
    """depthai's own unit is the millimetre."""
    vendors.install("oakd")
    device = vendors.open("oakd", width=320, height=200, fps=3)
    assert next_capture(device).temperature_c == 48.0
    vendors.shown.calls.append("stopped")
    with pytest.raises(DeviceError, match="has stopped"):
        wait_until(lambda: device.capture(0.01) is not None)
    device.close()
    assert {"rgbd 320x200 3", "units METER", "stop", "close"} <= set(vendors.shown.calls)
