"""The features of `classic`: nothing outside the part enters, and each channel responds to what it is named after."""

from dataclasses import replace

import pytest
import torch

from cmfm_worker.cfm.classic.channels import SIGMAS_2D_PX, opponent_colours
from cmfm_worker.cfm.classic.context import WIDE_2D, WIDE_3D, skyline
from cmfm_worker.cfm.classic.derivatives import curvatures
from cmfm_worker.cfm.classic.extractor import MIN_POINTS, PREDICTED_2D, ClassicExtractor
from cmfm_worker.cfm.extractor import PixelFeatures, TooFewPointsError
from cmfm_worker.cfm.prepare import COMPUTED, SIZE_PX, PreparedFrames

EXTRACTOR = ClassicExtractor()


def frames(seed: int = 0, *, rows: slice = slice(60, 160), columns: slice = slice(50, 170)) -> PreparedFrames:
    """One frame: a textured, bumpy slab 2 cm above a tray half a metre from the sensor."""
    generator = torch.Generator().manual_seed(seed)
    grid = torch.linspace(-0.1, 0.1, SIZE_PX)
    y, x = torch.meshgrid(grid, grid, indexing="ij")
    height = 0.02 + 0.002 * torch.sin(x * 200) * torch.cos(y * 150)
    mask = torch.zeros(1, SIZE_PX, SIZE_PX, dtype=torch.bool)
    mask[:, rows, columns] = True
    xyz = torch.stack([x, y, 0.5 - height])[None] * mask[:, None]
    rgb = torch.rand(1, 3, SIZE_PX, SIZE_PX, generator=generator)
    return PreparedFrames(
        rgb=rgb,
        xyz=xyz,
        foreground=mask,
        valid=mask.clone(),
        plane=torch.tensor([[0.0, 0.0, -1.0, 0.5]]),
        surroundings=torch.zeros(1, 4, dtype=torch.int32),
        picture=(rgb.permute(0, 2, 3, 1) * 255).byte(),  # B C H W -> B H W C
    )


def joined(*some: PreparedFrames) -> PreparedFrames:
    names = (*COMPUTED, "picture")
    return PreparedFrames(**{name: torch.cat([getattr(f, name) for f in some]) for name in names})


def test_every_second_foreground_pixel_has_a_finite_feature() -> None:
    """Widths are those that the extractor states, and every grid pixel of the part has one row."""
    some = frames()
    features = EXTRACTOR(some)
    grid = torch.zeros_like(some.foreground)
    grid[:, ::2, ::2] = some.foreground[:, ::2, ::2]
    assert torch.equal(features.mask, grid)
    pixels = int(grid.sum())
    assert features.e2d.shape == (pixels, EXTRACTOR.d2)
    assert features.e3d.shape == (pixels, EXTRACTOR.d3)
    assert features.e2d.isfinite().all()
    assert features.e3d.isfinite().all()


def test_tray_is_not_in_the_features() -> None:
    """Another colour or distance of the tray changes no feature."""
    part = frames()
    painted = part.rgb.clone()
    painted[:, :, ~part.foreground[0]] = 0.1
    assert torch.equal(EXTRACTOR(part).e2d, EXTRACTOR(replace(part, rgb=painted)).e2d)


def test_frame_does_not_depend_on_its_batch() -> None:
    """Features are bit for bit the same alone and in a batch."""
    one, other = frames(1), frames(2, rows=slice(0, 224), columns=slice(100, 130))
    alone: list[PixelFeatures] = [EXTRACTOR(one), EXTRACTOR(other)]
    together = EXTRACTOR(joined(one, other))
    assert torch.equal(together.e2d, torch.cat([f.e2d for f in alone]))
    assert torch.equal(together.e3d, torch.cat([f.e3d for f in alone]))


def test_a_stain_changes_colour_features_where_it_is_and_no_height() -> None:
    """A stain changes predicted 2D channels locally and no 3D channel; a dent changes no 2D channel."""
    part = frames()
    stained, dented = part.rgb.clone(), part.xyz.clone()
    stained[:, :, 62:72, 52:62] = 0.0
    dented[:, 2, 62:72, 52:62] += 0.003
    clean, stain, dent = (EXTRACTOR(f) for f in (part, replace(part, rgb=stained), replace(part, xyz=dented)))
    assert torch.equal(clean.e3d, stain.e3d)
    assert torch.equal(clean.e2d, dent.e2d)
    inside = torch.zeros_like(part.foreground)
    inside[:, 62:72, 52:62] = True
    at = inside[clean.mask]
    assert ((clean.e2d - stain.e2d).abs().sum(1)[at] > 0.5).all()
    assert ((clean.e3d - dent.e3d).abs().sum(1)[at] > 0.5).all()
    far = torch.zeros_like(part.foreground)
    far[:, 150:160, 150:170] = True  # beyond the widest filter and what it gathers around it
    away = far[clean.mask]
    assert torch.equal(clean.e2d[away, :PREDICTED_2D], stain.e2d[away, :PREDICTED_2D])


@pytest.mark.parametrize("turn_deg", [0.0, 30.0, 90.0])
def test_a_line_is_told_from_a_spot_whichever_way_it_runs(turn_deg: float) -> None:
    """A dark line has curvature across it only, in any direction; a spot has it in all directions."""
    y, x = torch.meshgrid(torch.arange(41.0) - 20, torch.arange(41.0) - 20, indexing="ij")
    turn = torch.tensor(turn_deg).deg2rad()
    across = x * turn.cos() + y * turn.sin()
    line, spot = (-torch.exp(-d.square() / 8)[None] for d in (across, torch.hypot(x, y)))
    (line_high, line_low), (spot_high, spot_low) = (
        [c[0, 10, 10] for c in curvatures(plane)] for plane in (line, spot)
    )
    assert line_high > 5 * line_low.abs()
    assert spot_low == pytest.approx(float(spot_high), rel=0.05)
    assert line_high == pytest.approx(float(spot_high), rel=0.1)


def test_the_skyline_tells_from_where_a_place_is_in_shadow() -> None:
    """A wall 10 pixels to the right and 5 mm high gives a skyline of 0.5 mm a pixel there, and none elsewhere."""
    h = torch.zeros(1, 40, 64)
    h[..., 40:] = 5.0
    seen = skyline(h, torch.ones_like(h))[:, 10, 15]
    assert seen[0] == pytest.approx(5.0 / 12, rel=1e-6)  # the surface is looked at 8 and 12 pixels away
    assert seen[[1, 7]].tolist() == pytest.approx([5.0 / 16] * 2)  # at a slant the wall is 14 pixels away
    assert seen[2:7].abs().max() == 0


def test_the_outline_is_in_both_features() -> None:
    """The share of part pixels is 1 in the middle of a part, 1/2 at the middle of a side, 1/4 at a corner."""
    part = frames()
    features = EXTRACTOR(part)
    share = torch.zeros(SIZE_PX, SIZE_PX)
    share[features.mask[0]] = features.e2d[:, -WIDE_2D - 2]
    places = [share[110, 110], share[60, 110], share[60, 50]]
    assert [float(place) for place in places] == pytest.approx([1.0, 0.57, 0.57**2], abs=0.12)
    outlines = features.e2d[:, -WIDE_2D - 2 : -WIDE_2D], features.e3d[:, -WIDE_3D - 2 : -WIDE_3D]
    assert torch.equal(*outlines)


def test_pixels_outside_the_part_are_not_on_the_skyline() -> None:
    """A wall outside the part is not in the skyline. With nothing around, the skyline falls in all directions."""
    h = torch.zeros(1, 40, 64)
    h[..., 40:] = 5.0
    weight = torch.zeros_like(h)
    weight[..., 20, 30] = 1.0
    assert (skyline(h, weight)[:, 10, 15] < 0).all()


def test_context_is_relative_to_the_part() -> None:
    """A brighter lamp hardly changes log lightness minus its mean and colour over lightness, but changes colours."""
    part = frames()
    grey = replace(part, rgb=0.3 + 0.3 * part.rgb)
    lit = replace(part, rgb=1.2 * grey.rgb)
    before, after = (EXTRACTOR(f).e2d for f in (grey, lit))
    over_lightness, log_lightness = (
        [PREDICTED_2D + 2 * len(SIGMAS_2D_PX) + i for i in (0, 1)],
        EXTRACTOR.d2 - WIDE_2D + 3,
    )
    assert (before[:, 8] - after[:, 8]).abs().mean() > 0.05
    assert (before - after)[:, [*over_lightness, log_lightness]].abs().mean() < 0.01


def test_frame_without_a_part_is_named() -> None:
    """A frame with only a speck is refused, and the error names the frame."""
    speck = frames(rows=slice(0, 10), columns=slice(0, 10))
    with pytest.raises(TooFewPointsError) as caught:
        EXTRACTOR(joined(frames(), speck))
    assert caught.value.frames == (1,)
    assert caught.value.counts == (100,)
    assert MIN_POINTS > 100


def test_opponent_colours_of_grey_are_its_brightness_alone() -> None:
    """Grey has colour differences of 0."""
    grey = torch.full((3, 2, 2), 0.4)
    assert torch.allclose(
        opponent_colours(grey), torch.tensor([0.4, 0.0, 0.0])[:, None, None].expand(3, 2, 2)
    )


def test_a_sensor_that_measures_odd_rows_alone_is_seen_there() -> None:
    """The grid starts where most points are, so that a sparse sensor loses none of them."""
    sparse = frames()
    foreground = torch.zeros_like(sparse.foreground)
    foreground[:, 1::2, 1::2] = sparse.foreground[:, 1::2, 1::2]
    features = EXTRACTOR(replace(sparse, foreground=foreground, xyz=sparse.xyz * foreground[:, None]))
    assert torch.equal(features.mask, foreground)
    assert features.e3d.isfinite().all()


def test_points_seen_through_a_slot_are_no_cliff() -> None:
    """A strip one pixel wide far below the surface has no features and changes those around it little."""
    part = frames()
    through = part.xyz.clone()
    through[:, 2, 100, 80:100] += 0.012
    slot = replace(part, xyz=through)
    clean, seen = EXTRACTOR(part), EXTRACTOR(slot)
    assert not seen.mask[0, 100, 80:100].any()
    assert int(clean.mask.sum() - seen.mask.sum()) == 10
    kept = seen.mask[clean.mask]
    moved = (clean.e3d[kept] - seen.e3d).abs().amax(0)
    dent = replace(part, xyz=through.clone())
    dent.xyz[:, 2, 96:105, 80:100] = part.xyz[:, 2, 96:105, 80:100] + 0.012
    assert (EXTRACTOR(dent).e3d - clean.e3d).abs().amax(0)[0] > 5 * moved[0]
