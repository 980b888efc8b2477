"""Fitting the paper's variants: every one of them learns, and convolutions learn from whole maps."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from cmfm_worker.cfm.equations import cosine_distance
from cmfm_worker.cfm.extractor import PixelFeatures
from cmfm_worker.cfm.fit.feature_store import FeatureStore
from cmfm_worker.cfm.fit.fit import FitOptions, fit_mapping
from cmfm_worker.cfm.mapping.pair import new_pair
from cmfm_worker.cfm.pixel_distances import row_distances
from cmfm_worker.cfm.variants import Architecture, Distance, Modality

D2, D3 = 20, 16
ARCHITECTURES: list[Architecture] = ["mlp", "mlp_encoder_decoder", "conv_encoder_decoder"]


def part(seed: int, radius_px: int = 14) -> PixelFeatures:
    """A disc on which both modalities follow from the same two smooth fields."""
    generator = torch.Generator().manual_seed(seed)
    phase = 6 * torch.rand(2, generator=generator)
    centre = torch.randint(40, 180, (2,), generator=generator)
    row, column = torch.meshgrid(torch.arange(224), torch.arange(224), indexing="ij")
    mask = (row - centre[0]).square() + (column - centre[1]).square() < radius_px**2
    z = torch.stack([torch.sin(row / 9 + phase[0]), torch.cos(column / 7 + phase[1])], dim=-1)[mask]
    mixing = torch.Generator().manual_seed(0)
    e2d = torch.tanh(z @ torch.randn(2, D2, generator=mixing)) + 0.2
    e3d = torch.tanh(z @ torch.randn(2, D3, generator=mixing)) - 0.2
    return PixelFeatures(e2d, e3d, mask[None])


def store_of(*radii_px: int) -> FeatureStore:
    store = FeatureStore()
    for seed, radius_px in enumerate(radii_px):
        store.add(part(seed, radius_px), [f"part-{seed}"])
    return store


@pytest.mark.parametrize("preset", ["paper", "classic"])
@pytest.mark.parametrize("modality", ["cross", "intra"])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_every_variant_learns(preset: str, architecture: Architecture, modality: Modality) -> None:
    """Both losses fall, with the paper's loss and with spreads, and a similar part is near its predictions."""
    usual = FitOptions.for_preset("paper" if preset == "paper" else "classic", architecture)
    hidden = 16 if architecture == "mlp" else None
    options = replace(
        usual, epochs=40, batch_images=2, lr=4e-3, modality=modality, hidden=hidden, metric=False
    )
    pair, report = fit_mapping(store_of(*[14] * 6), options)
    assert (pair.architecture, pair.modality) == (architecture, modality)
    fresh = part(99)
    distance: Distance = "standardised" if pair.has_spreads else "angular"
    nominal = row_distances(fresh.e2d, fresh.e3d, pair, distance, fresh.mask)
    strange = row_distances(-fresh.e2d, -fresh.e3d, pair, distance, fresh.mask)
    for loss, psi, psi_strange in zip((report.loss_2d, report.loss_3d), nominal, strange, strict=True):
        assert loss[-1] < (loss[0] - 0.3 if pair.has_spreads else 0.5 * loss[0])
        assert psi_strange.mean() > 1.3 * psi.mean()


def test_whole_maps_count_pixel_by_pixel() -> None:
    """A step on parts of different sizes uses the mean of Eq. 2 over all their pixels together."""
    options = replace(
        FitOptions.for_preset("paper", "conv_encoder_decoder"), epochs=1, batch_images=2, seed=3, lr=1e-3
    )
    found, report = fit_mapping(store_of(16, 5), options)
    torch.manual_seed(3)
    expected = new_pair(D2, D3, "conv_encoder_decoder")
    networks = [*expected.to_3d.parameters(), *expected.to_2d.parameters()]
    optimiser = torch.optim.Adam(networks, lr=1e-3)
    parts = part(0, 16), part(1, 5)
    E_2D, E_3D = torch.cat([p.e2d for p in parts]), torch.cat([p.e3d for p in parts])
    E_2D_hat, E_3D_hat = expected.predict(E_2D, E_3D, torch.cat([p.mask for p in parts]))
    loss_2d, loss_3d = cosine_distance(E_2D, E_2D_hat).mean(), cosine_distance(E_3D, E_3D_hat).mean()
    (loss_2d + loss_3d).backward()
    optimiser.step()
    assert report.loss_2d[0] == pytest.approx(loss_2d.item(), rel=1e-5)
    assert report.pixels_per_epoch == len(E_2D)
    for one, same in zip(found.to_3d.parameters(), expected.to_3d.parameters(), strict=True):
        torch.testing.assert_close(one, same, rtol=0, atol=1e-5)


def test_masks_come_back_from_the_store() -> None:
    """The store returns each part's own mask, in the order of the parts."""
    store = store_of(9, 14)
    for seed, radius_px in enumerate((9, 14)):
        assert torch.equal(store.mask(seed), part(seed, radius_px).mask)
        assert int(store.mask(seed).sum()) == store.counts[seed]


def test_drawing_pixels_for_convolutions_is_refused() -> None:
    """Convolutions are fitted on whole maps, so `pixels_per_image` is an error."""
    with pytest.raises(ValueError, match=r"pixels_per_image: conv_encoder_decoder is fitted on whole maps"):
        replace(FitOptions.for_preset("classic", "conv_encoder_decoder"), pixels_per_image=600)
