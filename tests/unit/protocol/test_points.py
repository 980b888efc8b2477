"""What points can be: metres in the sensor's frame; other units and frames are told, impossible points are gaps."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from cmfm_protocol.wire.points import MAX_RANGE_M, count_impossible, look_at_sample, measured, point_facts
from cmfm_worker.cfm import prepare

SIDE = 100


def scene() -> NDArray[np.float32]:
    """A block of 20 mm on a tray 0.5 m below the sensor; every point is measured."""
    axis = np.linspace(-0.1, 0.1, SIDE)
    x, y = np.meshgrid(axis, axis)
    height = np.where(np.maximum(abs(x), abs(y)) < 0.05, 0.02, 0.0)
    return np.stack([x, y, 0.5 - height], axis=-1).astype(np.float32)


GAPS = [0.0, -9999.0, -1.0, 1e10, 1e30, 65.535, np.inf, -np.inf]


@pytest.mark.parametrize("z", GAPS)
def test_impossible_points_are_not_measured_and_counted(z: float) -> None:
    """Sensors write many values where they saw nothing, with x and y kept; none of them is a point."""
    xyz = scene()
    xyz[10:20, 30:50, 2] = z
    assert count_impossible(xyz) == 200
    assert measured(xyz).sum() == SIDE * SIDE - 200
    facts = point_facts(xyz)
    assert facts.impossible_px == 200
    assert facts.problem is None
    assert facts.distance_m == pytest.approx(0.5, abs=0.03)


@pytest.mark.parametrize("z", GAPS)
def test_most_of_a_frame_may_be_gaps(z: float) -> None:
    """A frame with few points is no frame in another unit."""
    xyz = scene()
    xyz[20:, :, 2] = z
    distance_m, problem = look_at_sample(xyz)
    assert problem is None
    assert distance_m == pytest.approx(0.5, abs=0.03)


def test_points_that_are_marked_are_no_impossible_ones() -> None:
    """NaN and (0, 0, 0) are the marks of the wire."""
    xyz = scene()
    xyz[0] = np.nan
    xyz[1] = 0.0
    assert count_impossible(xyz) == 0
    assert measured(xyz).sum() == (SIDE - 2) * SIDE


@pytest.mark.parametrize("value", [np.nan, 0.0, -9999.0, 1e10, 9999.0])
def test_frame_without_any_point_has_no_distance(value: float) -> None:
    """One value everywhere is a gap, and no unit."""
    assert look_at_sample(np.full((SIDE, SIDE, 3), value, np.float32)) == (None, None)


@pytest.mark.parametrize(
    ("scale", "said"),
    [
        (1e3, r"median distance 500 m: millimetres\?"),
        (1e6, r"median distance 5e\+05 m: micrometres\?"),
        (1e2, "millimetres or|median distance 50 m: millimetres"),
        (1e-3, "converted to metres twice"),
    ],
)
def test_other_units_are_told(scale: float, said: str) -> None:
    """The message names the distance and the unit that it looks like."""
    xyz = scene() * np.float32(scale)
    xyz[:5] = np.nan
    with pytest.raises(AssertionError, match=said):
        raise AssertionError(look_at_sample(xyz)[1])


def test_heights_over_a_tray_are_told() -> None:
    """A world frame with its origin on the tray, z up."""
    xyz = scene()
    xyz[..., 2] = 0.5 - xyz[..., 2]
    problem = look_at_sample(xyz)[1]
    assert problem is not None
    assert "on or behind the tray's plane, as heights do: are they in the sensor's frame" in problem


@pytest.mark.parametrize("shape", ["block", "dome", "tilted"])
@pytest.mark.parametrize("tall_m", [0.05, 0.1, 0.19])
def test_heights_of_a_tall_part_on_a_tray_at_exactly_zero_are_told(shape: str, tall_m: float) -> None:
    """A world frame whose tray is exactly 0, so that it looks as if it was not measured."""
    axis = np.linspace(-0.1, 0.1, SIDE)
    x, y = np.meshgrid(axis, axis)
    radius = np.hypot(x, y)
    heights = {
        "block": tall_m * (np.maximum(abs(x), abs(y)) < 0.05),
        "dome": tall_m * np.sqrt(np.clip(1 - (radius / 0.08) ** 2, 0, 1)),
        "tilted": tall_m * np.clip((x + 0.06) / 0.12, 0, 1) * (np.maximum(abs(x), abs(y)) < 0.06),
    }
    problem = look_at_sample(np.stack([x, y, heights[shape]], axis=-1).astype(np.float32))[1]
    assert problem is not None
    assert "as heights do" in problem


def test_sensor_that_writes_zero_for_gaps_sees_a_deep_frame() -> None:
    """Gaps with x, y and z = 0 in a third of a frame, over a tray and a floor far below: metres of a sensor."""
    xyz = scene()
    xyz[:, :33, 2] = 0
    xyz[:, 90:, 2] = 1.4
    assert look_at_sample(xyz)[1] is None


def test_post_close_to_the_sensor_over_a_deep_pit_is_no_height() -> None:
    """Without points at exactly 0 a frame may be as deep as it likes."""
    xyz = scene()
    xyz[:, 40:60, 2] = 0.25
    xyz[:, :40, 2] = xyz[:, 60:, 2] = 1.6
    assert look_at_sample(xyz)[1] is None


def test_z_towards_the_sensor_is_told() -> None:
    """The axes of graphics: z points at the viewer."""
    problem = look_at_sample(scene() * np.float32(-1))[1]
    assert problem is not None
    assert "z < 0: are they in the sensor's frame" in problem


def test_axes_in_another_order_are_told() -> None:
    """x lies on both sides of the sensor's axis: where it stands for z, half of the points are behind the sensor."""
    problem = look_at_sample(np.ascontiguousarray(scene()[..., [2, 1, 0]]))[1]
    assert problem is not None
    assert "the axes in the order x, y, z" in problem


def test_one_negative_number_for_gaps_is_a_mark() -> None:
    """A sensor that writes z = -1 with x and y where it measured nothing, in a third of a frame."""
    xyz = scene()
    xyz[:, :33, 2] = -1
    assert look_at_sample(xyz)[1] is None


def test_long_scan_of_a_conveyor_is_no_height_map() -> None:
    """A profile scanner's frame may be many times longer than its distance."""
    xyz = scene()
    xyz[..., 1] *= 20
    assert look_at_sample(xyz)[1] is None


@pytest.mark.parametrize("shape", [(1, 1), (3, 5), (63, 64), (65, 200), (2000, 3)])
def test_frames_of_any_size_are_looked_at(shape: tuple[int, int]) -> None:
    """The sample is never empty."""
    xyz = np.broadcast_to(np.array([0.0, 0.0, 0.4], np.float32), (*shape, 3))
    distance_m, problem = look_at_sample(xyz)
    assert distance_m == pytest.approx(0.4)
    assert problem is None


def test_preparation_takes_the_same_points_for_measured() -> None:
    """The method and the wire agree: an impossible point is not valid, and is 0 in the prepared frame."""
    assert prepare.MAX_RANGE_M == MAX_RANGE_M
    xyz = np.tile(np.array([0.1, 0.1, 0.5], np.float32), (224, 224, 1))
    for column, z in enumerate([*GAPS, np.nan]):
        xyz[:, column, 2] = z
    xyz[:, 20, 0] = 1e10
    frames = prepare.prepare(
        torch.zeros(1, 224, 224, 3, dtype=torch.uint8),
        torch.from_numpy(xyz)[None],
        prepare.BackgroundOptions("none"),
    )
    np.testing.assert_array_equal(frames.valid[0].numpy(), measured(xyz))
    assert (frames.xyz[0, :, ~frames.valid[0]] == 0).all()
