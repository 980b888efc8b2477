"""Pictures: what they show, and that odd data does not break them."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from cmfm_protocol.pictures.colour_map import DEPTH, HEAT, NO_VALUE, colour_table, lightness
from cmfm_protocol.pictures.panels import (
    OUTLINE,
    VERDICT_COLOURS,
    colourise,
    contact_sheet,
    depth_picture,
    heat_over_rgb,
    outline,
    part_panel,
)
from cmfm_protocol.pictures.region_floor import region_floor

SIDE = 64


def disc(radius: float) -> NDArray[np.bool_]:
    row, column = np.mgrid[:SIDE, :SIDE] - SIDE / 2
    return np.asarray(np.hypot(row, column) < radius, dtype=np.bool_)


def panel(psi: NDArray[Any], **changed: Any) -> NDArray[np.uint8]:
    grey = np.full((SIDE, SIDE, 3), 120, np.uint8)
    options: dict[str, Any] = {
        "threshold": 1.0,
        "title": "part 7",
        "verdict": "FAIL",
        "score": 1.7,
        "tile_px": 128,
    }
    depth = np.where(disc(30), 0.48, 0.0)
    return np.asarray(part_panel(grey, depth, psi, psi, psi, **(options | changed)))


def has_colour(picture: NDArray[np.uint8], colour: tuple[int, int, int]) -> bool:
    return bool((picture == np.array(colour, dtype=np.uint8)).all(axis=-1).any())


@pytest.mark.parametrize("anchors", [HEAT, DEPTH])
def test_more_always_looks_lighter(anchors: tuple[str, ...]) -> None:
    """Lightness grows in even steps from dark to light, so the scales survive a grey printer and colour blindness."""
    levels = lightness(colour_table(anchors))
    assert (np.diff(levels) > 0).all()
    assert levels[0] < 10
    assert levels[-1] > 92
    steps = np.diff(levels[::51])
    np.testing.assert_allclose(steps, steps.mean(), rtol=0.04)


def test_colours_span_the_range_that_was_asked_for() -> None:
    """The ends of the range get the ends of the scale, numbers beyond them too; NaN and infinity are grey."""
    picture = colourise(np.array([[-9.0, 2.0, 4.0, 99.0, np.nan, np.inf]]), 2.0, 4.0)
    table = colour_table(HEAT)
    np.testing.assert_array_equal(picture[0, :2], [table[0]] * 2)
    np.testing.assert_array_equal(picture[0, 2:4], [table[-1]] * 2)
    np.testing.assert_array_equal(picture[0, 4:], [NO_VALUE] * 2)


@pytest.mark.parametrize(("low", "high"), [(1.0, 1.0), (2.0, 1.0), (0.0, np.nan), (0.0, np.inf)])
def test_a_range_of_no_width_is_no_error(low: float, high: float) -> None:
    """A map that is constant, or all zero, can be drawn."""
    assert colourise(np.full((3, 4), 1.0), low, high).shape == (3, 4, 3)


def test_the_outline_is_the_rim_of_the_mask() -> None:
    """It lies on the mask, is closed, and is there at the border of the picture too."""
    np.testing.assert_array_equal(
        outline(np.ones((4, 5), np.bool_)),
        [[1, 1, 1, 1, 1], [1, 0, 0, 0, 1], [1, 0, 0, 0, 1], [1, 1, 1, 1, 1]],
    )
    rim = outline(disc(20))
    assert not (rim & ~disc(20)).any()
    assert not rim[disc(17)].any()
    assert not outline(np.zeros((4, 5), np.bool_)).any()


@pytest.mark.parametrize("thickness_px", [1, 2, 3])
def test_the_outline_is_that_of_its_definition(thickness_px: int) -> None:
    """Pixel by pixel: pixels of the mask with a neighbour outside, then all that touch the outline, once a step."""
    mask = np.random.default_rng(thickness_px).uniform(size=(60, 41)) < 0.8
    mask[20:40, 10:30] = True
    expected = mask & ~shifted(mask, np.logical_and)
    for _ in range(thickness_px - 1):
        expected = expected | shifted(expected, np.logical_or)
    np.testing.assert_array_equal(outline(mask, thickness_px), expected)


def shifted(mask: NDArray[np.bool_], join: np.ufunc) -> NDArray[np.bool_]:
    """The four neighbours of each pixel joined; there is nothing beyond the border."""
    padded = np.pad(mask, 1)
    neighbours = [padded[:-2, 1:-1], padded[2:, 1:-1], padded[1:-1, :-2], padded[1:-1, 2:]]
    return np.asarray(join.reduce(neighbours), dtype=np.bool_)


@pytest.mark.parametrize(
    ("dtype", "shape"), [("f2", (224, 224)), ("f4", (224, 224)), ("f8", (60, 300)), ("f4", (5, 5))]
)
def test_the_floor_of_regions_is_that_of_its_definition(dtype: str, shape: tuple[int, int]) -> None:
    """Pixel by pixel: the level, or half of the highest Ψ within 32 pixels, if that is more."""
    psi = np.random.default_rng(0).normal(size=shape).astype(dtype)
    floor = region_floor(psi, 0.9)
    for row, column in np.random.default_rng(1).integers(0, shape, size=(200, 2)):
        nearby = psi[max(row - 32, 0) : row + 33, max(column - 32, 0) : column + 33]
        assert floor[row, column] == max(float(nearby.max()) / 2, 0.9)


def test_heat_shows_only_what_comes_near_the_threshold() -> None:
    """Below half the threshold the picture is grey and untouched; above it it glows."""
    grey = np.full((SIDE, SIDE, 3), 120, np.uint8)
    psi = np.where(disc(10), 2.0, 0.45)
    over = heat_over_rgb(grey, psi, 1.0)
    assert (over[~disc(10)] == 120).all()
    assert (np.ptp(over[disc(10)].astype(int), axis=-1) > 20).all()


def test_the_background_is_darkened_under_the_heat() -> None:
    """Pixels outside the foreground are darkened."""
    grey = np.full((SIDE, SIDE, 3), 120, np.uint8)
    over = heat_over_rgb(grey, np.zeros((SIDE, SIDE)), 1.0, disc(20))
    assert over[disc(20)].min() > 2 * over[~disc(20)].max() - 10


def test_near_is_brighter_than_far_and_holes_are_grey() -> None:
    """A raised disc is brighter than its ground; points that were not measured are grey."""
    depth = np.where(disc(20), 0.48, 0.50)
    depth[:4] = 0.0
    picture, near, far = depth_picture(depth)
    assert (near, far) == pytest.approx((0.48, 0.50))
    assert lightness(picture[SIDE // 2, SIDE // 2]) > 2 * lightness(picture[8, 8])
    np.testing.assert_array_equal(picture[0, 0], NO_VALUE)


@pytest.mark.parametrize("verdict", ["PASS", "FAIL", "UNDECIDED", "FAULT"])
def test_every_verdict_has_its_own_colour(verdict: str) -> None:
    """The colour of one verdict appears on no panel of another."""
    shown = panel(np.zeros((SIDE, SIDE)), verdict=verdict, score=0.3)
    assert [name for name, colour in VERDICT_COLOURS.items() if has_colour(shown, colour)] == [verdict]


def test_the_outline_is_drawn_where_the_map_reaches_the_threshold() -> None:
    """A part above the threshold is outlined in both pictures of it, one below in neither."""
    high = panel(np.where(disc(9), 1.5, 0.1))
    tile = 128 + 16
    first, last = high[:, :tile], high[:, -tile:]
    assert has_colour(first, OUTLINE)
    assert has_colour(last, OUTLINE)
    assert not has_colour(panel(np.where(disc(9), 0.9, 0.1)), OUTLINE)


def test_the_outline_leaves_out_what_only_shines() -> None:
    """Around a strong defect Ψ is above the threshold too: the outline is that of the regions in the result."""
    shining = np.where(disc(5), 9.0, np.where(disc(18), 1.5, 0.1))
    plain = np.where(disc(5), 9.0, 0.1)
    tile = 128 + 16
    outlines = [(panel(psi)[:, :tile] == OUTLINE).all(axis=-1) for psi in (shining, plain)]
    boxes = [np.ptp(np.argwhere(line), axis=0) for line in outlines]
    np.testing.assert_allclose(boxes[0], boxes[1], atol=2)


def test_a_good_parts_noise_is_not_shown_as_a_finding() -> None:
    """Ψ_2D of a part far below the threshold stays dark, though its own maximum would be the end of the scale."""
    noise = np.random.default_rng(0).uniform(0, 0.01, size=(SIDE, SIDE))
    quiet, loud = panel(noise, score=0.01)[92:], panel(noise * 200)[92:]
    middle = slice(2 * (128 + 16) + 16, 3 * (128 + 16))  # the third tile
    assert lightness(quiet[40:150, middle]).mean() < 0.6 * lightness(loud[40:150, middle]).mean()


def test_a_part_that_was_not_inspected_says_so() -> None:
    """Without a score there is a panel of the same size, without a gauge."""
    empty = np.zeros((SIDE, SIDE))
    with_score = panel(empty, verdict="FAULT", score=0.0)
    without = panel(empty, verdict="FAULT", score=None, reason="no_valid_3d")
    assert with_score.shape == without.shape
    assert (with_score[:80] != without[:80]).any()


@pytest.mark.parametrize("value", [0.0, np.nan, np.inf, -1.0, 1e30])
@pytest.mark.parametrize("threshold", [None, 0.0, np.nan, 1e-30])
def test_odd_maps_and_thresholds_can_be_drawn(value: float, threshold: float | None) -> None:
    """Maps that are zero, negative, not finite or huge are drawn, with any threshold."""
    assert panel(np.full((SIDE, SIDE), value), threshold=threshold, score=value).ndim == 3


def test_long_titles_are_cut_and_wide_pictures_keep_their_proportions() -> None:
    """The title does not cover the gauge, and pictures keep their proportions."""
    wide = np.full((SIDE, 2 * SIDE, 3), 200, np.uint8)
    empty = np.zeros((SIDE, 2 * SIDE))
    shown = np.asarray(
        part_panel(
            wide, empty, empty, empty, empty, threshold=1.0, title="x" * 900, verdict="PASS", score=0.1
        )
    )
    bright = (shown[92 + 30 : 92 + 330, 16 : 16 + 300] == 200).all(axis=-1)
    assert bright.any(axis=1).sum() == pytest.approx(150, abs=2)
    assert bright.any(axis=0).sum() == pytest.approx(300, abs=2)


def test_maps_of_another_size_are_refused() -> None:
    """The error names the map."""
    good = np.zeros((SIDE, SIDE))
    rgb = np.zeros((SIDE, SIDE, 3), np.uint8)
    with pytest.raises(ValueError, match=r"psi_3d \(3, 4\) is not of the size"):
        part_panel(
            rgb, good, good, np.zeros((3, 4)), good, threshold=1.0, title="", verdict="PASS", score=0.0
        )
    with pytest.raises(ValueError, match="size of the picture"):
        heat_over_rgb(rgb, good, 1.0, np.zeros((3, 4), np.bool_))


def test_a_contact_sheet_holds_every_picture() -> None:
    """Rows may be of different length."""
    red, blue = Image.new("RGB", (40, 40), (250, 0, 0)), Image.new("RGB", (40, 40), (0, 0, 250))
    sheet = np.asarray(contact_sheet([[(red, "red"), (blue, "blue")], [(blue, "blue")]], "colours"))
    assert (sheet == (250, 0, 0)).all(axis=-1).sum() == 1600
    assert (sheet == (0, 0, 250)).all(axis=-1).sum() == 3200
