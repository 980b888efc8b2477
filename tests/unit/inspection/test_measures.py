"""How a part lies in its frame, from its mask."""

import numpy as np
import pytest

from cmfm_worker.inspection.measures import measure

AROUND = (10, 9, 1, 0)


def test_square_and_its_missing_corner() -> None:
    """Area, outline and length are those of whole pixels; a corner that is missing halves its share of the outline."""
    mask = np.zeros((224, 224), dtype=bool)
    mask[50:110, 20:80] = True
    whole = measure(mask, AROUND)
    assert (whole.area_px, whole.outline_px) == (3600, 3600)
    assert whole.length_px == pytest.approx(60 * 2**0.5, rel=1e-3)
    assert whole.filled == 1.0
    mask[80:110, 50:80] = False
    cut = measure(mask, AROUND)
    assert cut.area_px == 2700
    assert cut.outline_px == pytest.approx(3600 - 450)
    assert cut.filled == pytest.approx(2700 / 3150)


@pytest.mark.parametrize("degrees", range(0, 180, 15))
def test_length_and_filling_do_not_depend_on_the_pose(degrees: int) -> None:
    """A bar of 100 by 20 pixels in any direction, but for the steps of its pixels."""
    y, x = np.mgrid[:224, :224] - 112
    turn = np.deg2rad(degrees)
    along, across = x * np.cos(turn) + y * np.sin(turn), y * np.cos(turn) - x * np.sin(turn)
    part = measure((abs(along) < 50) & (abs(across) < 10), AROUND)
    assert part.length_px == pytest.approx(np.hypot(100, 20), abs=2)
    assert part.filled == pytest.approx(0.96, abs=0.05)


def test_holes_belong_to_the_outline() -> None:
    """A ring fills only a part of its outline."""
    y, x = np.mgrid[:224, :224] - 112
    radius = np.hypot(x, y)
    ring = measure((radius < 60) & (radius > 40), AROUND)
    assert ring.filled == pytest.approx(1 - (40 / 60) ** 2, abs=0.02)


@pytest.mark.parametrize("pixels", [0, 1, 2])
def test_hardly_any_pixels(pixels: int) -> None:
    """No pixel has no outline, and one or two have that of their squares."""
    mask = np.zeros((224, 224), dtype=bool)
    mask[100, 100 : 100 + pixels] = True
    part = measure(mask, AROUND)
    assert (part.area_px, part.outline_px) == (pixels, pixels)
    assert part.filled == (1.0 if pixels else 0.0)
    assert part.around == AROUND
