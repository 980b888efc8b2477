"""A 2D camera and a depth sensor as one camera, from their frames to what a worker decodes."""

from __future__ import annotations

import re
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest
import tifffile
import tomli_w
from PIL import Image
from tests.unit.made.known_scene import DEPTH_VIEW, PICTURE_VIEW, View, cube_on_plane
from tests.unit.made.published_camera import published

from cmfm_cameras.adapters import two_devices
from cmfm_cameras.calib_id import with_calib_id
from cmfm_cameras.capture import NO_PICTURE, NO_POINTS, Capture
from cmfm_cameras.device import Device, DeviceInfo
from cmfm_cameras.errors import DeviceError, InputError, Refusal, RefusedCaptureError
from cmfm_cameras.geometry.calibration_file import FORMAT, Calibration, calibration_text
from cmfm_cameras.geometry.pose import Pose
from cmfm_cameras.numbering import FrameIds
from cmfm_cameras.problems import problems_of
from cmfm_cameras.settings.camera import CameraSection
from cmfm_cameras.settings.model import CameraSettings
from cmfm_cameras.settings.two_devices import TwoDevicesSection
from cmfm_settings.section import Section

SCENE = cube_on_plane()
RGB, XYZ = SCENE.picture(PICTURE_VIEW), SCENE.xyz(DEPTH_VIEW)
MS = 1_000_000


def calibration_file(folder: Path, view: View = PICTURE_VIEW) -> Path:
    """The truth about the two views, as a file."""
    pose = Pose.of(view.rotation, view.translation_m)
    lens = {key: getattr(view, key) for key in ("width_px", "height_px", "fx_px", "fy_px", "cx_px", "cy_px")}
    table = {
        "format": FORMAT,
        "picture": {**lens, "distortion": view.distortion},
        "pose": {"rotation": pose.rotation, "translation_m": pose.translation_m},
    }
    path = folder / "calibration.toml"
    path.write_text(calibration_text(Calibration.model_validate(table)), encoding="utf-8")
    return path


def section_of_folders(tmp_path: Path, **keys: object) -> TwoDevicesSection:
    """Two watched folders, each with its own settings."""
    for side, form in (("picture", "rgb"), ("depth", "xyz")):
        (tmp_path / side).mkdir()
        settings = {
            "camera": {"kind": "folder"},
            "folder": {"path": side, "form": form, "existing": "publish"},
        }
        (tmp_path / f"{side}.toml").write_text(tomli_w.dumps(settings), encoding="utf-8")
    return TwoDevicesSection(
        picture=tmp_path / "picture.toml",
        depth=tmp_path / "depth.toml",
        calibration=calibration_file(tmp_path),
        pair_by="name",
        **keys,
    )


def save(folder: Path, name: str, *, picture: bool = True, depth: bool = True) -> None:
    """The files of one part, as the devices' own software saves them."""
    if picture:
        Image.fromarray(RGB).save(folder / "picture" / f"{name}.rgb.png")
    if depth:
        tifffile.imwrite(folder / "depth" / f"{name}.xyz.tiff", XYZ, photometric="minisblack")


def test_frames_of_two_folders_are_registered(tmp_path: Path) -> None:
    """The worker decodes the picture as it was taken, and each pixel's own point, to 0.1 px and a micrometre."""
    section = section_of_folders(tmp_path, wait_ms=3000)
    for name, halves in {"a": {}, "b": {"depth": False}, "c": {}}.items():
        save(tmp_path, name, **halves)
    with published(lambda: two_devices.open_device(section)) as listening:
        received = listening.until(lambda heard: len(heard.frames) == 2 and len(heard.triggers) == 3)
    frames = {frame.header.part_id: frame for frame in received.frames}
    assert sorted(frames) == ["a", "c"]
    assert len(received.lost) == 1
    frame = frames["a"]
    np.testing.assert_array_equal(frame.rgb, RGB)
    error_m = np.linalg.norm(frame.xyz - SCENE.points(PICTURE_VIEW), axis=-1)
    assert np.nanmax(error_m) < 1e-6
    columns, rows = np.meshgrid(np.arange(PICTURE_VIEW.width_px), np.arange(PICTURE_VIEW.height_px))
    pixels = PICTURE_VIEW.pixels(frame.xyz.astype(np.float64))
    assert np.nanmax(np.hypot(pixels[..., 0] - columns, pixels[..., 1] - rows)) < 0.1
    assert (~np.isnan(error_m)).mean() > 0.9


@dataclass
class OneDevice:
    """A device that delivers what it is given; its `frames` may hold an error."""

    name: str
    frames: deque[Capture | Exception] = field(default_factory=deque)
    frame_ids: FrameIds = field(default_factory=FrameIds)
    closed: bool = False

    def capture(self, timeout_s: float) -> Capture | None:
        if not self.frames:
            time.sleep(min(timeout_s, 0.002))
            return None
        frame = self.frames.popleft()
        if isinstance(frame, Exception):
            raise frame
        return frame

    def close(self) -> None:
        self.closed = True


@dataclass
class TwoAdapters:
    """The adapter module of the kind "folder", in whose place these devices are opened in turn."""

    devices: deque[OneDevice | DeviceError]

    def check(self, section: Section) -> None:
        """Everything is there."""

    def open_device(self, section: Section) -> Device:
        device = self.devices.popleft()
        if isinstance(device, DeviceError):
            raise device
        return device

    def list_devices(self, section: Section) -> Sequence[DeviceInfo]:
        return []


@pytest.fixture
def opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):  # type: ignore[no-untyped-def]
    """Open two made-up devices as one, by PTP times."""

    def open_two(*devices: OneDevice | DeviceError, **keys: object) -> two_devices.TwoDevices:
        adapters = TwoAdapters(deque(devices))
        monkeypatch.setattr("cmfm_cameras.device.adapter_of", lambda kind: adapters)
        section = section_of_folders(tmp_path)
        return two_devices.open_device(
            section.model_copy(update={"pair_by": "timestamp", "wait_ms": 200.0, **keys})
        )

    return open_two


def picture(number: int, at_ms: float) -> Capture:
    return Capture(RGB, NO_POINTS, number, int(at_ms * MS), exposure_us=500.0, encoder=number)


def depth(number: int, at_ms: float) -> Capture:
    return Capture(NO_PICTURE, XYZ, number, int(at_ms * MS), temperature_c=41.0)


def drain(device: two_devices.TwoDevices, count: int) -> list[Capture | RefusedCaptureError]:
    """The next captures and refusals."""
    found: list[Capture | RefusedCaptureError] = []
    until_s = time.monotonic() + 30
    while len(found) < count and time.monotonic() < until_s:
        try:
            capture = device.capture(0.2)
        except RefusedCaptureError as error:
            found.append(error)
        else:
            found += [capture] if capture is not None else []
    return found


def test_a_missing_half_is_counted_and_shifts_nothing(opened) -> None:  # type: ignore[no-untyped-def]
    """Each trigger is a capture or a refusal, and what is known of each half is in the capture."""
    pictures = OneDevice("p", deque([picture(1, 1000), picture(2, 1100), picture(3, 1200), picture(4, 1300)]))
    depths = OneDevice("d", deque([depth(1, 1000.5), depth(2, 1200.5), depth(3, 1300.5)]))
    device = opened(pictures, depths)
    first, missing, third, fourth = drain(device, 4)
    device.close()
    assert isinstance(missing, RefusedCaptureError)
    assert missing.reason == "incomplete"
    assert "depth of picture 2" in str(missing)
    assert [capture.encoder for capture in (first, third, fourth) if isinstance(capture, Capture)] == [
        1,
        3,
        4,
    ]
    assert isinstance(first, Capture)
    assert (first.trigger_ns, first.exposure_us, first.temperature_c) == (1000 * MS, 500.0, 41.0)
    assert pictures.closed
    assert depths.closed
    assert device.counts == {"pairs": 3, "missing_depth": 1}


def test_a_refused_half_is_one_trigger(opened) -> None:  # type: ignore[no-untyped-def]
    """Also if both halves of a trigger are refused, by devices that are synchronised."""

    def refused(number: int, at_ms: float) -> RefusedCaptureError:
        return RefusedCaptureError(Refusal.INCOMPLETE, "torn", frame_id=number, trigger_ns=int(at_ms * MS))

    pictures = OneDevice("p", deque([picture(1, 1000), refused(2, 1100), refused(3, 1200), picture(4, 1300)]))
    depths = OneDevice("d", deque([depth(1, 1000), depth(2, 1100), refused(3, 1200), depth(4, 1300)]))
    device = opened(pictures, depths)
    found = drain(device, 4)
    device.close()
    kinds = [getattr(item, "reason", "capture") for item in found]
    assert kinds == ["capture", "incomplete", "incomplete", "capture"]
    assert "the picture was refused" in str(found[1])


def test_a_backlog_costs_no_pair(opened) -> None:  # type: ignore[no-untyped-def]
    """Registration takes longer than a half waits: what lies in the devices' queues meanwhile is still paired."""
    pictures = OneDevice("p", deque(picture(number, 1000 + 100 * number) for number in range(6)))
    depths = OneDevice("d", deque([depth(-1, 900)]))
    depths.frames.extend(depth(number, 1000 + 100 * number) for number in range(6))
    device = opened(pictures, depths, wait_ms=0.001)
    found = drain(device, 7)
    device.close()
    assert [type(item).__name__ for item in found] == ["RefusedCaptureError", *["Capture"] * 6]


def test_a_device_that_is_gone_closes_both_and_accounts_for_what_waits(opened) -> None:  # type: ignore[no-untyped-def]
    """The half that waits is a refused trigger; then both are opened again."""
    pictures = OneDevice("p", deque([picture(1, 1000)]))
    depths = OneDevice("d", deque([DeviceError("cable")]))
    device = opened(pictures, depths)
    (refused,) = drain(device, 1)
    assert isinstance(refused, RefusedCaptureError)
    with pytest.raises(DeviceError, match="depth: cable"):
        device.capture(0.1)
    device.close()


def test_the_first_is_closed_if_the_second_cannot_be_opened(opened) -> None:  # type: ignore[no-untyped-def]
    """Else it could not be opened again."""
    pictures = OneDevice("p")
    with pytest.raises(DeviceError, match="not there"):
        opened(pictures, DeviceError("not there"))
    assert pictures.closed


def test_a_picture_of_another_size_is_not_registered(opened) -> None:  # type: ignore[no-untyped-def]
    """A region of interest or binning changes the intrinsics: refused, with what to do."""
    cropped = picture(1, 1000)
    pictures = OneDevice("p", deque([replace(cropped, rgb=cropped.rgb[:-10])]))
    device = opened(pictures, OneDevice("d", deque([depth(1, 1000)])))
    (refused,) = drain(device, 1)
    device.close()
    assert isinstance(refused, RefusedCaptureError)
    assert refused.reason == "not_registered"
    assert "calibrate again" in str(refused)


def test_numbers_that_keep_contradicting_times_open_both_again(opened) -> None:  # type: ignore[no-untyped-def]
    """A trigger counter that is one behind would be one behind for ever."""
    pictures = OneDevice("p", deque(replace(picture(n, 1000 + 100 * n), trigger_id=n) for n in range(20)))
    depths = OneDevice("d", deque(replace(depth(n, 1000 + 100 * n), trigger_id=n + 1) for n in range(20)))
    device = opened(pictures, depths, pair_by="trigger_id")
    refused = drain(device, 8)
    assert {getattr(error, "reason", None) for error in refused} == {"other_trigger"}
    with pytest.raises(DeviceError, match="disagree"):
        drain(device, 20)
    device.close()


@pytest.mark.parametrize("key", ["picture", "depth", "calibration"])
def test_check_names_what_is_missing(tmp_path: Path, key: str) -> None:
    """A key that is not there, and a file that is not there."""
    section = section_of_folders(tmp_path)
    two_devices.check(section)
    with pytest.raises(InputError, match=f"needs {key}"):
        two_devices.check(section.model_copy(update={key: None}))
    with pytest.raises(InputError, match=r"absent\.toml"):
        two_devices.check(section.model_copy(update={key: tmp_path / "absent.toml"}))


def test_check_looks_into_the_inner_settings(tmp_path: Path) -> None:
    """A problem of an inner device names the side; two devices in two devices are refused."""
    section = section_of_folders(tmp_path)
    (tmp_path / "depth.toml").write_text('[camera]\nkind = "folder"\n', encoding="utf-8")
    with pytest.raises(InputError, match=r"two_devices\.depth: .*path"):
        two_devices.check(section)
    (tmp_path / "depth.toml").write_text('[camera]\nkind = "two_devices"\n', encoding="utf-8")
    with pytest.raises(InputError, match="itself two devices"):
        two_devices.check(section)


@pytest.mark.parametrize(
    ("own", "files", "found"), [("", "jig-7", "jig-7"), ("jig-7", "jig-7", "jig-7"), ("jig-7", "", "jig-7")]
)
def test_frames_say_the_name_of_the_calibration_file(
    tmp_path: Path, own: str, files: str, found: str
) -> None:
    """Unless the camera's settings name it."""
    assert with_calib_id(named_calibration(tmp_path, own, files)).camera.calib_id == found


def test_two_names_of_a_calibration_are_a_problem(tmp_path: Path) -> None:
    """A recipe would judge parts whose points were computed by another file than its frames say."""
    settings = named_calibration(tmp_path, "jig-7", "jig-8")
    (problem,) = problems_of(settings)
    assert "'jig-7'" in problem
    assert "'jig-8'" in problem
    missing = settings.two_devices.model_copy(update={"calibration": tmp_path / "absent.toml"})
    assert len(problems_of(settings.model_copy(update={"two_devices": missing}))) == 1


def named_calibration(folder: Path, own: str, files: str) -> CameraSettings:
    """Settings of two devices; both the camera and its calibration file may have the calibration's name."""
    section = section_of_folders(folder)
    assert section.calibration is not None
    text = section.calibration.read_text(encoding="utf-8")
    named = re.sub(r'^calib_id = ".*"$', f'calib_id = "{files}"', text, flags=re.MULTILINE)
    section.calibration.write_text(named, encoding="utf-8")
    return CameraSettings(camera=CameraSection(kind="two_devices", calib_id=own), two_devices=section)
