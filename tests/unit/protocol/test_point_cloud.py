"""The binary of points: what a script reads is what the frame has, within the precision of its unit."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from tests.unit.made.archive import DEFECT, domed_part

from cmfm_protocol.pictures.point_cloud import HEAD, CloudMaps, point_cloud


@dataclass(frozen=True)
class Cloud:
    """A decoded binary."""

    step: int
    palette: np.ndarray
    xyz: np.ndarray
    rgb: np.ndarray
    heat: np.ndarray
    part: np.ndarray


def decode(content: bytes) -> Cloud:
    """Read the binary by the table in the module's docstring."""
    magic, n, step, *rest = HEAD.unpack_from(content)
    assert magic == b"CMP1"
    assert len(content) == HEAD.size + 768 + n * 11
    at = HEAD.size
    palette = np.frombuffer(content, np.uint8, 768, at).reshape(256, 3)
    steps = np.frombuffer(content, "<i2", 3 * n, at + 768).reshape(n, 3)
    colours = np.frombuffer(content, np.uint8, 5 * n, at + 768 + 6 * n)
    xyz = np.array(rest[:3]) + steps * rest[3]
    return Cloud(step, palette, xyz, colours[: 3 * n].reshape(n, 3), colours[3 * n : 4 * n], colours[4 * n :])


def test_points_are_those_of_the_frame() -> None:
    """Every measured point of a small frame is there, within 20 µm of its place, with its colour."""
    part = domed_part(1)
    assert part.frame is not None
    cloud = decode(point_cloud(part.frame.rgb, part.frame.xyz, None))
    known = ~np.isnan(part.frame.xyz[..., 0])
    assert cloud.step == 1
    np.testing.assert_allclose(cloud.xyz, part.frame.xyz[known], atol=2e-5)
    np.testing.assert_array_equal(cloud.rgb, part.frame.rgb[known])
    assert cloud.heat.max() == 0
    assert cloud.part.min() == 1


def test_heat_lies_on_the_defect() -> None:
    """The hottest point is the one at the peak of Ψ; points of the tray are marked as such."""
    part = domed_part(1, size_px=(150, 224))
    assert part.frame is not None
    assert part.maps is not None
    maps = CloudMaps(part.maps.psi, 2.0, part.maps.foreground)
    cloud = decode(point_cloud(part.frame.rgb, part.frame.xyz, maps, max_points=10**6))
    hottest = cloud.xyz[cloud.heat.argmax()]
    np.testing.assert_allclose(hottest, part.frame.xyz[DEFECT[0] - (224 - 150) // 2, DEFECT[1]], atol=2e-5)
    assert cloud.heat.max() == round(3.0 / 4.0 * 255)
    on_tray = np.hypot(cloud.xyz[:, 0], cloud.xyz[:, 1]) > 0.13
    assert cloud.part[on_tray].max() == 0
    assert cloud.part.max() == 1


@pytest.mark.parametrize("max_points", [1, 100, 3000])
def test_number_of_points_is_bounded(max_points: int) -> None:
    """A frame with more points is sampled on an even grid, as fine as the bound allows."""
    part = domed_part(1, size_px=(300, 400))
    assert part.frame is not None
    cloud = decode(point_cloud(part.frame.rgb, part.frame.xyz, None, max_points))
    assert max_points / 2.5 <= len(cloud.xyz) <= max_points


@pytest.mark.parametrize("value", [np.nan, 0.0, 1e10, -9999.0])
def test_frame_without_points(value: float) -> None:
    """Nothing was measured: no points, no error."""
    cloud = decode(point_cloud(np.zeros((9, 8, 3), np.uint8), np.full((9, 8, 3), value, np.float32), None))
    assert len(cloud.xyz) == 0


def test_far_point_does_not_spoil_the_others() -> None:
    """One point at the range's end costs precision, at most a third of a millimetre, and no overflow."""
    xyz = np.full((4, 4, 3), 0.5, np.float32)
    xyz[0, 0] = (-20, 20, 20)
    cloud = decode(point_cloud(np.zeros((4, 4, 3), np.uint8), xyz, None))
    np.testing.assert_allclose(cloud.xyz, xyz.reshape(-1, 3), atol=4e-4)


def test_pictures_of_different_size_are_refused() -> None:
    """A torn archive's arrays are not put together somehow."""
    with pytest.raises(ValueError, match="not of one size"):
        point_cloud(np.zeros((4, 4, 3), np.uint8), np.zeros((4, 5, 3), np.float32), None)
