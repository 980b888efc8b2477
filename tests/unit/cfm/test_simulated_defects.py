"""Simulated defects: marks on a good part, where shape and colour no longer belong together."""

from dataclasses import replace

import pytest
import torch
from tests.unit.made.frames import plates

from cmfm_worker.cfm.fit.simulated_defects import SingleMark, simulate_defects
from cmfm_worker.cfm.prepare import plane_height


def test_only_what_is_marked_changes_much_and_all_of_it_lies_on_the_part() -> None:
    """Beyond the mask, colour and height are those of the good part, or fade into them."""
    frames = plates(6)
    made = simulate_defects(frames, list(range(6)))
    assert not (made.mask & ~frames.foreground).any()
    share = made.mask.flatten(1).sum(1) / frames.foreground.flatten(1).sum(1)
    assert (share > 0.002).all()
    assert (share < 0.5).all()
    lifted = (plane_height(made.frames) - plane_height(frames)).abs()
    painted = (made.frames.rgb - frames.rgb).abs().amax(1)
    outside = ~frames.foreground
    assert lifted[outside].max() == 0
    assert painted[outside].max() == 0
    assert lifted[made.mask].mean() > 20 * lifted[~made.mask].mean()
    assert painted[made.mask].mean() > 20 * painted[~made.mask].mean()


def test_marks_are_of_height_alone_of_colour_alone_and_of_both() -> None:
    """Some parts together have marks of each kind, up and down, lighter and darker."""
    frames = plates(12)
    made = simulate_defects(frames, list(range(12)))
    rise_m = (plane_height(made.frames) - plane_height(frames))[made.mask]
    shade = (made.frames.rgb - frames.rgb).sum(1)[made.mask]
    higher, lighter = rise_m.abs() > 1e-4, shade.abs() > 0.05
    for sort in (higher & ~lighter, lighter & ~higher, higher & lighter):
        assert sort.float().mean() > 0.05
    side_m = 0.0005 * 119
    assert rise_m.min() < -0.004 * side_m
    assert 0.004 * side_m < rise_m.max() <= 5 * 0.04 * side_m
    assert shade.min() < -0.1 < 0.1 < shade.max()
    assert made.frames.rgb.min() >= 0
    assert made.frames.rgb.max() <= 1


def test_a_part_has_the_same_marks_in_any_batch_and_others_with_another_seed() -> None:
    """Marks do not depend on how parts are batched."""
    frames = plates(3)
    together = simulate_defects(frames, [4, 5, 6])
    alone = simulate_defects(plates(1), [5])
    torch.testing.assert_close(together.frames.rgb[1], alone.frames.rgb[0], rtol=0, atol=0)
    torch.testing.assert_close(together.frames.xyz[1], alone.frames.xyz[0], rtol=0, atol=0)
    assert torch.equal(together.mask[1], alone.mask[0])
    assert not torch.equal(together.mask[0], together.mask[1])


def test_a_single_mark_is_of_the_kind_and_size_asked_for() -> None:
    """One blob of height leaves the colour, and one of colour the height; its area is that of its radius."""
    frames = plates(12)
    side_px = frames.foreground[0].sum().sqrt()
    for height, colour in ((True, False), (False, True), (True, True)):
        made = simulate_defects(
            frames, list(range(12)), SingleMark(height=height, colour=colour, radius=(0.05, 0.06))
        )
        assert bool((made.frames.xyz != frames.xyz).any()) is height
        assert bool((made.frames.rgb != frames.rgb).any()) is colour
        areas_px = made.mask.flatten(1).sum(1)
        assert (areas_px > 0).all()
        assert areas_px.max() < 1.5 * torch.pi * (0.06 * side_px) ** 2
        assert areas_px.median() > 0.5 * torch.pi * (0.05 * side_px) ** 2
    line = simulate_defects(frames, list(range(12)), SingleMark(height=True, colour=True, line=True))
    rows = line.mask.any(2).sum(1).float()
    columns = line.mask.any(1).sum(1).float()
    assert (line.mask.flatten(1).sum(1) < 4 * torch.hypot(rows, columns) + 4).all()


@pytest.mark.parametrize("side", [10, 160])
def test_marks_grow_with_the_part(side: int) -> None:
    """A small part gets small marks, and even the smallest part gets a mark."""
    made = simulate_defects(plates(8, side), list(range(8)))
    counts = made.mask.flatten(1).sum(1).float()
    assert (counts > 0).all()
    assert counts.mean() < 0.4 * side**2


def test_a_frame_without_plane_is_marked_towards_the_sensor_and_one_without_part_not_at_all() -> None:
    """Frames whose background was removed before get marks; frames without measured points do not."""
    frames = plates(2)
    bare = replace(frames, plane=torch.full((2, 4), torch.nan))
    bare.foreground[1] = False
    made = simulate_defects(bare, [1, 2])
    moved = made.frames.xyz[0] - bare.xyz[0]
    assert moved[2].abs().max() > 0
    assert moved[:2].abs().max() == 0
    assert not made.mask[1].any()
    torch.testing.assert_close(made.frames.rgb[1], bare.rgb[1], rtol=0, atol=0)
