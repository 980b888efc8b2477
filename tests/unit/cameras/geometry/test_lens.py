"""Lenses: projection and rays against OpenCV, and what lies outside a lens."""

import numpy as np
import pytest

from cmfm_cameras.geometry.lens import Lens

cv2 = pytest.importorskip("cv2")

PINHOLE = Lens(640, 480, 600.0, 590.0, 322.0, 236.0)
BARREL = Lens(640, 480, 600.0, 590.0, 322.0, 236.0, (-0.28, 0.09, 0.0012, -0.0009, -0.01))
RATIONAL = Lens(640, 480, 600.0, 590.0, 322.0, 236.0, (0.4, -0.1, 0.001, 0.0005, 0.01, 0.7, 0.05, 0.02))


@pytest.mark.parametrize("lens", [PINHOLE, BARREL, RATIONAL])
def test_projection_is_that_of_opencv(lens: Lens) -> None:
    """Points land where OpenCV's projectPoints puts them, in float64 and to a thousandth of a pixel in float32."""
    points = np.random.default_rng(5).uniform([-0.3, -0.25, 0.6], [0.3, 0.25, 1.2], (500, 3))
    matrix = np.array([[lens.fx_px, 0, lens.cx_px], [0, lens.fy_px, lens.cy_px], [0, 0, 1]])
    distortion = np.array(lens.distortion or (0.0,) * 5)
    expected = cv2.projectPoints(points, np.zeros(3), np.zeros(3), matrix, distortion)[0].reshape(-1, 2)
    np.testing.assert_allclose(np.stack(lens.project(points), axis=-1), expected, atol=1e-9)
    np.testing.assert_allclose(
        np.stack(lens.project(points.astype(np.float32)), axis=-1), expected, atol=1e-3
    )


@pytest.mark.parametrize("lens", [PINHOLE, BARREL, RATIONAL])
def test_rays_go_through_their_pixels(lens: Lens) -> None:
    """Every pixel's ray projects back to its centre, to a millionth of a pixel."""
    expected = np.meshgrid(np.linspace(0, 639, 60), np.linspace(0, 479, 50))
    rays = lens.rays_of(*expected)
    columns, rows = lens.project(np.concatenate([rays, np.ones((*rays.shape[:2], 1))], axis=-1))
    np.testing.assert_allclose(columns, expected[0], atol=1e-6)
    np.testing.assert_allclose(rows, expected[1], atol=1e-6)


def test_nothing_folds_back_into_the_picture() -> None:
    """A barrel polynomial draws points far from the axis near the middle again; such points are nowhere."""
    lens = Lens(640, 480, 600.0, 600.0, 320.0, 240.0, (-0.3, 0.0, 0.0, 0.0, 0.0))
    outside = np.array([[1.75, 0.0, 1.0]])  # r (1 − 0.3 r²) = 0.14: 84 pixels from the middle
    assert np.isnan(lens.project(outside)[0]).all()
    assert lens.widest_tan == pytest.approx(np.sqrt(1 / 0.9), abs=2e-3)


def test_pixels_that_no_ray_reaches_have_none() -> None:
    """The corners of a picture can lie beyond what the lens draws."""
    lens = Lens(640, 480, 300.0, 300.0, 320.0, 240.0, (-0.3, 0.0, 0.0, 0.0, 0.0))
    rays = lens.rays_of(np.array([0.0, 320.0]), np.array([0.0, 240.0]))
    assert np.isnan(rays[0]).all()
    assert np.isfinite(rays[1]).all()


def test_points_behind_the_camera_are_nowhere() -> None:
    """Neither z = 0 nor z < 0 has a pixel."""
    columns, rows = PINHOLE.project(np.array([[0.1, 0.1, -1.0], [0.1, 0.1, 0.0], [0.0, 0.0, 1.0]]))
    assert np.isnan(columns[:2]).all()
    assert np.isnan(rows[:2]).all()
    assert (columns[2], rows[2]) == (322.0, 236.0)
