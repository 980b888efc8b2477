"""Points registered to another camera's picture, against scenes whose geometry is known exactly."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage
from tests.unit.made.known_scene import (
    DEPTH_VIEW,
    PICTURE_VIEW,
    Cube,
    KnownScene,
    Plane,
    View,
    cube_on_plane,
    tilted_plane,
    turn,
)

from cmfm_cameras.geometry.lens import Lens
from cmfm_cameras.geometry.pose import Pose
from cmfm_cameras.geometry.registration import Registration

MICROMETRE = 1e-6
COARSE_VIEW = replace(DEPTH_VIEW, width_px=40, height_px=32, fx_px=44.0, fy_px=44.0, cx_px=19.5, cy_px=15.5)
"""A depth sensor with a fifth of the resolution: its cells span several pixels of the picture."""


def registration(view: View = PICTURE_VIEW) -> Registration:
    lens = Lens(
        view.width_px, view.height_px, view.fx_px, view.fy_px, view.cx_px, view.cy_px, view.distortion
    )
    return Registration(lens, Pose.of(view.rotation, view.translation_m))


def seen_by_both(scene: KnownScene, depth: View, view: View = PICTURE_VIEW) -> NDArray[np.bool_]:
    """The picture's pixels whose point the depth sensor sees too, inside its grid."""
    points = scene.scene_points(view)
    pixels = depth.pixels(depth.seen(points))
    in_grid = (
        (pixels >= 0).all(-1)
        & (pixels[..., 0] <= depth.width_px - 1)
        & (pixels[..., 1] <= depth.height_px - 1)
    )
    return np.asarray(scene.is_seen(depth, points) & in_grid)


def pixel_error(xyz: NDArray[np.float32], view: View = PICTURE_VIEW) -> float:
    """How far the points are from their pixels' centres, projected again."""
    columns, rows = np.meshgrid(np.arange(view.width_px), np.arange(view.height_px))
    pixels = view.pixels(xyz.astype(np.float64))
    return float(np.nanmax(np.hypot(pixels[..., 0] - columns, pixels[..., 1] - rows)))


@pytest.mark.parametrize("depth", [DEPTH_VIEW, COARSE_VIEW])
def test_a_tilted_plane_is_exact_and_complete(depth: View) -> None:
    """Every pixel that both see has its own ray's point, to a micrometre and a tenth of a pixel; no other has one."""
    scene = tilted_plane()
    xyz = registration().register(scene.xyz(depth))
    error_m = np.linalg.norm(xyz - scene.points(PICTURE_VIEW), axis=-1)
    both = seen_by_both(scene, depth)
    assert np.nanmax(error_m) < MICROMETRE
    assert pixel_error(xyz) < 0.1
    np.testing.assert_array_equal(ndimage.binary_erosion(both) & np.isnan(xyz[..., 2]), False)
    np.testing.assert_array_equal(~ndimage.binary_dilation(both) & ~np.isnan(xyz[..., 2]), False)


def test_a_cube_hides_what_is_behind_it() -> None:
    """No pixel has a point of another surface than it sees: not the tray through the cube, not the tray for a flank."""
    scene = cube_on_plane()
    xyz = registration().register(scene.xyz(DEPTH_VIEW))
    known = ~np.isnan(xyz[..., 2])
    error_m = np.linalg.norm(xyz - scene.points(PICTURE_VIEW), axis=-1)
    assert np.nanmax(error_m) < MICROMETRE
    assert not (known & ~seen_by_both(scene, DEPTH_VIEW)).any()
    lost = seen_by_both(scene, DEPTH_VIEW) & ~known
    both, cube = seen_by_both(scene, DEPTH_VIEW), scene.surface_at(PICTURE_VIEW) == 1
    inside = [ndimage.binary_erosion(part, iterations=3) for part in (both & cube, both & ~cube)]
    assert not (lost & (inside[0] | inside[1])).any()
    assert lost.sum() < 0.01 * known.sum()


@pytest.mark.parametrize("degrees", [-35.0, -20.0, 20.0, 35.0])
@pytest.mark.parametrize("axis", ["x_deg", "y_deg"])
def test_a_camera_that_looks_from_the_side_sees_no_wrong_surface(degrees: float, axis: str) -> None:
    """From every side: the camera is turned about the cube, which then hides much of the plane behind it.

    A corner's tip can lie between the sensor's points, which nobody can know: at most one pixel may see through it.
    """
    scene = cube_on_plane()
    about, rotation = np.array([0.0, 0.0, 0.47]), turn(**{axis: degrees})
    view = replace(PICTURE_VIEW, rotation=rotation, translation_m=about - rotation @ about)
    xyz = registration(view).register(scene.xyz(DEPTH_VIEW))
    error_m = np.linalg.norm(xyz - scene.points(view), axis=-1)
    assert (~np.isnan(error_m)).sum() > 5000
    assert (error_m > MICROMETRE).sum() <= 1


def test_a_thin_part_over_a_deep_tray_has_no_holes() -> None:
    """The plane behind never shines through between the points of a plate in front."""
    plate = KnownScene([Plane((0.0, 0.0, 1.0), 0.9), Cube((0.0, 0.0, 0.45), 0.1)])
    xyz = registration().register(plate.xyz(DEPTH_VIEW))
    front = ndimage.binary_erosion(plate.surface_at(PICTURE_VIEW) == 1, iterations=3)
    on_top = front & seen_by_both(plate, DEPTH_VIEW)
    np.testing.assert_allclose(xyz[on_top], plate.points(PICTURE_VIEW)[on_top], atol=MICROMETRE)


def test_gaps_of_the_sensor_stay_gaps_and_hide_what_is_behind() -> None:
    """A hole in the cube's top and lost points all over: nothing is invented, and the tray does not shine through."""
    scene = cube_on_plane()
    points = scene.xyz(DEPTH_VIEW)
    points[60:80, 90:120] = np.nan  # in the cube's top and beside it
    points[np.random.default_rng(3).random(points.shape[:2]) < 0.05] = 0.0
    xyz = registration().register(points)
    error_m = np.linalg.norm(xyz - scene.points(PICTURE_VIEW), axis=-1)
    assert np.nanmax(error_m) < MICROMETRE
    places = DEPTH_VIEW.pixels(scene.scene_points(PICTURE_VIEW))
    hole = (np.abs(places - [104.5, 69.5]) < [13.0, 8.0]).all(-1)
    assert np.isnan(xyz[hole]).all()
    assert (~np.isnan(xyz[..., 2])).sum() > 0.8 * seen_by_both(scene, DEPTH_VIEW).sum()


def test_a_surface_that_is_seen_from_behind_has_no_points() -> None:
    """The two devices look at a plate from both sides: what the picture shows is not what was measured."""
    scene = KnownScene([Plane((0.0, 0.0, 1.0), 0.5)])
    rotation = turn(y_deg=180.0)
    view = replace(PICTURE_VIEW, rotation=rotation, translation_m=-rotation @ np.array([0.0, 0.0, 1.0]))
    assert np.isfinite(scene.points(view)).all()
    assert np.isnan(registration(view).register(scene.xyz(DEPTH_VIEW))).all()


def test_a_mirrored_grid_is_the_same_surface() -> None:
    """A sensor that counts its rows or columns from the other side gives the same points."""
    scene = cube_on_plane()
    points = scene.xyz(DEPTH_VIEW)
    straight = registration().register(points)
    for mirrored in (points[::-1], points[:, ::-1]):
        other = registration().register(np.ascontiguousarray(mirrored))
        both = ~np.isnan(straight[..., 2]) & ~np.isnan(other[..., 2])
        assert both.sum() > 0.99 * (~np.isnan(straight[..., 2])).sum()
        np.testing.assert_allclose(other[both], straight[both], atol=MICROMETRE)


@pytest.mark.parametrize("points", [np.zeros((2, 2, 3)), np.full((50, 60, 3), np.nan), np.ones((1, 5, 3))])
def test_nothing_measured_gives_nothing(points: NDArray[np.float64]) -> None:
    """A frame without points, or with one row of them, is a picture without points."""
    assert np.isnan(registration().register(points.astype(np.float32))).all()
