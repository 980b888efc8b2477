"""Anomaly maps and scores: distances at masked pixels, aggregations, smoothing, and the score's variants."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, get_args

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from cmfm_worker.cfm.anomaly_maps import aggregate, anomaly_maps
from cmfm_worker.cfm.anomaly_score import compressed, score
from cmfm_worker.cfm.classic.residual_metric import ResidualMetric
from cmfm_worker.cfm.equations import smoothed
from cmfm_worker.cfm.extractor import PixelFeatures
from cmfm_worker.cfm.mapping.pair import Mapping, MappingPair, Standardiser, new_pair
from cmfm_worker.cfm.pixel_distances import PIXELS_AT_ONCE, row_distances
from cmfm_worker.cfm.variants import Aggregation, Architecture, Distance, Modality

D2, D3 = 6, 10


def make_mapping(standardise: Standardiser | None = None) -> MappingPair:
    torch.manual_seed(5)
    return MappingPair(Mapping(D2, D3), Mapping(D3, D2), standardise)


def make_features(*foreground: float) -> PixelFeatures:
    """Random features; in each frame about the given share of pixels is inside the mask."""
    torch.manual_seed(6)
    mask = torch.stack([torch.rand(224, 224) < share for share in foreground])
    count = int(mask.sum())
    return PixelFeatures(e2d=torch.randn(count, D2), e3d=torch.randn(count, D3), mask=mask)


def test_maps_are_distances_of_normalised_features_inside_the_mask() -> None:
    """Ψ_2D and Ψ_3D are ‖E/|E| − Ê/|Ê|‖ at their pixels and 0 elsewhere; Ψ is their smoothed product."""
    features, mapping = make_features(0.2), make_mapping()
    assert len(features.e2d) > PIXELS_AT_ONCE, "the test must cross a chunk's border"
    maps = anomaly_maps(features, mapping)
    for psi, E, E_hat in (
        (maps.psi_2d, features.e2d, mapping.to_2d(features.e3d)),
        (maps.psi_3d, features.e3d, mapping.to_3d(features.e2d)),
    ):
        expected = torch.zeros(1, 224, 224)
        expected[features.mask] = (2 - 2 * F.cosine_similarity(E, E_hat)).detach().sqrt()
        torch.testing.assert_close(psi, expected, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(maps.psi, smoothed(maps.psi_2d * maps.psi_3d))


def test_perfect_prediction_is_no_anomaly() -> None:
    """If both networks predict what was observed, every map is 0."""
    mapping, features = make_mapping(), make_features(0.01)
    with torch.no_grad():
        for net, bias in ((mapping.to_3d, torch.ones(D3)), (mapping.to_2d, torch.ones(D2))):
            net.get_parameter("output.weight").zero_()
            net.get_parameter("output.bias").copy_(bias)
    ones = PixelFeatures(torch.ones_like(features.e2d), torch.ones_like(features.e3d), features.mask)
    maps = anomaly_maps(ones, mapping)
    assert maps.psi.abs().max() == 0
    assert score(maps.psi, "published").tolist() == [0]


def test_frame_without_pixels_is_zero_and_harms_no_other() -> None:
    """An empty frame in a batch has zero maps and score 0, and does not change its neighbours' maps."""
    features, mapping = make_features(0.02, 0.0, 0.03), make_mapping()
    maps = anomaly_maps(features, mapping)
    assert maps.psi[1].abs().max() == 0
    for normalisation in ("absolute", "published"):
        scores = score(maps.psi, normalisation)
        assert scores[1] == 0
        assert scores.isfinite().all()
    alone = anomaly_maps(features.select([2]), mapping)
    torch.testing.assert_close(alone.psi[0], maps.psi[2])


def test_batch_of_nothing_but_empty_frames_is_zero() -> None:
    """A batch without any pixel is not an error."""
    maps = anomaly_maps(make_features(0.0, 0.0), make_mapping())
    assert maps.psi.shape == (2, 224, 224)
    assert maps.psi.abs().max() == 0


def test_standardiser_comes_before_mapping_and_distance() -> None:
    """A mapping with a standardiser gives the same maps as standardised features with a mapping without one."""
    standardise = Standardiser(torch.full((D2,), 2.0), torch.full((D2,), 3.0), torch.ones(D3), torch.ones(D3))
    features = make_features(0.02)
    e2d, e3d = standardise(features.e2d, features.e3d)
    expected = anomaly_maps(PixelFeatures(e2d, e3d, features.mask), make_mapping())
    found = anomaly_maps(features, make_mapping(standardise))
    torch.testing.assert_close(found.psi, expected.psi)


def test_context_channels_change_the_prediction_and_not_the_distance() -> None:
    """Context channels do not enter a distance, but they change the prediction."""
    torch.manual_seed(5)
    mapping = MappingPair(Mapping(D2, D3 - 4), Mapping(D3, D2 - 2))
    features = make_features(0.02)
    maps = anomaly_maps(features, mapping)
    expected = (2 - 2 * F.cosine_similarity(features.e3d[:, : D3 - 4], mapping.to_3d(features.e2d))).sqrt()
    torch.testing.assert_close(maps.psi_3d[features.mask], expected.detach(), rtol=1e-4, atol=1e-5)
    other = features.e3d.clone()
    other[:, D3 - 4 :] += 5.0
    moved = anomaly_maps(replace(features, e3d=other), mapping)
    assert torch.equal(moved.psi_3d, maps.psi_3d)
    assert (moved.psi_2d - maps.psi_2d).abs().max() > 0.01


def test_a_network_that_is_too_sure_does_not_make_an_anomaly() -> None:
    """However small the learned spread, a residual of 0.15 of a channel's deviation gives at most 1."""
    networks = Mapping(D2, D3, spread=True), Mapping(D3, D2, spread=True)
    for network in networks:
        for parameter in network.parameters():
            torch.nn.init.zeros_(parameter)
        torch.nn.init.constant_(network.get_parameter("spread.bias"), -100.0)
    e2d, e3d = torch.full((3, D2), 0.15), torch.full((3, D3), -1.5)
    psi_2d, psi_3d = row_distances(e2d, e3d, MappingPair(*networks), "standardised")
    assert psi_2d.tolist() == pytest.approx([1.0] * 3, rel=0.02)
    assert psi_3d.tolist() == pytest.approx([10.0] * 3, rel=0.02)


def test_a_metric_that_changes_nothing_is_the_standardised_distance_and_none_is_refused() -> None:
    """The distance "metric" needs a metric. With unit matrices it equals the standardised distance."""
    torch.manual_seed(6)
    pair = MappingPair(Mapping(D2, D3, spread=True), Mapping(D3, D2, spread=True))
    e2d, e3d = torch.rand(50, D2), torch.rand(50, D3)
    with pytest.raises(ValueError, match="no metric"):
        row_distances(e2d, e3d, pair, "metric")
    same = row_distances(e2d, e3d, replace(pair, metric=ResidualMetric.unlearned(D2, D3)), "metric")
    torch.testing.assert_close(same, row_distances(e2d, e3d, pair, "standardised"))


def test_mapping_of_other_widths_is_refused() -> None:
    """Features and a mapping of different widths are refused with both widths."""
    features = make_features(0.01)
    with pytest.raises(ValueError, match=r"widths 10 .* and 6 .* 6 and 10"):
        anomaly_maps(PixelFeatures(features.e3d, features.e2d, features.mask), make_mapping())


def test_smoothing_is_the_sum_of_boxes() -> None:
    """Smoothing equals five 5×5 means and three 7×7 means with zeros outside the image, as plain convolutions."""
    psi = torch.rand(2, 224, 224)
    expected = psi[:, None]
    for side in (5, 5, 5, 5, 5, 7, 7, 7):
        expected = F.conv2d(expected, torch.full((1, 1, side, side), 1 / side**2), padding=side // 2)
    torch.testing.assert_close(smoothed(psi), expected[:, 0], rtol=1e-5, atol=1e-6)


def test_smoothing_keeps_mass_and_is_a_gaussian_of_about_four_pixels() -> None:
    """A point inside the image keeps its sum and spreads by σ = √(5·2 + 3·4) = 4.69 pixels an axis."""
    psi = torch.zeros(1, 224, 224)
    psi[0, 100, 120] = 1
    spread = smoothed(psi)[0].double()
    rows = torch.arange(224).double()
    assert spread.sum().item() == pytest.approx(1, rel=1e-5)
    assert (spread.sum(1) * (rows - 100) ** 2).sum().item() == pytest.approx(22, rel=1e-4)
    assert divmod(int(spread.argmax()), 224) == (100, 120)


@pytest.mark.parametrize("sigma_px", [0.7, 2.0, 3.5])
def test_other_smoothing_is_a_gaussian_of_that_width(sigma_px: float) -> None:
    """A point inside the image keeps its sum and spreads by σ along each axis; at the edge, what falls outside is
    lost.
    """
    psi = torch.zeros(2, 224, 224)
    psi[0, 100, 120], psi[1, 0, 120] = 1, 1
    spread, at_edge = smoothed(psi, sigma_px).double()
    rows = torch.arange(224).double()
    assert spread.sum().item() == pytest.approx(1, rel=1e-5)
    assert (spread.sum(1) * (rows - 100) ** 2).sum().sqrt().item() == pytest.approx(sigma_px, rel=5e-3)
    assert divmod(int(spread.argmax()), 224) == (100, 120)
    peak = torch.exp(-0.5 * (torch.arange(-20, 21).double() / sigma_px) ** 2).sum().item() ** -1
    assert at_edge.sum().item() == pytest.approx(0.5 + peak / 2, rel=1e-3)


def test_one_modality_alone_is_no_anomaly() -> None:
    """The product is 0 if only one modality disagrees with its prediction."""
    high, none = torch.ones(1, 224, 224), torch.zeros(1, 224, 224)
    assert aggregate(high, none).max() == 0
    assert aggregate(high, high)[0, 112, 112] == pytest.approx(1)


def test_scores_follow_their_definitions() -> None:
    """`absolute` is the maximum, `published` divides it by the root of the mean of the non-zero pixels."""
    psi = torch.zeros(2, 224, 224)
    psi[0, 10, 10], psi[0, 20, 20] = 3.0, 1.0
    psi[1, 0, 0] = 0.25
    assert score(psi, "absolute").tolist() == [3, 0.25]
    torch.testing.assert_close(score(psi, "published"), torch.tensor([3 / 2**0.5, 0.5]))


def test_a_score_of_several_pixels_is_their_mean() -> None:
    """The score is the mean of the highest pixels, wherever they are. One very high pixel raises it only by its
    share.
    """
    psi = torch.zeros(1, 224, 224)
    psi[0, 10, 10], psi[0, 200, 20], psi[0, 30, 30], psi[0, 31, 30] = 8.0, 3.0, 1.0, 0.5
    assert score(psi, "absolute", 3).tolist() == [4]
    assert score(psi, "absolute", 224 * 224).item() == pytest.approx(psi.mean().item(), rel=1e-5)
    assert score(psi, "published", 3).item() == pytest.approx(4 / (12.5 / 4) ** 0.5, rel=1e-6)
    assert score(torch.zeros(1, 224, 224), "published", 3).tolist() == [0]


def test_maps_of_clear_defects_are_compressed() -> None:
    """Beyond the limit Ψ is multiplied by √(limit / score); other frames stay as they are, and NaN stays NaN."""
    torch.manual_seed(7)
    psi = torch.rand(5, 224, 224) * torch.tensor([0.0, 1.0, 4.0, 4.5, 60.0])[:, None, None]
    scores = score(psi, "absolute", 50)
    found = compressed(psi, scores, 2.0)
    assert torch.equal(found[:2], psi[:2])
    torch.testing.assert_close(score(found, "absolute", 50)[2:], (2.0 * scores[2:]).sqrt())
    torch.testing.assert_close(found[4] / found[4].max(), psi[4] / psi[4].max())
    lost = torch.full((1, 224, 224), torch.nan)
    assert compressed(lost, lost[:, 0, 0], 2.0).isnan().all()


def test_not_a_number_reaches_the_score() -> None:
    """NaN in a map gives a NaN score, never one that looks good."""
    features, mapping = make_features(0.01), make_mapping()
    features.e2d[7, 0] = torch.nan
    psi = anomaly_maps(features, mapping).psi
    for highest_px in (1, 200):
        assert score(psi, "absolute", highest_px).isnan().all()
        assert score(psi, "published", highest_px).isnan().all()


def test_select_takes_frames_in_the_order_asked() -> None:
    """Selecting frames of a batch keeps each frame's own pixels."""
    features = make_features(0.01, 0.02, 0.0)
    first, second, _ = features.counts
    picked = features.select([2, 1, 0])
    assert picked.counts == [0, second, first]
    assert torch.equal(picked.e2d, torch.cat([features.e2d[first:], features.e2d[:first]]))
    assert torch.equal(picked.mask, features.mask.flip(0))
    assert features.select([]).counts == []


def test_pixels_of_a_batch_can_be_taken_alone() -> None:
    """Some pixels of every frame can be selected, each with its own features."""
    features = make_features(0.01, 0.02)
    chosen = torch.zeros(2, 224, 224, dtype=torch.bool)
    chosen[:, ::2] = True
    some = features.at(chosen)
    assert torch.equal(some.mask, features.mask & chosen)
    for rows, all_rows in ((some.e2d, features.e2d), (some.e3d, features.e3d)):
        plane = torch.zeros(2, 224, 224, all_rows.shape[1])
        plane[features.mask] = all_rows
        assert torch.equal(rows, plane[some.mask])


@pytest.mark.parametrize(
    ("aggregation", "literal"),
    [
        ("product", lambda a, b: a * b),
        ("sum", lambda a, b: a + b),
        ("max", np.maximum),
        ("2d", lambda a, b: a),
        ("3d", lambda a, b: b),
    ],
)
def test_aggregations_are_those_of_table_6(
    aggregation: Aggregation, literal: Callable[[Any, Any], Any]
) -> None:
    """Ψ is the smoothed product, sum, maximum or one of the maps. Ψ_2D and Ψ_3D do not change."""
    features, mapping = make_features(0.05, 0.1), make_mapping()
    plain, maps = (
        anomaly_maps(features, mapping),
        anomaly_maps(features, mapping, "angular", aggregation),
    )
    assert torch.equal(maps.psi_2d, plain.psi_2d)
    assert torch.equal(maps.psi_3d, plain.psi_3d)
    expected = torch.from_numpy(literal(plain.psi_2d.numpy(), plain.psi_3d.numpy()))
    torch.testing.assert_close(maps.psi, smoothed(expected))
    assert (aggregation == "product") is torch.equal(maps.psi, plain.psi)


@pytest.mark.parametrize("architecture", ["mlp", "mlp_encoder_decoder", "conv_encoder_decoder"])
@pytest.mark.parametrize("distance", ["angular", "standardised"])
def test_intramodal_maps_see_their_own_modality_alone(architecture: Architecture, distance: Distance) -> None:
    """Other 3D features change Ψ_3D and not one bit of Ψ_2D. Crossmodal maps change both."""
    features = make_features(0.01, 0.02)
    other = PixelFeatures(features.e2d, features.e3d + 1, features.mask)
    for modality in get_args(Modality):
        torch.manual_seed(8)
        mapping = new_pair(D2, D3, architecture, modality, spread=True)
        one, changed = (anomaly_maps(given, mapping, distance) for given in (features, other))
        assert torch.equal(one.psi_2d, changed.psi_2d) is (modality == "intra")
        assert not torch.equal(one.psi_3d, changed.psi_3d)


def test_convolutions_get_each_frame_by_itself() -> None:
    """In a batch with an empty frame, each frame has the same maps as alone."""
    features = make_features(0.02, 0.0, 0.05)
    torch.manual_seed(8)
    mapping = new_pair(D2, D3, "conv_encoder_decoder")
    together = anomaly_maps(features, mapping)
    assert together.psi[1].abs().max() == 0
    for i in (0, 2):
        alone = anomaly_maps(features.select([i]), mapping)
        torch.testing.assert_close(alone.psi_2d[0], together.psi_2d[i])
        torch.testing.assert_close(alone.psi_3d[0], together.psi_3d[i])
        assert together.psi[i].max() > 0


def on_grid(features: PixelFeatures) -> PixelFeatures:
    """The same features at every second row and column alone."""
    grid = torch.zeros_like(features.mask)
    grid[:, ::2, ::2] = True
    return replace(features.at(grid), grid_px=2)


def slab(rows: slice, columns: slice) -> PixelFeatures:
    """Random features at a rectangle of one frame."""
    torch.manual_seed(6)
    mask = torch.zeros(1, 224, 224, dtype=torch.bool)
    mask[:, rows, columns] = True
    count = int(mask.sum())
    return PixelFeatures(torch.randn(count, D2), torch.randn(count, D3), mask)


def test_a_value_on_a_grid_stands_for_its_pixels() -> None:
    """Every second pixel has features: Ψ_2D and Ψ_3D are theirs at the pixels between, and 0 outside the part."""
    whole, mapping = slab(slice(40, 100), slice(60, 120)), make_mapping()
    maps, every = anomaly_maps(on_grid(whole), mapping), anomaly_maps(whole, mapping)
    for found, expected in ((maps.psi_2d, every.psi_2d), (maps.psi_3d, every.psi_3d)):
        repeated = expected[:, ::2, ::2].repeat_interleave(2, 1).repeat_interleave(2, 2)
        torch.testing.assert_close(found, repeated)


def test_a_continued_map_reaches_what_is_missing() -> None:
    """A hole and a piece missing at the edge have the Ψ of the surface around them; far away Ψ is 0."""
    whole = slab(slice(40, 140), slice(40, 140))
    hole = torch.ones_like(whole.mask)
    hole[:, 60:66, 60:66] = hole[:, 132:, 80:100] = False
    features, mapping = whole.at(hole), make_mapping()
    plain, further = (anomaly_maps(features, mapping, continue_map=go_on) for go_on in (False, True))
    typical = float(further.level)
    assert float(plain.psi[0, 63, 63]) < 0.8 * typical
    assert float(further.psi[0, 63, 63]) == pytest.approx(typical, rel=0.2)
    assert float(further.psi[0, 136, 90]) > 0.6 * typical
    assert float(further.psi[0, 146, 60]) == pytest.approx(0.75 * typical, rel=0.25)
    assert float(further.psi[0, 200:].max()) == 0
    torch.testing.assert_close(further.psi[0, 90:110, 90:110], plain.psi[0, 90:110, 90:110])
    assert torch.equal(further.psi_2d, plain.psi_2d)


def test_the_paper_s_map_is_not_continued() -> None:
    """Unless asked for, Ψ is the smoothed product and nothing else."""
    features, mapping = slab(slice(40, 140), slice(40, 140)), make_mapping()
    maps = anomaly_maps(features, mapping)
    assert torch.equal(maps.psi, smoothed(maps.psi_2d * maps.psi_3d))


def test_a_part_is_measured_by_its_own_level_as_far_as_good_parts_vary() -> None:
    """Ψ is divided by its mean over the part, and by no more than the range allows."""
    features, mapping = slab(slice(40, 140), slice(40, 140)), make_mapping()
    plain = anomaly_maps(features, mapping)
    level = float(plain.level)
    assert level == pytest.approx(float(plain.psi[features.mask].mean()), rel=1e-4)
    for levels, divisor in (((level / 2, 2 * level), level), ((level / 4, level / 2), level / 2)):
        found = anomaly_maps(features, mapping, level_range=levels)
        torch.testing.assert_close(found.psi, plain.psi / divisor)
        assert float(found.level) == level
