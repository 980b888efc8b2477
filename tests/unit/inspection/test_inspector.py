"""The code path of the line on batches: recipes mixed, frames that cannot be inspected, coverage and peak."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.unit.made.recipes import ColourAndPlace, draft, frames, model, saved

from cmfm_protocol.wire.verdict import Reason
from cmfm_worker.cfm.mapping.pair import new_pair
from cmfm_worker.cfm.prepare import COMPUTED, BackgroundOptions, prepare
from cmfm_worker.cfm.variants import Aggregation, Architecture, Modality
from cmfm_worker.errors import InputError
from cmfm_worker.inspection.inspector import Inspector, prepare_mixed, select_frames
from cmfm_worker.inspection.regions import find_regions
from cmfm_worker.recipes.folder import save_recipe
from cmfm_worker.recipes.loaded_model import LoadedModel
from cmfm_worker.recipes.recipe import load_recipe
from cmfm_worker.recipes.sections import BackgroundSection, CoverageSection, ExtractorSection, ScoreSection


def test_recipes_mixed_in_a_batch_do_not_mix(tmp_path: Path) -> None:
    """Each frame of a mixed batch gets the maps it gets alone, whatever recipes its neighbours have."""
    a = model(tmp_path / "a", seed=1)
    b = model(tmp_path / "b", seed=2, score=ScoreSection(normalisation="published"))
    c = model(tmp_path / "c", seed=3, background=BackgroundSection(method="ransac"))
    rgb, xyz = frames(4)
    inspector = Inspector(ColourAndPlace())
    order = [a, c, b, a]
    together = inspector.inspect(rgb, xyz, order).parts()
    for i, part in enumerate(together):
        alone = inspector.inspect(rgb[i : i + 1], xyz[i : i + 1], [order[i]]).parts()[0]
        assert (part.foreground == alone.foreground).all()
        np.testing.assert_allclose(part.psi, alone.psi, rtol=1e-4, atol=1e-7)
        assert part.score == pytest.approx(alone.score, rel=1e-4)
    assert together[0].score != pytest.approx(together[3].score)


def test_every_frame_of_a_mixed_batch_keeps_its_own_picture() -> None:
    """Frames that are prepared in groups, or chosen from a batch, are those that they are alone, picture included."""
    rgb, xyz = frames(3)
    backgrounds = [BackgroundOptions("none"), BackgroundOptions(), BackgroundOptions("none")]
    mixed = prepare_mixed(rgb, xyz, backgrounds, prepare)
    for i, background in enumerate(backgrounds):
        alone, chosen = prepare(rgb[i : i + 1], xyz[i : i + 1], background), select_frames(mixed, [i])
        assert torch.equal(chosen.picture, rgb[i : i + 1])
        for name in (*COMPUTED, "picture"):
            torch.testing.assert_close(
                getattr(chosen, name), getattr(alone, name), rtol=0, atol=0, equal_nan=True
            )


def test_a_frame_chosen_from_simulated_ones_keeps_its_own_change() -> None:
    """The colour that was added to a frame goes with it."""
    batch = prepare(*frames(3), BackgroundOptions("none"))
    added = torch.rand(3, 3, 224, 224, generator=torch.Generator().manual_seed(1)) * 0.1
    simulated = batch.recoloured(batch.rgb + added, batch.xyz)
    chosen = select_frames(simulated, [2, 0]).change
    assert chosen is not None
    torch.testing.assert_close(chosen, added[[2, 0]])
    assert select_frames(batch, [1]).change is None


def test_variants_of_the_mapping_mixed_in_a_batch(tmp_path: Path) -> None:
    """Recipes of every architecture, modality and aggregation share a batch; each frame has the maps it has alone."""
    variants: list[tuple[Architecture, Modality, Aggregation]] = [
        ("conv_encoder_decoder", "cross", "product"),
        ("mlp", "cross", "product"),
        ("mlp_encoder_decoder", "intra", "sum"),
        ("conv_encoder_decoder", "intra", "max"),
        ("mlp", "intra", "2d"),
    ]
    models = []
    for i, (architecture, modality, aggregation) in enumerate(variants):
        torch.manual_seed(i)
        recipe = draft(name=f"r{i}", score=ScoreSection(aggregation=aggregation))
        save_recipe(tmp_path / f"r{i}", recipe, new_pair(3, 3, architecture, modality))
        models.append(LoadedModel.of(load_recipe(tmp_path / f"r{i}"), torch.device("cpu")))
    order = [*models, models[0], models[2]]
    rgb, xyz = frames(len(order))
    inspector = Inspector(ColourAndPlace())
    together = inspector.inspect(rgb, xyz, order).parts()
    for i, part in enumerate(together):
        alone = inspector.inspect(rgb[i : i + 1], xyz[i : i + 1], [order[i]]).parts()[0]
        np.testing.assert_allclose(part.psi, alone.psi, rtol=1e-4, atol=1e-7)
        assert part.score == pytest.approx(alone.score, rel=1e-4)
        assert part.score > 0
    assert len({round(part.score, 6) for part in together}) == len(order)


def test_frame_without_3d_does_not_touch_its_neighbours(tmp_path: Path) -> None:
    """Frames without 3D, or with too few points, are problems with a reason; the other frames are unchanged."""
    rgb, xyz = frames(4)
    broken = xyz.clone()
    broken[1] = math.nan
    broken[2] = 0.0
    broken[2, 30, 30] = torch.tensor([0.01, 0.01, 0.5])
    part = model(tmp_path / "a")
    inspector = Inspector(ColourAndPlace())
    found = inspector.inspect(rgb, broken, [part] * 4).parts()
    sound = inspector.inspect(rgb, xyz, [part] * 4).parts()
    reasons = [f.problem.reason if f.problem else None for f in found]
    assert reasons == [None, Reason.NO_VALID_3D, Reason.TOO_FEW_POINTS, None]
    for i in (1, 2):
        assert math.isnan(found[i].score)
        assert found[i].peak_px is None
        assert not found[i].psi.any()
    for i in (0, 3):
        np.testing.assert_allclose(found[i].psi, sound[i].psi, rtol=1e-4, atol=1e-7)


def test_batch_of_problems_only(tmp_path: Path) -> None:
    """A batch in which no frame can be inspected returns problems and raises nothing."""
    rgb, xyz = frames(2)
    found = Inspector(ColourAndPlace()).inspect(rgb, torch.zeros_like(xyz), [model(tmp_path / "a")] * 2)
    assert [problem is not None for problem in found.problems] == [True, True]


def test_half_missing_3d_halves_the_coverage(tmp_path: Path) -> None:
    """Coverage is the foreground over the nominal part's: 1 for a complete part, about 0.5 for half of it."""
    rgb, xyz = frames(2)
    xyz[1, :32] = math.nan
    whole = model(tmp_path / "a", coverage=CoverageSection(minimum=0.6, nominal_median_px=224 * 224))
    coverage = [part.coverage for part in Inspector(ColourAndPlace()).inspect(rgb, xyz, [whole] * 2).parts()]
    assert coverage == pytest.approx([1.0, 0.5], abs=0.01)


def test_unknown_nominal_size_is_no_coverage(tmp_path: Path) -> None:
    """A recipe without a nominal part size reports no coverage."""
    rgb, xyz = frames(1)
    imported = model(tmp_path / "a", coverage=CoverageSection())
    assert Inspector(ColourAndPlace()).inspect(rgb, xyz, [imported]).parts()[0].coverage is None


def test_peak_is_where_the_map_is_highest(tmp_path: Path) -> None:
    """The peak's pixel is the maximum of Ψ; its point is the nearest measured one, also beside the foreground."""
    rgb, xyz = frames(1)
    xyz[0, :, 20:] = math.nan
    part = Inspector(ColourAndPlace()).inspect(rgb, xyz, [model(tmp_path / "a")]).parts()[0]
    assert part.peak_px is not None
    assert part.peak_xyz_m is not None
    row, column = part.peak_px
    assert part.psi[row, column] == part.psi.max() == pytest.approx(part.score)
    x, y, z = part.peak_xyz_m
    assert part.depth[part.foreground].min() <= z <= part.depth[part.foreground].max()
    assert abs(y - (-0.1 + 0.2 * row / 223)) < 0.02
    assert x <= -0.1 + 0.2 * 20 / 63


def test_map_of_a_clear_defect_is_compressed(tmp_path: Path) -> None:
    """Frames above the recipe's limit alone. Scores stay, and so do the regions and the map as it is shown."""
    rgb, xyz = frames(3)
    inspector = Inspector(ColourAndPlace())
    plain = inspector.inspect(rgb, xyz, [model(tmp_path / "plain", seed=1)] * 3)
    above = float(plain.score.sort().values[1]) * 0.999  # one of three stays below
    how = ScoreSection(compress_from=above)
    found = inspector.inspect(rgb, xyz, [model(tmp_path / "other", seed=1, score=how)] * 3)
    share = (above / plain.score).clamp(max=1).sqrt()
    assert (share < 1).sum() == 2
    assert torch.equal(found.score, plain.score)
    torch.testing.assert_close(found.psi, plain.psi * share[:, None, None])
    assert torch.equal(found.psi_2d, plain.psi_2d)
    for before, after, factor in zip(plain.parts(), found.parts(), share.tolist(), strict=True):
        np.testing.assert_allclose(after.psi_as_scored, before.psi_as_scored, rtol=1e-5)
        expected = find_regions(before, 0.9 * before.score)
        regions = find_regions(after, 0.9 * after.score)
        assert [(r.bbox, r.area_px) for r in regions] == [(r.bbox, r.area_px) for r in expected]
        assert [r.peak for r in regions] == pytest.approx([factor * r.peak for r in expected], rel=1e-5)


def test_picture_is_the_frame(tmp_path: Path) -> None:
    """The picture shown with the maps is the prepared frame; its depth is in metres on the part and 0 elsewhere."""
    rgb, xyz = frames(1, side_px=224)
    xyz[0, :10] = math.nan
    part = Inspector(ColourAndPlace()).inspect(rgb, xyz, [model(tmp_path / "a")]).parts()[0]
    assert (part.rgb == rgb[0].numpy()).all()
    assert (part.depth[:10] == 0).all()
    np.testing.assert_array_equal(part.depth[10:], xyz[0, 10:, :, 2].numpy())


def test_wrong_extractor_is_refused(tmp_path: Path) -> None:
    """A recipe taught on other features or weights is refused by name before any frame."""
    inspector = Inspector(ColourAndPlace())
    inspector.require_match(saved(tmp_path / "ok").recipe)
    other = ExtractorSection(preset="classic", version="2")
    with pytest.raises(InputError, match=r"'part'.*version = '2'.*teach it again with `cmfm-worker fit`"):
        inspector.require_match(saved(tmp_path / "version", extractor=other).recipe)
    weights = ExtractorSection(preset="classic", version="colour and place", sha256={"w.pth": "0" * 64})
    with pytest.raises(InputError, match=r"other weights: w\.pth"):
        inspector.require_match(saved(tmp_path / "weights", extractor=weights).recipe)
