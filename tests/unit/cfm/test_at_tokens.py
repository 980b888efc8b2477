"""The mapping at the tokens gives the same maps as at the pixels, also where Ψ is nearly 0."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from cmfm_worker.cfm.anomaly_maps import anomaly_maps
from cmfm_worker.cfm.extractor import PixelFeatures
from cmfm_worker.cfm.mapping import at_tokens
from cmfm_worker.cfm.mapping.pair import Mapping, MappingPair, Standardiser, new_pair
from cmfm_worker.cfm.mapping.token_sampling import TokenSampling
from cmfm_worker.cfm.pixel_distances import pixel_distances
from cmfm_worker.cfm.token_features import SampledTokens, TokenFeatures
from cmfm_worker.cfm.variants import Architecture, Modality

TOKENS_A_FRAME = 30


def made_up(d2: int, d3: int, *shares: float) -> TokenFeatures:
    """Frames with about the given shares of their pixels inside the mask. Weights of 3D pixels do not sum to 1."""
    torch.manual_seed(4)
    mask = torch.stack([torch.rand(224, 224) < share for share in shares])
    frame = mask.nonzero()[:, 0]

    def sampled(width: int, entries: int, total: Tensor) -> SampledTokens:
        token = torch.randint(TOKENS_A_FRAME, (len(frame), entries)) + TOKENS_A_FRAME * frame[:, None]
        weight = torch.rand(len(frame), entries)
        weight = weight / weight.sum(1, keepdim=True) * total[:, None]
        starts = torch.arange(0, entries * len(frame), entries)
        tokens = torch.randn(TOKENS_A_FRAME * len(mask), width)
        return SampledTokens(tokens, TokenSampling(token.flatten(), weight.flatten(), starts))

    return TokenFeatures(
        sampled(d2, 4, torch.ones(len(frame))), sampled(d3, 7, torch.rand(len(frame)) + 0.1), mask
    )


def pair(d2: int, d3: int, hidden: int | None = None) -> MappingPair:
    torch.manual_seed(9)
    return MappingPair(Mapping(d2, d3, hidden), Mapping(d3, d2, hidden))


@pytest.mark.parametrize(("d2", "d3", "hidden"), [(30, 70, None), (12, 9, 16), (400, 230, 250), (5, 5, 1)])
def test_maps_are_those_at_the_pixels(d2: int, d3: int, hidden: int | None) -> None:
    """The maps agree for outputs wider and narrower than the hidden layer, in one block of rows and several."""
    features, mapping = made_up(d2, d3, 0.03, 0.01), pair(d2, d3, hidden)
    found, expected = anomaly_maps(features, mapping), anomaly_maps(features.at_pixels(), mapping)
    for name in ("psi_2d", "psi_3d", "psi"):
        torch.testing.assert_close(getattr(found, name), getattr(expected, name), rtol=1e-5, atol=1e-6)


def test_small_distances_are_exact() -> None:
    """Where Ψ is about 1e-4 it is right to 1 %; 2 − 2·cos would lose that in float32."""
    mapping, features = pair(8, 8), made_up(8, 8, 0.01)
    constant = torch.linspace(1, 2, 8)
    with torch.no_grad():
        for net in (mapping.to_3d, mapping.to_2d):
            net.get_parameter("output.weight").mul_(1e-4)
            net.get_parameter("output.bias").copy_(constant)
    count = int(features.mask.sum())
    flat = PixelFeatures(constant.expand(count, -1), constant.expand(count, -1), features.mask)
    first = TokenSampling(torch.zeros(count, dtype=torch.long), torch.ones(count), torch.arange(count))
    same = SampledTokens(constant[None], first)
    exact = MappingPair(mapping.to_3d.double(), mapping.to_2d.double())
    expected = pixel_distances(PixelFeatures(flat.e2d.double(), flat.e3d.double(), flat.mask), exact)
    mapping = MappingPair(mapping.to_3d.float(), mapping.to_2d.float())
    found = pixel_distances(TokenFeatures(same, same, flat.mask), mapping)
    for psi, reference in zip(found, expected, strict=True):
        assert 1e-6 < reference.mean() < 1e-3
        torch.testing.assert_close(psi.double(), reference, rtol=1e-2, atol=0)


def test_selected_frames_get_the_maps_they_have_in_the_batch() -> None:
    """Any frames of a batch, in any order and with only their tokens, have the same maps."""
    features, mapping = made_up(6, 10, 0.02, 0.0, 0.03, 0.01), pair(6, 10)
    together = anomaly_maps(features, mapping)
    chosen = features.select([3, 0])
    assert len(chosen.image.tokens) == len(chosen.points.tokens) == 2 * TOKENS_A_FRAME
    apart = anomaly_maps(chosen, mapping)
    torch.testing.assert_close(apart.psi_2d, together.psi_2d[[3, 0]])
    torch.testing.assert_close(apart.psi_3d, together.psi_3d[[3, 0]])
    assert anomaly_maps(features.select([1]), mapping).psi.abs().max() == 0
    assert anomaly_maps(features.select([]), mapping).psi.shape == (0, 224, 224)


def test_no_pixels_give_empty_maps() -> None:
    """Frames without pixels have zero maps, without an error."""
    maps = anomaly_maps(made_up(6, 10, 0.0, 0.0), pair(6, 10))
    assert maps.psi_2d.abs().max() == maps.psi.abs().max() == 0


def test_standardised_features_are_mapped_at_the_pixels() -> None:
    """With a standardiser, maps are computed at the pixels, because sampling does not keep the subtracted mean."""
    features, plain = made_up(6, 10, 0.01), pair(6, 10)
    standardise = Standardiser(torch.randn(6), torch.rand(6) + 0.5, torch.randn(10), torch.rand(10) + 0.5)
    mapping = MappingPair(plain.to_3d, plain.to_2d, standardise)
    found, expected = anomaly_maps(features, mapping), anomaly_maps(features.at_pixels(), mapping)
    assert torch.equal(found.psi, expected.psi)
    assert not torch.allclose(found.psi, anomaly_maps(features, plain).psi)


def test_widths_that_do_not_fit_are_refused() -> None:
    """A mapping of another extractor is refused with both widths."""
    with pytest.raises(
        ValueError, match=r"widths 6 \(2D\) and 10 \(3D\) do not fit a mapping between 10 and 6"
    ):
        anomaly_maps(made_up(6, 10, 0.01), pair(10, 6))


@pytest.mark.parametrize("rows", [1, 7, 1 << 20])
def test_distances_do_not_depend_on_chunks(rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Distances do not depend on the number of pixels in a chunk."""
    features, mapping = made_up(6, 10, 0.001), pair(6, 10)
    expected = pixel_distances(features, mapping)
    monkeypatch.setattr(at_tokens, "_PIXELS_AT_ONCE", {"cpu": rows})
    for found, reference in zip(pixel_distances(features, mapping), expected, strict=True):
        torch.testing.assert_close(found, reference, rtol=1e-4, atol=1e-6)


def test_half_precision_stays_within_the_golden_tolerance() -> None:
    """With bf16 products at the pixels, the maps are within 3 % of fp32."""
    features, exact = made_up(64, 96, 0.01), pair(64, 96)
    rough = MappingPair(exact.to_3d, exact.to_2d, precision="bf16")
    found, expected = pixel_distances(features, rough), pixel_distances(features, exact)
    for psi, reference in zip(found, expected, strict=True):
        assert psi.dtype == torch.float32
        assert 0 < (psi - reference).norm() / reference.norm() < 3e-2


@pytest.mark.parametrize("modality", ["cross", "intra"])
@pytest.mark.parametrize("architecture", ["mlp", "mlp_encoder_decoder"])
def test_other_pixelwise_networks_have_their_maps_at_the_tokens_too(
    architecture: Architecture, modality: Modality
) -> None:
    """Networks with more layers, and intramodal ones, are exact at the tokens, too."""
    features = made_up(31, 70, 0.03, 0.01)
    torch.manual_seed(9)
    mapping = new_pair(31, 70, architecture, modality)
    assert mapping.at_tokens is not None
    found, expected = anomaly_maps(features, mapping), anomaly_maps(features.at_pixels(), mapping)
    for name in ("psi_2d", "psi_3d", "psi"):
        torch.testing.assert_close(getattr(found, name), getattr(expected, name), rtol=1e-5, atol=1e-6)


def test_convolutions_are_computed_at_the_pixels() -> None:
    """Convolutions are computed at the pixels and give the same maps."""
    features = made_up(6, 10, 0.01)
    torch.manual_seed(9)
    mapping = new_pair(6, 10, "conv_encoder_decoder")
    found, expected = anomaly_maps(features, mapping), anomaly_maps(features.at_pixels(), mapping)
    assert found.psi.max() > 0
    assert torch.equal(found.psi, expected.psi)
