"""The classic features: nothing but the part is in them, and each sees what it is named after."""

from dataclasses import replace

import pytest
import torch

from cmfm_worker.cfm.classic import CHANNELS_2D, CHANNELS_3D, MIN_POINTS, ClassicExtractor, opponent_colours
from cmfm_worker.cfm.extractor import PixelFeatures, TooFewPointsError
from cmfm_worker.cfm.filters import curvatures
from cmfm_worker.cfm.prepare import SIZE_PX, PreparedFrames

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
    return PreparedFrames(
        rgb=torch.rand(1, 3, SIZE_PX, SIZE_PX, generator=generator),
        xyz=xyz,
        foreground=mask,
        valid=mask.clone(),
        plane=torch.tensor([[0.0, 0.0, -1.0, 0.5]]),
    )


def joined(*some: PreparedFrames) -> PreparedFrames:
    names = ("rgb", "xyz", "foreground", "valid", "plane")
    return PreparedFrames(**{name: torch.cat([getattr(f, name) for f in some]) for name in names})


def test_every_foreground_pixel_has_a_finite_feature() -> None:
    """Widths are as announced, and there is a row for each pixel of the part and no other."""
    some = frames()
    features = EXTRACTOR(some)
    assert (
        features.e2d.shape
        == (int(some.foreground.sum()), CHANNELS_2D)
        == (features.e3d.shape[0], EXTRACTOR.d2)
    )
    assert features.e3d.shape[1] == CHANNELS_3D == EXTRACTOR.d3
    assert features.e2d.isfinite().all()
    assert features.e3d.isfinite().all()


def test_tray_is_not_in_the_features() -> None:
    """Another tray under the same part changes nothing: neither its colour nor its distance."""
    part = frames()
    painted = part.rgb.clone()
    painted[:, :, ~part.foreground[0]] = 0.1
    assert torch.equal(EXTRACTOR(part).e2d, EXTRACTOR(replace(part, rgb=painted)).e2d)


def test_frame_does_not_depend_on_its_batch() -> None:
    """Features are bit for bit the same alone and in company."""
    one, other = frames(1), frames(2, rows=slice(0, 224), columns=slice(100, 130))
    alone: list[PixelFeatures] = [EXTRACTOR(one), EXTRACTOR(other)]
    together = EXTRACTOR(joined(one, other))
    assert torch.equal(together.e2d, torch.cat([f.e2d for f in alone]))
    assert torch.equal(together.e3d, torch.cat([f.e3d for f in alone]))


def test_a_stain_changes_colour_features_where_it_is_and_no_height() -> None:
    """A change of colour is local, and invisible to the 3D features; the reverse holds for a dent."""
    part = frames()
    stained, dented = part.rgb.clone(), part.xyz.clone()
    stained[:, :, 62:72, 52:62] = 0.0
    dented[:, 2, 62:72, 52:62] += 0.003
    clean, stain, dent = (EXTRACTOR(f) for f in (part, replace(part, rgb=stained), replace(part, xyz=dented)))
    assert torch.equal(clean.e3d, stain.e3d)
    assert torch.equal(clean.e2d, dent.e2d)
    inside = torch.zeros_like(part.foreground)
    inside[:, 62:72, 52:62] = True
    at = inside[part.foreground]
    assert ((clean.e2d - stain.e2d).abs().sum(1)[at] > 0.5).all()
    assert ((clean.e3d - dent.e3d).abs().sum(1)[at] > 0.5).all()
    far = torch.zeros_like(part.foreground)
    far[:, 150:160, 150:170] = True  # beyond the widest filter and what it gathers around it
    assert torch.equal(clean.e2d[far[part.foreground]], stain.e2d[far[part.foreground]])


@pytest.mark.parametrize("turn_deg", [0.0, 30.0, 90.0])
def test_a_line_is_told_from_a_spot_whichever_way_it_runs(turn_deg: float) -> None:
    """A dark line curves across itself alone; a spot curves in all directions."""
    y, x = torch.meshgrid(torch.arange(41.0) - 20, torch.arange(41.0) - 20, indexing="ij")
    turn = torch.tensor(turn_deg).deg2rad()
    across = x * turn.cos() + y * turn.sin()
    line, spot = (-torch.exp(-d.square() / 8) for d in (across, torch.hypot(x, y)))
    (line_high, spot_high), (line_low, spot_low) = (
        c[:, 0, 20, 20] for c in curvatures(torch.stack([line, spot])[:, None])
    )
    assert line_high > 5 * line_low.abs()
    assert spot_low == pytest.approx(float(spot_high), rel=0.05)
    assert line_high == pytest.approx(float(spot_high), rel=0.1)


def test_a_frame_without_a_part_is_refused_by_name() -> None:
    """A speck is no part; the frame at fault is named."""
    speck = frames(rows=slice(0, 10), columns=slice(0, 10))
    with pytest.raises(TooFewPointsError) as caught:
        EXTRACTOR(joined(frames(), speck))
    assert caught.value.frames == (1,)
    assert caught.value.counts == (100,)
    assert MIN_POINTS > 100


def test_opponent_colours_of_grey_are_its_brightness_alone() -> None:
    """Grey has no colour difference."""
    grey = torch.full((3, 2, 2), 0.4)
    assert torch.allclose(
        opponent_colours(grey), torch.tensor([0.4, 0.0, 0.0])[:, None, None].expand(3, 2, 2)
    )
