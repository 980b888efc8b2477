"""Points of every layout and mode, against scenes of known geometry: right to a micrometre."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray
from tests.unit.made.gentl_buffers import BY_NAME, buffer_of
from tests.unit.made.known_scene import Cube, KnownScene, Plane, View

from cmfm_cameras.errors import Refusal, RefusedCaptureError
from cmfm_cameras.gentl import affine
from cmfm_cameras.gentl.parts import Part
from cmfm_cameras.gentl.points import points, require_same_pixels
from cmfm_cameras.gentl.scan3d import Axis, Intrinsics, Pose, Scan3d, axes_of, metres_of

MICROMETRE = 1e-6
VIEW = View(width_px=40, height_px=32, fx_px=44.0, fy_px=44.0, cx_px=19.5, cy_px=15.5)
SCENE = KnownScene([Plane((0.2, -0.1, 1.0), 0.62), Cube((0.02, -0.01, 0.5), 0.08)])
TRUTH_M = SCENE.points(VIEW)
assert np.isfinite(TRUTH_M).all()
INTRINSICS = Intrinsics(VIEW.fx_px, VIEW.fy_px, VIEW.cx_px, VIEW.cy_px)

SCALES = (0.011, 0.012, 0.0125)
OFFSETS = (-360.5, -361.25, 12.5)
"""Millimetres of a step, and of the number 0, so that 16 bits hold the scene."""

STEPS = np.round((TRUTH_M * 1000 - OFFSETS) / SCALES)
STEPPED_M = (STEPS * SCALES + OFFSETS) / 1000
"""The truth of a device that counts in steps."""
assert STEPS.min() > 0
assert STEPS.max() < 65536


@pytest.fixture(autouse=True, params=[affine.STRIP_PX, 3 * VIEW.width_px])
def _strips(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every test sees a buffer of one strip, and of strips of three rows and a last one of two."""
    monkeypatch.setattr(affine, "STRIP_PX", request.param)


def converted(
    *components: tuple[str, NDArray[np.generic]], scan: Scan3d, x_padding: int = 0
) -> NDArray[np.float32]:
    raw, parts = buffer_of(*components, x_padding=x_padding)
    found = points(raw, parts, scan)
    assert found.dtype == np.float32
    assert found.flags.c_contiguous
    assert not np.shares_memory(found, np.frombuffer(raw, np.uint8))  # the buffer can be given back
    return found


def error_m(found: NDArray[np.float32], truth_m: NDArray[np.float64]) -> float:
    return float(np.abs(found.astype(np.float64) - truth_m).max())


def split(name: str) -> list[tuple[str, slice]]:
    """A component each axis, or one of all."""
    kind = name.removeprefix("Coord3D_")
    if kind.startswith("ABC"):
        return [(name, slice(0, 3))]
    return [(f"Coord3D_{axis}{kind[1:]}", slice(number, number + 1)) for number, axis in enumerate("ABC")]


@pytest.mark.parametrize("x_padding", [0, 6])
@pytest.mark.parametrize("name", ["Coord3D_A32f", "Coord3D_ABC32f", "Coord3D_ABC32f_Planar"])
def test_floats_of_every_layout(name: str, x_padding: int) -> None:
    """Separate planes, interleaved, planar; with padding at the end of each row."""
    millimetres = TRUTH_M * 1000
    found = converted(
        *((kind, millimetres[..., axes]) for kind, axes in split(name)), scan=Scan3d(), x_padding=x_padding
    )
    assert error_m(found, TRUTH_M) < MICROMETRE


@pytest.mark.parametrize("x_padding", [0, 6])
@pytest.mark.parametrize("name", ["Coord3D_A16", "Coord3D_ABC16", "Coord3D_ABC16_Planar"])
def test_steps_with_scale_and_offset_of_each_axis(name: str, x_padding: int) -> None:
    """16-bit numbers become millimetres by their axis, in the order A, B, C."""
    scan = Scan3d(axes=axes_of(SCALES, OFFSETS))
    found = converted(
        *((kind, STEPS[..., axes]) for kind, axes in split(name)), scan=scan, x_padding=x_padding
    )
    assert error_m(found, STEPPED_M) < MICROMETRE


def test_bytes_too() -> None:
    """8-bit formats exist for coarse devices."""
    steps = np.arange(1, 1 + 4 * 5 * 3).reshape(4, 5, 3)
    scan = Scan3d(metres=1e-2, axes=axes_of((1.0, 2.0, 3.0), (0.0, 0.0, 0.0)))
    assert error_m(converted(("Coord3D_ABC8", steps), scan=scan), steps * [1.0, 2.0, 3.0] / 100) < MICROMETRE


@pytest.mark.parametrize(
    "unit", ["Micrometer", "Millimeter", "Millimeters", "Centimeter", "Meter", "mm", "m"]
)
def test_units(unit: str) -> None:
    """Every length of SFNC, and how devices spell it."""
    metres = metres_of(unit)
    assert metres is not None
    found = converted(("Coord3D_ABC32f", TRUTH_M / metres), scan=Scan3d(metres=metres))
    assert error_m(found, TRUTH_M) < MICROMETRE


def test_a_unit_that_is_no_length() -> None:
    """Pixels are not guessed to be millimetres."""
    assert metres_of("Pixel") is None


@pytest.mark.parametrize("order", ["xyz", "zyx"])
@pytest.mark.parametrize("rotation", [(0.0, 180.0, 0.0), (0.0, 0.0, 90.0), (10.0, -20.0, 30.0)])
def test_points_move_into_the_sensor_s_frame(rotation: tuple[float, float, float], order: str) -> None:
    """By the pose that the device tells: rotated about its axes in order, then moved."""
    pose = Pose(rotation, (5.0, -7.0, 565.0))
    scan = Scan3d(pose=pose, rotation_order="xyz" if order == "xyz" else "zyx")
    turn = np.eye(3)
    for axis in "xyz" if order == "xyz" else "zyx":
        turn = about(axis, rotation["xyz".index(axis)]) @ turn
    truth_m = TRUTH_M @ turn.T + np.array(pose.translation) / 1000
    for name in ("Coord3D_ABC32f", "Coord3D_A32f"):
        components = [(kind, TRUTH_M[..., part] * 1000) for kind, part in split(name)]
        assert error_m(converted(*components, scan=scan), truth_m) < MICROMETRE
    scaled = replace(scan, axes=axes_of(SCALES, OFFSETS))
    truth_m = STEPPED_M @ turn.T + np.array(pose.translation) / 1000
    for name in ("Coord3D_ABC16", "Coord3D_A16"):
        components = [(kind, STEPS[..., part]) for kind, part in split(name)]
        assert error_m(converted(*components, scan=scaled), truth_m) < MICROMETRE


def about(axis: str, degrees: float) -> NDArray[np.float64]:
    """The right-handed rotation about an axis, written out."""
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return {
        "x": np.array([[1, 0, 0], [0, c, -s], [0, s, c]]),
        "y": np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]]),
        "z": np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]]),
    }[axis]


@pytest.mark.parametrize("name", ["Coord3D_C16", "Coord3D_C32f"])
def test_distances_follow_their_rays(name: str) -> None:
    """CalibratedC with intrinsics: each pixel's point lies on its ray."""
    numbers, truth_m = (STEPS, STEPPED_M) if name.endswith("16") else (TRUTH_M * 1000, TRUTH_M)
    axes = axes_of(SCALES, OFFSETS) if name.endswith("16") else axes_of((1, 1, 1), (0, 0, 0))
    scan = Scan3d("CalibratedC", axes=axes, intrinsics=INTRINSICS)
    found = converted((name, numbers[..., 2:]), scan=scan)
    on_rays = VIEW.rays() * truth_m[..., 2:]
    assert error_m(found, on_rays) < MICROMETRE


def test_a_region_of_the_sensor_has_its_own_rays() -> None:
    """The principal point counts from the sensor's corner, not from the region's."""
    raw, parts = buffer_of(("Coord3D_C32f", TRUTH_M[8:20, 10:30, 2:] * 1000), x_offset=10, y_offset=8)
    found = points(raw, parts, Scan3d("CalibratedC", intrinsics=INTRINSICS))
    assert error_m(found, TRUTH_M[8:20, 10:30]) < MICROMETRE


def test_disparities() -> None:
    """DisparityC: distance = focal length × baseline / disparity; none for a disparity of 0 or less."""
    baseline_mm = 60.0
    disparity = VIEW.fx_px * baseline_mm / (TRUTH_M[..., 2:] * 1000)
    disparity[0, 0] = -1.0
    scan = Scan3d("DisparityC", intrinsics=INTRINSICS, baseline=baseline_mm)
    found = converted(("Coord3D_C32f", disparity), scan=scan)
    assert np.isnan(found[0, 0]).all()
    assert np.nanmax(np.abs(found - TRUTH_M)) < 2 * MICROMETRE  # float32 disparities


def test_rectified_maps() -> None:
    """RectifiedC: A and B are those of column and row, by their scale and offset."""
    rows, columns = np.indices((6, 9), np.float64)
    c = 500.0 + rows + 10 * columns
    scan = Scan3d("RectifiedC", axes=axes_of((0.5, 0.25, 1.0), (-2.0, -1.0, 0.0)))
    truth_m = np.stack([columns * 0.5 - 2.0, rows * 0.25 - 1.0, c], axis=-1) / 1000
    assert error_m(converted(("Coord3D_C32f", c[..., None]), scan=scan), truth_m) < MICROMETRE


@pytest.mark.parametrize("name", ["Coord3D_ABC32f", "Coord3D_A32f", "Coord3D_ABC16", "Coord3D_A16"])
@pytest.mark.parametrize("invalid", [65535.0, 0.0])
def test_marked_points_are_missing_in_all_coordinates(name: str, invalid: float) -> None:
    """The device's mark counts on each axis, before scale and offset; C = 0 counts if the settings say so."""
    numbers = STEPS.copy()
    numbers[1, 1, 0] = numbers[2, 2, 2] = invalid
    numbers[3, 3, 2] = 0
    axes = tuple(Axis(scale, offset, invalid) for scale, offset in zip(SCALES, OFFSETS, strict=True))
    components = [(kind, numbers[..., part]) for kind, part in split(name)]
    scan = Scan3d(axes=(axes[0], axes[1], axes[2]), zero_is_missing=False)
    kept = converted(*components, scan=scan)
    assert np.isnan(kept[[1, 2], [1, 2]]).all()
    assert np.isnan(kept[3, 3]).all() == (invalid == 0.0)
    missing = converted(*components, scan=replace(scan, zero_is_missing=True))
    assert np.isnan(missing[[1, 2, 3], [1, 2, 3]]).all()
    assert np.isnan(missing).sum() == 9


def test_nan_marks() -> None:
    """A device that writes NaN, with or without saying so, has missing points."""
    numbers = TRUTH_M * 1000
    numbers[4, 4] = np.nan
    for mark in (None, float("nan")):
        axis = Axis(invalid=mark)
        found = converted(("Coord3D_ABC32f", numbers), scan=Scan3d(axes=(axis, axis, axis)))
        assert np.isnan(found[4, 4]).all()
        assert np.isfinite(found).sum() == found.size - 3


@pytest.mark.parametrize(
    ("components", "scan", "reason", "words"),
    [
        ([("Coord3D_A32f", 1), ("Coord3D_B32f", 1)], Scan3d(), Refusal.INCOMPLETE, "needs A, B and C"),
        ([("Mono8", 1)], Scan3d(), Refusal.INCOMPLETE, "no component of points"),
        (
            [("Coord3D_C32f", 1), ("Coord3D_C32f", 1)],
            Scan3d("CalibratedC"),
            Refusal.INCOMPLETE,
            "two components",
        ),
        ([("Coord3D_ABC32f", 3)], Scan3d("CalibratedABC_PointCloud"), Refusal.NOT_REGISTERED, "no pixels"),
        ([("Coord3D_ABC32f", 3)], Scan3d("UncalibratedC"), Refusal.NOT_REGISTERED, "not calibrated"),
        ([("Coord3D_AC32f", 2)], Scan3d("CalibratedAC_Linescan"), Refusal.NOT_REGISTERED, "profile"),
        ([("Coord3D_ABC32f", 3)], Scan3d(system="Spherical"), Refusal.UNSUPPORTED, "Cartesian"),
        ([("Coord3D_C32f", 1)], Scan3d("CalibratedC"), Refusal.NOT_REGISTERED, "fx, fy, cx and cy"),
        (
            [("Coord3D_C32f", 1)],
            Scan3d("DisparityC", intrinsics=INTRINSICS),
            Refusal.NOT_REGISTERED,
            "Baseline",
        ),
    ],
)
def test_what_is_not_registered_is_refused(
    components: list[tuple[str, int]], scan: Scan3d, reason: Refusal, words: str
) -> None:
    """With what to do about it; nothing is guessed."""
    raw, parts = buffer_of(*((name, np.ones((4, 4, channels))) for name, channels in components))
    with pytest.raises(RefusedCaptureError, match=words) as refused:
        points(raw, parts, scan)
    assert refused.value.reason is reason


def test_components_of_other_pixels_are_refused() -> None:
    """Another size, or the same size elsewhere on the sensor."""
    raw, parts = buffer_of(("Mono8", np.ones((4, 4, 1))), ("Coord3D_ABC32f", np.ones((4, 4, 3))))
    require_same_pixels(parts[0], parts)
    for changes in ({"x_offset": 2}, {"y_offset": 2}, {"width": 3}):
        moved = replace(parts[1], **changes)
        with pytest.raises(RefusedCaptureError, match="same region") as refused:
            require_same_pixels(parts[0], [parts[0], moved])
        assert refused.value.reason is Refusal.NOT_REGISTERED
    two = [replace(parts[1], code=BY_NAME["Coord3D_A32f"].code), replace(parts[1], x_offset=1)]
    with pytest.raises(RefusedCaptureError, match="different pixels"):
        points(raw, two, Scan3d())


@pytest.mark.parametrize("name", ["Coord3D_ABC32f", "Coord3D_ABC16_Planar"])
def test_a_buffer_that_ends_early_is_refused(name: str) -> None:
    """No byte beyond a component or the buffer is read."""
    raw, (part,) = buffer_of((name, np.ones((4, 4, 3))))
    for short in (replace(part, size=part.size - 1), replace(part, height=5), replace(part, offset=len(raw))):
        with pytest.raises(RefusedCaptureError) as refused:
            points(raw, [short], Scan3d())
        assert refused.value.reason is Refusal.INCOMPLETE


def test_an_unknown_format_is_named() -> None:
    """By its code, as vendors' manuals list it."""
    with pytest.raises(RefusedCaptureError, match="0x81234567"):
        _ = Part(0x81234567, 0, 1, 1, 1).format
