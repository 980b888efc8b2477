"""The RealSense adapter on librealsense's software device, and on recordings of it."""

import dataclasses
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.unit.made.known_scene import DEPTH_VIEW, KnownScene
from tests.unit.made.published_camera import published
from tests.unit.made.scripted_device import next_capture, refused, wait_until

from cmfm_cameras.adapters import realsense
from cmfm_cameras.adapters.realsense import RealsenseDevice
from cmfm_cameras.capture import Capture, check_capture
from cmfm_cameras.errors import DeviceError, InputError, Refusal, SourceEndedError
from cmfm_cameras.settings.realsense import RealsenseSection

rs = pytest.importorskip(
    "pyrealsense2", reason="needs the extra realsense, and libusb of the system", exc_type=ImportError
)

from tests.unit.made.software_realsense import (  # noqa: E402 (it imports pyrealsense2)
    COLOR_VIEW,
    UNIT_M,
    Parts,
    SoftwareRealsense,
    cube_on_plane,
    record,
    seen,
    tilted_plane,
)

LONG_WAIT = {"wait_ms": 60_000}
"""Machines of tests stall: only a test of the waiting itself gives a colour up."""

CUBE = seen(cube_on_plane())


@contextmanager
def opened(software: SoftwareRealsense, **changes: object) -> Iterator[RealsenseDevice]:
    device = RealsenseDevice(software.device, RealsenseSection.model_validate({**LONG_WAIT, **changes}))
    try:
        yield device
    finally:
        device.close()


@pytest.mark.parametrize("scene", [tilted_plane(), cube_on_plane()], ids=["plane", "cube"])
def test_points_are_registered_to_the_picture(scene: KnownScene) -> None:
    """Each lies on the surface within a micrometre, and on its pixel's ray within a tenth of a pixel."""
    software = SoftwareRealsense()
    with opened(software) as device:
        software.both(seen(scene), 1)
        capture = next_capture(device)
    check_capture(capture)
    measured = np.isfinite(capture.xyz[..., 2])
    assert measured.mean() > 0.7
    points = capture.xyz[measured].astype(float)
    rows, columns = np.nonzero(measured)
    off_px = np.abs(COLOR_VIEW.pixels(points) - np.stack([columns, rows], axis=-1))
    assert off_px.max() < 0.1
    in_scene = (points - COLOR_VIEW.translation_m) @ COLOR_VIEW.rotation
    assert scene.distance_m(in_scene).max() < 1e-6
    np.testing.assert_array_equal(capture.rgb, scene.picture(COLOR_VIEW))


@pytest.mark.parametrize("pixel_format", ["bgr8", "rgba8", "bgra8"])
def test_colours_of_other_formats(pixel_format: str) -> None:
    """They come out as RGB."""
    pixels = CUBE.color[..., ::-1] if pixel_format.startswith("bgr") else CUBE.color
    if pixel_format.endswith("a8"):
        pixels = np.concatenate([pixels, np.full_like(pixels[..., :1], 255)], axis=-1)
    software = SoftwareRealsense(color_format=pixel_format)
    with opened(software) as device:
        software.both(Parts(CUBE.depth, np.ascontiguousarray(pixels)), 1)
        np.testing.assert_array_equal(next_capture(device).rgb, CUBE.color)


@pytest.mark.parametrize(
    "model", ["none", "brown_conrady", "modified_brown_conrady", "inverse_brown_conrady"]
)
def test_lenses_project_as_librealsense_does(model: str) -> None:
    """Within a hundredth of a pixel, for every model that is converted."""
    from cmfm_cameras.realsense.cloud import lens_of

    intrinsics = rs.intrinsics()
    intrinsics.width, intrinsics.height = 640, 480
    intrinsics.fx, intrinsics.fy, intrinsics.ppx, intrinsics.ppy = 610.0, 612.0, 321.3, 238.9
    intrinsics.model = getattr(rs.distortion, model)
    intrinsics.coeffs = [-0.055, 0.064, 0.0004, -0.0007, -0.02]
    points = [[x, y, 1.0] for x in (-0.5, -0.1, 0.3) for y in (-0.3, 0.2, 0.35)]
    ours = np.stack(lens_of(intrinsics).project(np.array(points)), axis=-1)
    theirs = [rs.rs2_project_point_to_pixel(intrinsics, point) for point in points]
    np.testing.assert_allclose(ours, theirs, atol=0.01)


def test_a_fisheye_is_refused() -> None:
    """A lens that would be projected wrong is not used."""
    with pytest.raises(InputError, match="kannala_brandt4"), opened(software_of("kannala_brandt4")):
        pass


def software_of(model: str) -> SoftwareRealsense:
    return SoftwareRealsense(color_model=model)


def test_missing_depth_is_nan_and_units_are_the_device_s() -> None:
    """0 was not measured; a step of 0.25 mm is no metre."""
    views = (DEPTH_VIEW, dataclasses.replace(DEPTH_VIEW))
    software = SoftwareRealsense(*views, unit_m=0.00025)
    depth = np.full((160, 200), 2000, np.uint16)
    depth[:, :50] = 0
    with opened(software) as device:
        software.both(Parts(depth, np.zeros((160, 200, 3), np.uint8)), 1)
        xyz = next_capture(device).xyz
    assert np.isnan(xyz[:, :49]).all()
    np.testing.assert_allclose(xyz[1:-1, 52:-1, 2], 0.5, atol=1e-6)


def test_numbers_and_metadata_are_the_device_s() -> None:
    """Frame number, exposure and gain of the colour; a clock of its own is not the host's."""
    software = SoftwareRealsense()
    with opened(software) as device:
        software.say(actual_exposure=8500, gain_level=16)
        software.both(CUBE, 41)
        capture = next_capture(device)
    assert (capture.frame_id, capture.exposure_us, capture.gain) == (41, 8500.0, 16.0)
    assert (capture.trigger_ns, capture.device_ns) == (None, 5_100_000_000)


def test_the_time_of_the_host_s_clock_is_that_of_the_trigger() -> None:
    """global_time: librealsense keeps the device's clock on the host's."""
    software = SoftwareRealsense()
    with opened(software) as device:
        software.both(CUBE, 1, time_ms=1_700_000_000_125.0, domain=rs.timestamp_domain.global_time)
        trigger_ns = next_capture(device).trigger_ns
    assert trigger_ns is not None
    assert abs(trigger_ns - 1_700_000_000_125_000_000) < 1000  # librealsense counts milliseconds in float64


def test_times_of_arrival_prove_nothing() -> None:
    """Without the device's metadata nothing tells that depth and colour are of one moment."""
    software = SoftwareRealsense()
    with opened(software) as device:
        software.both(CUBE, 3, domain=rs.timestamp_domain.system_time)
        error = refused(device)
    assert (error.reason, error.frame_id) == (Refusal.OTHER_TRIGGER, 3)
    assert "metadata is missing" in str(error)


def test_depth_and_colour_of_other_moments_are_no_frame() -> None:
    """The depth's number is used; a colour alone costs nothing; what fits again is a frame again."""
    software = SoftwareRealsense()
    with opened(software) as device:
        software.color(CUBE.color, 1, time_ms=1000.0)
        software.depth(CUBE.depth, 1, time_ms=1040.0)
        software.color(CUBE.color, 2, time_ms=1100.0)
        error = refused(device)
        assert (error.reason, error.frame_id) == (Refusal.INCOMPLETE, 1)
        software.depth(CUBE.depth, 2, time_ms=1104.9)
        assert next_capture(device).frame_id == 2


def test_a_depth_waits_for_its_colour_for_a_while() -> None:
    """Then it is given up, with its number."""
    software = SoftwareRealsense()
    with opened(software, wait_ms=50) as device:
        software.depth(CUBE.depth, 9)
        error = refused(device)
    assert (error.reason, error.frame_id) == (Refusal.INCOMPLETE, 9)


def test_frame_numbers_must_agree_if_the_settings_say_so() -> None:
    """Equal times do not help colours of another number; equal numbers do not help times that are apart."""
    software = SoftwareRealsense()
    with opened(software, pair_by="frame_number") as device:
        software.depth(CUBE.depth, 5, time_ms=1000.0)
        software.color(CUBE.color, 6, time_ms=1000.0)
        assert refused(device).frame_id == 5
        software.depth(CUBE.depth, 6, time_ms=1001.0)
        assert next_capture(device).frame_id == 6
        software.depth(CUBE.depth, 7, time_ms=1100.0)
        software.color(CUBE.color, 7, time_ms=1300.0)
        assert refused(device).reason is Refusal.OTHER_TRIGGER


def test_captures_stay_as_they_were_when_frames_follow() -> None:
    """Nothing of a capture lies in a frame of librealsense."""
    software = SoftwareRealsense()
    captures, kept = [], []
    with opened(software) as device:
        for number in range(1, 25):
            color = np.full_like(CUBE.color, number)
            software.both(Parts(CUBE.depth - np.uint16(100 * number), color), number)
            captures.append(next_capture(device))
            kept.append((captures[-1].rgb.copy(), captures[-1].xyz.copy()))
    for number, (capture, (rgb, xyz)) in enumerate(zip(captures, kept, strict=True), start=1):
        assert (rgb == number).all()
        np.testing.assert_array_equal(capture.rgb, rgb)
        np.testing.assert_array_equal(capture.xyz, xyz)


def straight(**changes: object) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Distances in millimetres of a wall with a hole and a step, as given and as they come out of filters."""
    depth = np.full((160, 200), 40_000, np.uint16)
    depth[:, 100:] = 50_000
    depth[60:70, 40:50] = 0
    software = SoftwareRealsense(DEPTH_VIEW, DEPTH_VIEW)
    with opened(software, **changes) as device:
        software.both(Parts(depth, np.zeros((160, 200, 3), np.uint8)), 1)
        return depth * UNIT_M, next_capture(device).xyz[..., 2]


def test_filters_are_off_unless_they_are_set() -> None:
    """A hole stays a hole, and distances are as measured."""
    given, z = straight()
    assert np.isnan(z[61:69, 41:49]).all()
    known = np.isfinite(z)
    np.testing.assert_allclose(z[known], given[known], atol=1e-6)


def test_the_threshold_filter_takes_distances_away() -> None:
    """A point farther than the limit was not measured."""
    _, z = straight(max_distance_m=0.045)
    assert np.isnan(z[:, 101:]).all()
    assert np.isfinite(z[10:50, 10:90]).all()


def test_the_hole_filling_filter_invents_points() -> None:
    """If it is set, and only then."""
    _, z = straight(hole_filling="left")
    np.testing.assert_allclose(z[61:69, 41:49], 0.04, atol=1e-6)


def test_the_decimation_filter_keeps_the_registration() -> None:
    """Fewer depth pixels, with intrinsics of their own: the surface stays where it is."""
    scene = tilted_plane()
    software = SoftwareRealsense()
    with opened(software, decimation=3) as device:
        software.both(seen(scene), 1)
        xyz = next_capture(device).xyz.astype(float)
    points = xyz[np.isfinite(xyz[..., 2])]
    in_scene = (points - COLOR_VIEW.translation_m) @ COLOR_VIEW.rotation
    assert np.percentile(scene.distance_m(in_scene), 99) < 1e-6


@pytest.mark.parametrize("name", ["spatial", "temporal"])
def test_smoothing_filters_smooth(name: str) -> None:
    """Noise of the depth becomes smaller."""
    noise = np.random.default_rng(0).integers(-8, 9, (160, 200))
    parts = [
        Parts((40_000 + noise * sign).astype(np.uint16), np.zeros((160, 200, 3), np.uint8))
        for sign in (1, -1)
    ]
    spread = {}
    for is_on in (False, True):
        software = SoftwareRealsense(DEPTH_VIEW, DEPTH_VIEW)
        with opened(software, **{name: is_on}) as device:
            for number, part in enumerate(parts, start=1):
                software.both(part, number)
                z = next_capture(device).xyz[5:-5, 5:-5, 2]
        spread[is_on] = float(z.std())
    assert spread[True] < 0.7 * spread[False]


def test_a_recording_is_played_as_the_device_that_it_was(tmp_path: Path) -> None:
    """Numbers, picture, units, lenses and poses come out of a .db3 file; then the source has ended."""
    path = tmp_path / "part.db3"
    record(path, [CUBE] * 5)
    software = SoftwareRealsense()
    with opened(software) as device:
        software.both(CUBE, 1)
        live = next_capture(device)
    section = RealsenseSection.model_validate({**LONG_WAIT, "playback": path, "playback_real_time": False})
    played = realsense.open_device(section)
    captures: list[Capture] = []
    try:
        while True:
            captures.extend(filter(None, [played.capture(0.25)]))
    except SourceEndedError:
        pass
    finally:
        played.close()
    assert [capture.frame_id for capture in captures] == [1, 2, 3, 4, 5]
    for capture in captures:
        assert capture.trigger_ns is None
        np.testing.assert_array_equal(capture.rgb, live.rgb)
        both = np.isfinite(capture.xyz[..., 2]) & np.isfinite(live.xyz[..., 2])
        assert both.mean() > 0.9
        apart = np.abs(capture.xyz[both] - live.xyz[both]).max(axis=-1)
        assert np.percentile(apart, 99) < 1e-6  # librealsense writes poses with six digits


def test_wrong_recordings_and_presets_are_named(tmp_path: Path) -> None:
    """A file that is missing, is no recording, or is no JSON."""
    junk = tmp_path / "junk.db3"
    junk.write_bytes(b"junk")
    with pytest.raises(InputError, match=r"missing\.db3 is missing"):
        realsense.check(RealsenseSection(playback=tmp_path / "missing.db3"))
    with pytest.raises(InputError, match=r"junk\.db3 cannot be played"):
        realsense.open_device(RealsenseSection(playback=junk))
    with pytest.raises(InputError, match=r"junk\.db3 cannot be read as JSON"):
        realsense.check(RealsenseSection(preset_file=junk))
    listed = tmp_path / "list.json"
    listed.write_text("[]")
    with pytest.raises(InputError, match=r"list\.json is no JSON object"):
        realsense.check(RealsenseSection(preset_file=listed))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"depth_width": 848, "depth_height": 480}, "no depth stream of 848x480.*it has: 200x160@10 z16"),
        ({"fps": 30}, "no depth stream of anyxany at 30"),
        ({"options": ("depth.exposure=5",)}, "depth sensor has no option exposure"),
        ({"options": ("color.nonsense=5",)}, "color sensor has no option nonsense"),
        ({"options": ("depth.depth_units=5",)}, r"depth\.depth_units cannot be set"),
        ({"visual_preset": "High Accuracy"}, "has no presets"),
        ({"window_ms": 50}, r"window_ms = 50 is not below half.*50\.0 ms at 10 frames"),
    ],
)
def test_wrong_settings_are_explained(changes: dict[str, object], words: str) -> None:
    """By the name of the key, and what the device has."""
    with pytest.raises(InputError, match=words), opened(SoftwareRealsense(), **changes):
        pass


def test_a_preset_that_the_device_does_not_take(tmp_path: Path) -> None:
    """The file is named."""
    path = tmp_path / "preset.json"
    path.write_text(json.dumps({"controls-laserpower": "150"}))
    with (
        pytest.raises(InputError, match=r"does not take .*preset\.json"),
        opened(SoftwareRealsense(), preset_file=path),
    ):
        pass


def test_options_are_checked_when_the_settings_are_read() -> None:
    """A sensor, a name and a number."""
    for option in ("exposure=5", "depth.exposure", "depth.exposure=long"):
        with pytest.raises(ValueError, match="options"):
            RealsenseSection(options=(option,))
    with pytest.raises(ValueError, match="min_distance_m"):
        RealsenseSection(min_distance_m=1.0, max_distance_m=0.5)


def test_no_device_is_a_device_that_may_come() -> None:
    """It is tried again; nothing is listed meanwhile."""
    with pytest.raises(DeviceError, match="no RealSense device '0815' is connected"):
        realsense.open_device(RealsenseSection(device="0815"))
    assert realsense.list_devices(RealsenseSection()) == []


def test_a_device_that_is_gone_is_opened_again() -> None:
    """Frames of both openings are published; the numbers go on, and none comes twice."""
    devices = [SoftwareRealsense(), SoftwareRealsense()]
    there, coming, made = [True, True], [0, 1], list[RealsenseDevice]()

    def open_next() -> RealsenseDevice:
        number = coming.pop(0)
        section = RealsenseSection.model_validate({**LONG_WAIT, "silent_s": 0.05})
        made.append(RealsenseDevice(devices[number].device, section, lambda: there[number]))
        return made[-1]

    with published(open_next) as listening:
        wait_until(lambda: len(made) == 1)
        for number in (5, 6, 8):
            devices[0].both(CUBE, number)
        listening.until(lambda received: len(received.frames) == 3)
        there[0] = False
        wait_until(lambda: len(made) == 2)
        devices[1].both(CUBE, 1)
        received = listening.until(lambda received: len(received.frames) == 4)
    assert [frame.header.seq for frame in received.frames] == [0, 1, 3, 4]
    assert received.lost == [2]


class SlowToStart:
    """Something of librealsense whose sensors take a while to start."""

    def __init__(self, real: Any) -> None:
        self._real = real

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    def query_sensors(self) -> list[Any]:
        return [SlowToStart(sensor) for sensor in self._real.query_sensors()]

    def start(self, callback: Any) -> None:
        time.sleep(0.2)
        self._real.start(callback)


def test_a_recording_does_not_play_before_both_sensors_are_started(tmp_path: Path) -> None:
    """Its first frames are pairs too."""
    path = tmp_path / "part.db3"
    record(path, [CUBE] * 3)
    section = RealsenseSection.model_validate({**LONG_WAIT, "playback": path, "playback_real_time": False})
    context = rs.context()
    playback = context.load_device(str(path))
    playback.set_real_time(False)
    device = RealsenseDevice(SlowToStart(playback), section)
    try:
        assert next_capture(device).frame_id == 1
    finally:
        device.close()


def test_depth_and_colour_of_one_sensor() -> None:
    """Some devices (D405) have no colour sensor of its own: both streams are opened at once."""
    software = SoftwareRealsense(one_sensor=True)
    with opened(software) as device:
        software.both(CUBE, 1)
        np.testing.assert_array_equal(next_capture(device).rgb, CUBE.color)


def test_options_are_set_within_their_range() -> None:
    """A value beyond it is named with what is possible; the temperature comes with each frame."""
    software = SoftwareRealsense()
    limits = rs.option_range()
    limits.min, limits.max, limits.step, limits.default = 1.0, 100.0, 1.0, 33.0
    software.depth_sensor.add_option(rs.option.exposure, limits, True)
    software.depth_sensor.add_read_only_option(rs.option.asic_temperature, 47.0)
    with opened(software, options=("depth.exposure=85",)) as device:
        assert software.depth_sensor.get_option(rs.option.exposure) == 85.0
        software.both(CUBE, 1)
        assert next_capture(device).temperature_c == 47.0
    wrong = {"options": ("depth.exposure=850",)}
    with pytest.raises(InputError, match="out of range, 1 to 100"), opened(software, **wrong):
        pass
