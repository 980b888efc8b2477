"""Variations of good parts: smooth changes of light only and of shape only."""

from dataclasses import replace

import torch
from tests.unit.made.frames import plates

from cmfm_worker.cfm.fit.nominal_variation import CLOUDS, LIGHT, SWELLING, THICKNESS, WARP, vary_nominal
from cmfm_worker.cfm.prepare import plane_height


def test_light_and_shape_vary_smoothly_and_within_bounds() -> None:
    """Light varies by some percent and height by some thousandths from part to part, and hardly from pixel to
    pixel.
    """
    frames = plates(12)
    varied = vary_nominal(frames, list(range(12)))
    inside = frames.foreground[0]
    light = (varied.rgb / frames.rgb).log()[:, :, inside]
    side_m = 0.0005 * 119
    rise = (plane_height(varied) - plane_height(frames))[:, inside] / side_m
    assert 0.3 * LIGHT < light.mean((1, 2)).std() < 2 * LIGHT
    assert light.abs().max() < 8 * (LIGHT + CLOUDS)
    assert 0.3 * THICKNESS < rise.mean(1).std() < 2 * (THICKNESS + WARP)
    assert rise.abs().max() < 8 * (THICKNESS + WARP + SWELLING)
    ratio = (varied.rgb / frames.rgb).log() * frames.foreground[:, None]
    assert (ratio[..., 60:160, 61:161] - ratio[..., 60:160, 60:160]).abs().max() < 0.3 * CLOUDS
    height = (plane_height(varied) - plane_height(frames)) / side_m
    assert (height[:, 60:160, 61:161] - height[:, 60:160, 60:160]).abs().max() < 0.3 * (WARP + SWELLING)


def test_nothing_but_the_part_is_moved() -> None:
    """Points of the tray, mask and plane do not change. Light changes on the whole picture."""
    frames = plates(2)
    varied = vary_nominal(frames, [3, 4])
    outside = ~frames.foreground
    assert torch.equal(varied.xyz.permute(0, 2, 3, 1)[outside], frames.xyz.permute(0, 2, 3, 1)[outside])
    for name in ("foreground", "valid", "plane", "surroundings"):
        assert torch.equal(getattr(varied, name), getattr(frames, name))
    assert (varied.rgb != frames.rgb).float().mean() > 0.99
    assert varied.rgb.min() >= 0
    assert varied.rgb.max() <= 1


def test_a_part_is_varied_by_its_seed_alone() -> None:
    """A variation does not depend on the batch; another seed gives another one."""
    frames = plates(3)
    together = vary_nominal(frames, [5, 6, 5])
    assert torch.equal(together.rgb[0], together.rgb[2])
    assert torch.equal(together.xyz[0], together.xyz[2])
    assert not torch.equal(together.rgb[0], together.rgb[1])
    assert not torch.equal(together.xyz[0], together.xyz[1])


def test_frames_without_part_or_tray_are_accepted() -> None:
    """Without foreground no point moves; without a plane, up is towards the sensor."""
    frames = plates(2)
    none = replace(frames, foreground=torch.zeros_like(frames.foreground))
    assert torch.equal(vary_nominal(none, [1, 2]).xyz, none.xyz)
    unknown = replace(frames, plane=torch.full_like(frames.plane, torch.nan))
    moved = (vary_nominal(unknown, [1, 2]).xyz - unknown.xyz).abs().amax((0, 2, 3))
    assert moved[:2].max() == 0
    assert moved[2] > 0
