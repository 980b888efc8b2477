"""The GenICam adapter on MVTec's simulated producer: a red square that moves over white, with its height."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from tests.unit.made.scripted_device import next_capture

pytest.importorskip("genicam", reason="needs the extra genicam")
pytest.importorskip("harvesters", reason="needs the extra genicam")

from cmfm_cameras.adapters import genicam
from cmfm_cameras.adapters.genicam import GenicamDevice
from cmfm_cameras.capture import check_capture
from cmfm_cameras.errors import DeviceError, InputError, Refusal, RefusedCaptureError
from cmfm_cameras.gentl.scan3d import Scan3d
from cmfm_cameras.settings.genicam import GenicamSection

RED = GenicamSection(producers=("viky",), device="VikyTL_DEV_red")
SENSOR_HEIGHT_M = 0.565685424949238
"""Where the producer says that the sensor is, above the plane that its heights count from."""


@contextmanager
def opened(**changes: object) -> Iterator[GenicamDevice]:
    device = genicam.open_device(GenicamSection.model_validate({**RED.model_dump(), **changes}))
    try:
        yield device
    finally:
        device.close()


def test_frames_are_registered_in_metres_in_the_sensor_s_frame() -> None:
    """The square was measured and nothing else; it lies between the sensor and the plane; every id comes once."""
    with opened() as device:
        assert "Viky" in device.name
        captures = [next_capture(device) for _ in range(4)]
    ids = [capture.frame_id or 0 for capture in captures]
    assert 0 < ids[0] < ids[1] < ids[2] < ids[3]  # a slow machine may lose frames between them
    for capture in captures:
        check_capture(capture)
        assert capture.rgb.shape == (400, 400, 3)
        measured = np.isfinite(capture.xyz[..., 2])
        square = (capture.rgb == (255, 0, 0)).all(axis=-1)
        np.testing.assert_array_equal(measured, square)
        z = capture.xyz[measured, 2]
        assert 0.4 < z.min() <= z.max() < SENSOR_HEIGHT_M
        assert capture.trigger_ns is None  # its clock follows no other


def test_the_pose_is_that_of_the_producer() -> None:
    """Half a turn about Y, and the sensor's height: column, row and height come out of x, y and z again."""
    with opened() as device:
        xyz = next_capture(device).xyz
    rows, columns = np.nonzero(np.isfinite(xyz[..., 2]))
    x, y, _ = xyz[rows, columns].T
    np.testing.assert_allclose(-x, columns / 1000, atol=1e-6)
    np.testing.assert_allclose(y, rows / 1000, atol=1e-6)


def test_the_device_s_own_system_if_the_settings_say_so() -> None:
    """Heights then grow towards the sensor; a mark of missing points that is switched off shows the plane."""
    with opened(pose="device", zero_is_missing=False) as device:
        xyz = next_capture(device).xyz
    assert np.isfinite(xyz).all()
    assert (xyz[..., 2] == 0).mean() > 0.9
    assert abs(xyz[10, 20, 0] - 0.02) < 1e-6


def test_values_of_the_frame_itself_count_first() -> None:
    """Its chunk data say scale and pose; what the device said before the frame is replaced."""
    with opened() as device:
        device._scan3d = Scan3d(metres=1.0)
        xyz = next_capture(device).xyz
    assert 0.4 < np.nanmin(xyz[..., 2]) < SENSOR_HEIGHT_M


def test_captures_stay_as_they_were_when_buffers_are_filled_again() -> None:
    """Two buffers for ten frames: nothing of a capture lies in a buffer."""
    with opened(buffers=2) as device:
        captures, kept = [], []
        for _ in range(10):
            captures.append(next_capture(device))
            kept.append((captures[-1].rgb.copy(), captures[-1].xyz.copy()))
    for capture, (rgb, xyz) in zip(captures, kept, strict=True):
        np.testing.assert_array_equal(capture.rgb, rgb)
        np.testing.assert_array_equal(capture.xyz, xyz)


def test_gendc_is_refused() -> None:
    """It is switched off; where it comes all the same, its meaningless numbers are not published."""
    with opened(features=("GenDCStreamingMode=On",)) as device, pytest.raises(RefusedCaptureError) as refused:
        next_capture(device)
    assert refused.value.reason is Refusal.UNSUPPORTED
    assert "GenDC" in str(refused.value)
    assert refused.value.frame_id is not None  # its number is used


def test_a_picture_without_points_is_refused() -> None:
    """A component that is not enabled is no frame."""
    with (
        opened(components=("Intensity",), unit="mm") as device,
        pytest.raises(RefusedCaptureError) as refused,
    ):
        next_capture(device)
    assert refused.value.reason is Refusal.INCOMPLETE
    assert refused.value.frame_id is not None  # its number is used


def test_features_are_set_in_order() -> None:
    """Selectors before what they select."""
    features = ("ComponentSelector=Intensity", "PixelFormat=Mono8", "BouncingBallSize=40")
    with opened(features=features) as device:
        capture = next_capture(device)
    assert np.isfinite(capture.xyz[..., 2]).sum() == 1600
    assert (capture.rgb[..., 0] == capture.rgb[..., 1]).all()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"device": ""}, "fits 3 devices.*VikyTL_DEV_green"),
        ({"trigger": "hardware"}, "TriggerMode = On: the device has no such feature"),
        (
            {"features": ("AcquisitionFrameRat=20",)},
            "AcquisitionFrameRat = 20: the device has no such feature",
        ),
        ({"features": ("BouncingBallSize=huge",)}, "BouncingBallSize = huge"),
        ({"features": ("GenDCStreamingMode=Perhaps",)}, "GenDCStreamingMode = Perhaps"),
        ({"features": ("FancyBall",)}, "command FancyBall: the device has no such feature"),
        ({"components": ("Intensity", "Depth")}, "no component Depth; it has Intensity, Range"),
        ({"user_set": "Default"}, "UserSetSelector = Default"),
        ({"producers": ("/nowhere/vendor.cti",)}, "/nowhere/vendor.cti is missing"),
    ],
)
def test_wrong_settings_are_explained(changes: dict[str, object], words: str) -> None:
    """By the name of the key or feature; the process ends with the exit code of bad input."""
    with pytest.raises(InputError, match=words), opened(**changes):
        pass


def test_a_file_that_is_no_producer(tmp_path: Path) -> None:
    """It is named, not loaded."""
    path = tmp_path / "not.cti"
    path.write_text("no library")
    with pytest.raises(InputError, match=r"not\.cti cannot be loaded"), opened(producers=(str(path),)):
        pass


def test_a_device_that_is_not_there_can_come_later() -> None:
    """It is a lost device, which is tried again, and the message says which are there."""
    with pytest.raises(DeviceError, match=r"no device 'cam7'.*VikyTL_DEV_red"), opened(device="cam7"):
        pass


def test_devices_are_listed_with_the_names_that_settings_take() -> None:
    """Id, vendor, model, serial number."""
    found = genicam.list_devices(RED)
    assert [info.identifier for info in found] == ["VikyTL_DEV_red", "VikyTL_DEV_green", "VikyTL_DEV_blue"]
    assert all("Viky" in info.description for info in found)


def test_producers_are_found_on_the_search_path(monkeypatch: pytest.MonkeyPatch) -> None:
    """GENICAM_GENTL64_PATH, which vendors' installers set."""
    from cmfm_cameras.gentl.producers import SEARCH_PATH, producers

    (viky,) = producers(RED)
    monkeypatch.setenv(SEARCH_PATH, f"/nowhere:{viky.parent}")
    assert producers(GenicamSection()) == [viky]
    monkeypatch.setenv(SEARCH_PATH, "")
    with pytest.raises(InputError, match=SEARCH_PATH):
        producers(GenicamSection())


def test_the_producer_can_be_loaded_again_and_again() -> None:
    """A device that was pulled and put back: each opening begins anew."""
    for _ in range(3):
        with opened() as device:
            assert next_capture(device).frame_id is not None
