"""Fitting: it learns an existing relation, is repeatable, and refuses parts that cannot teach."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from cmfm_worker.cfm.extractor import PixelFeatures
from cmfm_worker.cfm.fit.feature_store import FeatureStore
from cmfm_worker.cfm.fit.fit import FitError, FitOptions, fit_mapping
from cmfm_worker.cfm.fit.nominal import standardiser_of
from cmfm_worker.cfm.pixel_distances import row_distances

QUICK = replace(
    FitOptions.for_preset("classic"),
    epochs=12,
    batch_images=2,
    pixels_per_image=150,
    hidden=24,
    spread=False,
    metric=False,
)


def part_features(seed: int, pixels: int) -> PixelFeatures:
    """Features of one part: 6 and 4 channels that follow from the same two hidden quantities, and an offset."""
    z = torch.rand(pixels, 2, generator=torch.Generator().manual_seed(seed))
    mixing = torch.Generator().manual_seed(0)
    e2d = torch.sin(3 * z @ torch.randn(2, 6, generator=mixing)) + 5.0
    e3d = 0.002 * (torch.cos(3 * z @ torch.randn(2, 4, generator=mixing)) - 2.0)
    mask = torch.zeros(1, 224, 224, dtype=torch.bool)
    mask.view(-1)[:pixels] = True
    return PixelFeatures(e2d, e3d, mask)


def store_of(counts: Sequence[int], **options: object) -> FeatureStore:
    """A store of parts with the given numbers of pixels."""
    store = FeatureStore(**options)  # type: ignore[arg-type]  # the tests pass its own keywords
    for seed, pixels in enumerate(counts):
        store.add(part_features(seed, pixels), [f"part-{seed}"])
    return store


def test_relation_is_learned_and_its_violation_found() -> None:
    """Both losses fall far, and pixels whose modalities come from different places stand out in both maps."""
    store = store_of([400] * 8)
    pair, report = fit_mapping(store, replace(QUICK, epochs=40))
    assert report.loss_2d[-1] < 0.2 * report.loss_2d[0]
    assert report.loss_3d[-1] < 0.2 * report.loss_3d[0]
    fresh = part_features(99, 400)
    nominal = row_distances(fresh.e2d, fresh.e3d, pair)
    swapped = row_distances(fresh.e2d, fresh.e3d.flip(0), pair)
    for psi, psi_swapped in zip(nominal, swapped, strict=True):
        assert psi_swapped.mean() > 3 * psi.mean()


def test_variations_are_learned_from_and_not_counted_as_parts() -> None:
    """A variation of a part changes what is learned. The report counts real parts and their pixels only."""
    plain, varied = store_of([300] * 3), store_of([300] * 3)
    varied.add(part_features(50, 100), ["part-0"], varied=True)
    assert (varied.own_counts, varied.counts) == ([300] * 3, [300, 300, 300, 100])
    (one, report), (other, with_variation) = (fit_mapping(store, QUICK) for store in (plain, varied))
    assert (with_variation.parts, with_variation.pixels) == (report.parts, report.pixels) == (3, 900)
    assert with_variation.pixels_per_epoch > report.pixels_per_epoch
    assert not torch.equal(
        one.to_3d.get_parameter("output.weight"), other.to_3d.get_parameter("output.weight")
    )


def test_pixels_that_are_hard_to_predict_are_not_anomalies() -> None:
    """With spreads, pixels that nominal parts show at random have distances of about 1, little more than pixels
    that follow a rule.
    """

    def noisy(seed: int) -> PixelFeatures:
        made = part_features(seed, 400)
        noise = torch.randn(made.e2d.shape, generator=torch.Generator().manual_seed(seed + 1000))
        where = (
            made.e3d[:, :1] > made.e3d[:, 0].median()
        )  # there, and 3D says where, colours are anyone's guess
        return replace(made, e2d=torch.where(where, made.e2d + noise, made.e2d))

    store = FeatureStore()
    for seed in range(8):
        store.add(noisy(seed), [f"part-{seed}"])
    pair, _ = fit_mapping(store, replace(QUICK, epochs=60, spread=True))
    fresh = noisy(99)
    random = fresh.e3d[:, 0] > fresh.e3d[:, 0].median()
    angular, _ = row_distances(fresh.e2d, fresh.e3d, pair)
    standardised, _ = row_distances(fresh.e2d, fresh.e3d, pair, "standardised")
    assert angular[random].mean() > 3 * angular[~random].mean()
    assert 0.6 < standardised[random].mean() < 1.6
    assert standardised[random].mean() < 2.5 * standardised[~random].mean()


def test_channel_that_never_varies_counts_for_nothing_with_spreads() -> None:
    """A constant channel adds nothing to a distance, whatever the other modality shows."""
    stores = FeatureStore(), FeatureStore()
    for seed in range(4):
        made = part_features(seed, 300)
        stores[0].add(made, [f"part-{seed}"])
        with_constant = replace(made, e2d=torch.cat([made.e2d, torch.ones(300, 1)], dim=1))
        stores[1].add(with_constant, [f"part-{seed}"])
    pair, _ = fit_mapping(stores[1], replace(QUICK, spread=True))
    assert pair.standardise is not None
    e2d, _ = pair.standardise(with_constant.e2d, with_constant.e3d)
    torch.testing.assert_close(pair.to_2d(1e3 * with_constant.e3d)[:, -1], e2d[:, -1])


def test_noise_keeps_a_network_from_knowing_parts_by_their_wide_context() -> None:
    """With noise on wide context, shapes that differ from part to part are not learned by heart."""

    def told_apart(seed: int) -> PixelFeatures:
        made = part_features(seed, 300)
        mark = torch.full((300, 1), float(seed)) + 0.1 * torch.randn(
            300, 1, generator=torch.Generator().manual_seed(seed)
        )
        taller = 0.02 * torch.rand(1, generator=torch.Generator().manual_seed(seed + 500))
        return replace(
            made, e2d=torch.cat([made.e2d, mark], dim=1), e3d=made.e3d + taller, context=(1, 0), wide=(1, 0)
        )

    store = FeatureStore()
    for seed in range(6):
        store.add(told_apart(seed), [f"part-{seed}"])
    loss = {
        noise: fit_mapping(store, replace(QUICK, epochs=60, spread=True, wide_noise=noise))[1].loss_3d[-1]
        for noise in (0.0, 2.0)
    }
    assert loss[2.0] > loss[0.0] + 0.5


def test_networks_without_spreads_refuse_the_distance() -> None:
    """Networks without spreads refuse the distance that needs them."""
    pair, _ = fit_mapping(store_of([300]), QUICK)
    fresh = part_features(9, 50)
    with pytest.raises(ValueError, match="without spreads"):
        row_distances(fresh.e2d, fresh.e3d, pair, "standardised")


def test_report_says_what_was_learned_from() -> None:
    """The report has parts, pixels, pixels an epoch (a small part gives all of its pixels), losses and seconds."""
    _, report = fit_mapping(store_of([300, 90, 500]), QUICK)
    assert (report.parts, report.pixels, report.pixels_per_epoch) == (3, 890, 150 + 90 + 150)
    assert len(report.loss_2d) == len(report.loss_3d) == QUICK.epochs
    assert report.seconds > 0


def test_the_same_seed_gives_the_same_mapping_and_another_seed_another() -> None:
    """The mapping is bit for bit the same on the CPU, whatever the process drew from torch's generator before."""
    counts = [200, 260, 230]
    first, _ = fit_mapping(store_of(counts), QUICK)
    torch.rand(17)
    again, _ = fit_mapping(store_of(counts), QUICK)
    other, _ = fit_mapping(store_of(counts), replace(QUICK, seed=1))
    for one, same in zip(first.to_2d.parameters(), again.to_2d.parameters(), strict=True):
        assert torch.equal(one, same)
    assert not torch.equal(first.to_2d.input.weight, other.to_2d.input.weight)


def test_fitting_leaves_the_process_random_numbers_alone() -> None:
    """A fit does not change the random sequence of the process."""
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    fit_mapping(store_of([200]), replace(QUICK, epochs=1))
    assert torch.equal(torch.rand(3), expected)


def test_callback_is_called_after_every_epoch() -> None:
    """After every epoch the callback gets the epoch, the number of epochs and both losses, in order."""
    calls: list[tuple[int, int, float, float]] = []
    _, report = fit_mapping(store_of([200, 200]), replace(QUICK, epochs=3), lambda *call: calls.append(call))
    assert [call[:2] for call in calls] == [(1, 3), (2, 3), (3, 3)]
    assert tuple(call[2] for call in calls) == report.loss_2d


def test_parts_that_cannot_teach_are_named() -> None:
    """No part, a part without foreground, or a part with NaN features is an error that names the part."""
    with pytest.raises(FitError, match="no nominal part"):
        fit_mapping(FeatureStore(), QUICK)
    with pytest.raises(FitError, match=r"no foreground pixel in these parts: part-1, part-3$"):
        fit_mapping(store_of([50, 0, 50, 0]), QUICK)
    store = store_of([50])
    broken = part_features(1, 50)
    broken.e3d[3, 1] = torch.nan
    store.add(broken, ["torn.tiff"])
    with pytest.raises(FitError, match=r"not finite numbers: torn\.tiff$"):
        fit_mapping(store, QUICK)


def test_a_loss_that_is_not_finite_ends_the_fit() -> None:
    """A fit whose loss is not finite raises an error; a mapping of NaN is never returned."""
    store = FeatureStore()
    broken = part_features(1, 200)
    broken.e2d.fill_(torch.inf)
    store.add(broken, ["p"])
    with pytest.raises(FitError, match="epoch 1 is not a finite number"):
        fit_mapping(store, replace(QUICK, standardise=False))


def test_the_mapping_returned_is_frozen_and_ready() -> None:
    """The mapping has no gradients and is in evaluation mode."""
    pair, _ = fit_mapping(store_of([200]), replace(QUICK, epochs=1))
    for network in (pair.to_2d, pair.to_3d):
        assert not network.training
        assert not any(p.requires_grad for p in network.parameters())


def test_the_paper_preset_is_the_papers() -> None:
    """250 epochs of all pixels, batches of 4, Adam at 1e-3, width (D_2D + D_3D) / 2, raw features."""
    options = FitOptions.for_preset("paper")
    assert (options.epochs, options.batch_images, options.pixels_per_image) == (250, 4, None)
    assert (options.lr, options.schedule, options.standardise) == (1e-3, "constant", False)
    pair, _ = fit_mapping(store_of([60]), replace(options, epochs=1))
    assert pair.standardise is None
    assert pair.to_3d.hidden == (6 + 4) // 2


def test_the_classic_preset_standardises_and_decays() -> None:
    """`classic` and `lite` standardise, let the learning rate fall, and draw a step's pixels from many parts."""
    options = FitOptions.for_preset("classic")
    assert options == FitOptions.for_preset("lite")
    assert options.epochs >= 20
    assert options.batch_images >= 10
    assert 50 <= (options.pixels_per_image or 0) <= 2000
    assert options.schedule == "cosine"
    assert options.standardise


def test_cosine_decay_ends_at_rest() -> None:
    """With the cosine schedule the last step hardly changes the loss; with a constant rate it still does."""
    last_move = {}
    for schedule in ("cosine", "constant"):
        options = replace(QUICK, epochs=30, lr=5e-3, schedule=schedule, pixels_per_image=None)
        losses = fit_mapping(store_of([300] * 4), options)[1].loss_2d
        last_move[schedule] = abs(losses[-1] - losses[-2])
    assert last_move["cosine"] < 0.1 * last_move["constant"]


def test_standardised_channels_have_mean_0_and_deviation_1_over_all_parts() -> None:
    """Over all pixels of all parts together, also for tiny units and large offsets."""
    store = store_of([300, 100, 200])
    e2d, e3d = (torch.cat(both) for both in zip(*(store.part(i) for i in range(3)), strict=True))
    for E in standardiser_of(store)(e2d, e3d):
        assert E.mean(0).abs().max() < 1e-4
        assert (E.std(0, unbiased=False) - 1).abs().max() < 1e-4


def test_constant_channel_gets_a_typical_length() -> None:
    """A constant channel gets the length of a typical feature, and one that is always 0 stays 0, without NaN."""
    store = FeatureStore()
    flat = part_features(0, 100)
    flat.e2d[:, 2] = 0.3
    store.add(flat, ["p"])
    e2d, _ = standardiser_of(store)(flat.e2d, flat.e3d)
    assert torch.allclose(e2d[:, 2], torch.tensor(e2d.shape[1] ** 0.5))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("epochs", 0),
        ("batch_images", 0),
        ("hidden", -3),
        ("pixels_per_image", -1),
        ("lr", 0.0),
        ("schedule", "step"),
    ],
)
def test_options_out_of_range_are_named(field: str, value: object) -> None:
    """An option out of range is an error that names it, before any work."""
    with pytest.raises(ValueError, match=field):
        replace(QUICK, **{field: value})  # type: ignore[arg-type]  # wrong on purpose


def test_features_beyond_the_memory_limit_go_to_files_and_teach_the_same(tmp_path: Path) -> None:
    """With memory for about one part, the others are drawn from files, bit for bit the same. The files are deleted
    at the end.
    """
    counts = [200, 260, 230]
    roomy, _ = fit_mapping(store_of(counts), QUICK)
    with store_of(counts, ram_limit_bytes=9000, folder=tmp_path) as store:
        assert len(list(tmp_path.rglob("*.npy"))) >= 3
        spilled, _ = fit_mapping(store, QUICK)
    assert torch.equal(roomy.to_3d.output.weight, spilled.to_3d.output.weight)
    assert not list(tmp_path.iterdir())


def test_half_precision_keeps_three_digits() -> None:
    """Features stored as float16 are drawn as float32 and equal to 3 digits."""
    store = store_of([100], precision="float16")
    e2d, _ = store.part(0)
    assert e2d.dtype == torch.float32
    assert torch.allclose(e2d, part_features(0, 100).e2d, rtol=1e-3)


def test_pixels_drawn_are_different_ones_and_stay_paired() -> None:
    """A draw has no pixel twice, both modalities of a pixel stay together, and two draws differ."""
    store = FeatureStore()
    number = torch.arange(500.0)[:, None]
    mask = part_features(0, 500).mask
    store.add(PixelFeatures(number, -number, mask), ["p"])
    generator = torch.Generator().manual_seed(0)
    e2d, e3d = store.draw([0], 100, generator)
    assert len(e2d.unique()) == 100
    assert torch.equal(e2d, -e3d)
    assert not torch.equal(store.draw([0], 100, generator)[0], e2d)


def test_a_store_refuses_features_that_do_not_fit() -> None:
    """Other widths or a wrong number of names are errors."""
    store = store_of([50])
    wide = part_features(1, 50)
    with pytest.raises(ValueError, match=r"widths \(7, 4\)"):
        store.add(PixelFeatures(torch.zeros(50, 7), wide.e3d, wide.mask), ["p"])
    with pytest.raises(ValueError, match="1 parts but 2 names"):
        store.add(wide, ["a", "b"])
