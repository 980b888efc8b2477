"""The metrics against golden numbers, hand-counted curves and slow literal definitions."""

import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from cmfm_worker.cfm.metrics.areas import LIMITS, Maps, PixelPools, UndefinedMetricError, auroc


def aupro_exact(
    maps: Maps, gts: Maps, limits: Sequence[float] = LIMITS, foreground: Maps | None = None
) -> list[float]:
    return PixelPools(maps, gts, foreground).aupro_exact(limits)


def aupro_thresholds(maps: Maps, gts: Maps, count: int = 99) -> list[float]:
    return PixelPools(maps, gts).aupro_thresholds(count=count)


def test_golden_maps_give_the_golden_numbers(shared: Path) -> None:
    """All five metrics of the 24 golden maps come out within 1e-6 of the reference."""
    golden = np.load(shared / "golden" / "metrics.npz")
    maps, gts = golden["anomaly_maps"], golden["ground_truth"]
    assert golden["limits"] == pytest.approx(LIMITS)
    assert aupro_exact(maps, gts) == pytest.approx(golden["aupro_exact"], abs=1e-6)
    assert aupro_thresholds(maps, gts) == pytest.approx(golden["aupro_99"], abs=1e-6)
    assert auroc(maps.max(axis=(1, 2)), golden["labels"]) == pytest.approx(float(golden["i_auroc"]), abs=1e-6)
    assert PixelPools(maps, gts).auroc() == pytest.approx(float(golden["p_auroc"]), abs=1e-6)


def test_auroc_counts_ties_half() -> None:
    """Of the four defective-normal pairs three are won and one is a tie: 3.5 of 4."""
    assert auroc(np.array([1.0, 2.0, 2.0, 3.0]), np.array([0, 1, 0, 1])) == pytest.approx(3.5 / 4)
    assert auroc(np.array([5.0, 5.0]), np.array([0, 1])) == 0.5
    assert auroc(np.array([0.0, 1.0]), np.array([1, 0])) == 0.0


def literal_aupro(
    maps: NDArray[np.float64],
    gts: NDArray[np.bool_],
    limit: float,
    counted: NDArray[np.bool_],
) -> float:
    """The definition, with one threshold for each distinct value."""
    regions = [
        psi[labels == k]
        for psi, gt in zip(maps, gts, strict=True)
        for labels, n in [ndimage.label(gt, structure=np.ones((3, 3)))]
        for k in range(1, n + 1)
    ]
    normal = maps[counted & ~gts]
    fpr, pro = [0.0], [0.0]
    for threshold in np.unique(maps)[::-1]:
        fpr.append(float((normal >= threshold).mean()))
        pro.append(float(np.mean([(region >= threshold).mean() for region in regions])))
    area = 0.0
    for x0, x1, y0, y1 in zip(fpr, fpr[1:], pro, pro[1:], strict=False):
        if x0 >= limit or x1 == x0:
            continue
        end = min(x1, limit)
        y_end = y0 + (y1 - y0) * (end - x0) / (x1 - x0)
        area += (end - x0) * (y0 + y_end) / 2
    return area / limit


@pytest.mark.parametrize("levels", [3, 7, 1000])
@pytest.mark.parametrize("limit", [0.01, 0.3, 1.0])
def test_exact_aupro_is_the_literal_definition_with_ties(levels: int, limit: float) -> None:
    """The exact AUPRO equals the definition on maps of few distinct values (many ties) and of many, with and
    without a foreground.
    """
    rng = np.random.default_rng(levels)
    maps = rng.integers(0, levels, (4, 20, 24)) / levels
    gts = ndimage.gaussian_filter(rng.standard_normal(maps.shape), (0, 1.5, 1.5)) > 0.25
    gts[0] = False
    maps = maps + 0.4 * gts
    inside = rng.random(maps.shape) < 0.6
    everything = np.ones_like(gts)
    assert aupro_exact(maps, gts, [limit])[0] == pytest.approx(
        literal_aupro(maps, gts, limit, everything), abs=1e-9
    )
    assert aupro_exact(maps, gts, [limit], inside)[0] == pytest.approx(
        literal_aupro(maps, gts, limit, inside), abs=1e-9
    )


def test_many_thresholds_approach_the_exact_curve() -> None:
    """With 20 000 thresholds the sampled curve agrees with the exact one; with 99 it differs at 1 %."""
    rng = np.random.default_rng(3)
    gts = np.zeros((6, 64, 64), dtype=bool)
    gts[:3, 10:20, 12:30] = True
    maps = rng.standard_normal(gts.shape) + 2.0 * gts
    exact = aupro_exact(maps, gts)
    assert aupro_thresholds(maps, gts, count=20_000) == pytest.approx(exact, abs=2e-3)
    assert abs(aupro_thresholds(maps, gts)[3] - exact[3]) > 0.01


def test_perfect_maps_score_one() -> None:
    """If every defect pixel exceeds every normal pixel, AUPRO is 1 at all limits, also on the sampled curve."""
    gts = np.zeros((2, 50, 50), dtype=bool)
    gts[1, 5:9, 5:9] = True
    maps = np.random.default_rng(0).random(gts.shape) + 9.0 * gts
    assert aupro_exact(maps, gts) == pytest.approx([1.0] * 4)
    assert aupro_thresholds(maps, gts) == pytest.approx([1.0] * 4)


def test_regions_touching_at_a_corner_are_one() -> None:
    """Diagonal neighbours are one region: finding three of its four pixels gives 3/4, not 1 of 2 regions."""
    gt = np.zeros((1, 8, 8), dtype=bool)
    gt[0, 1, 1:4] = True
    gt[0, 2, 4] = True  # touches the first three by a corner
    psi = np.zeros(gt.shape)
    psi[0, 1, 1:4] = 1.0
    psi[0, 7, 7] = 0.5
    # The PRO stands at 3/4 from the first false positive on; as two regions it would be 1/2.
    assert aupro_exact(psi, gt, [1 / 60])[0] == pytest.approx(0.75)


def test_a_large_region_weighs_as_much_as_a_small_one() -> None:
    """Finding one of two regions gives a PRO of 1/2, whatever their sizes."""
    gt = np.zeros((2, 30, 30), dtype=bool)
    gt[0, :20, :20] = True
    gt[1, 3, 3] = True
    psi = np.where(gt, 0.0, 0.1)
    psi[1, 3, 3] = 1.0
    assert aupro_exact(psi, gt, [0.3])[0] < 0.66
    assert aupro_exact(psi, gt, [0.001])[0] == pytest.approx(0.5, abs=1e-3)


def test_foreground_leaves_false_positives_outside_it_uncounted() -> None:
    """Noise on the tray lowers the image-wide AUPRO and not the foreground one."""
    gt = np.zeros((1, 40, 40), dtype=bool)
    gt[0, 10:14, 10:14] = True
    part = np.zeros_like(gt)
    part[0, 5:20, 5:20] = True
    psi = np.where(gt, 1.0, np.where(part, 0.0, 2.0))
    assert aupro_exact(psi, gt, [0.3])[0] == 0.0
    assert aupro_exact(psi, gt, [0.3], part)[0] == pytest.approx(1.0)


def test_maps_may_differ_in_size_from_part_to_part() -> None:
    """A list of arrays of different sizes gives what their pixels give."""
    maps = [np.array([[0.0, 3.0]]), np.array([[1.0], [2.0], [0.5]])]
    gts = [np.array([[False, True]]), np.array([[False], [True], [False]])]
    assert PixelPools(maps, gts).auroc() == 1.0


@pytest.mark.parametrize("value", [False, True])
def test_data_of_one_class_is_refused(value: bool) -> None:
    """Without defects or without normal pixels the metric raises an UndefinedMetricError."""
    maps, gts = np.ones((2, 4, 4)), np.full((2, 4, 4), value)
    with pytest.raises(UndefinedMetricError, match="at least one"):
        aupro_exact(maps, gts)
    with pytest.raises(UndefinedMetricError):
        PixelPools(maps, gts).auroc()
    with pytest.raises(UndefinedMetricError):
        auroc(np.ones(3), np.full(3, value))


def test_values_that_are_not_numbers_are_refused() -> None:
    """NaN in a map or score is an error, never silently ranked."""
    gts = np.zeros((1, 2, 2), dtype=bool)
    gts[0, 0, 0] = True
    with pytest.raises(ValueError, match="NaN"):
        PixelPools(np.full((1, 2, 2), np.nan), gts).auroc()
    with pytest.raises(ValueError, match="NaN"):
        auroc(np.array([np.nan, 1.0]), np.array([0, 1]))


def test_mismatched_inputs_are_named() -> None:
    """Different numbers or shapes of maps and masks, and a limit outside (0, 1], are errors that say so."""
    gts = np.zeros((2, 4, 4), dtype=bool)
    with pytest.raises(ValueError, match="differ in number"):
        PixelPools(np.zeros((3, 4, 4)), gts).auroc()
    with pytest.raises(ValueError, match=r"map 0: shape \(4, 5\)"):
        PixelPools(np.zeros((2, 4, 5)), gts).auroc()
    gts[0, 0] = True
    with pytest.raises(ValueError, match="false-positive rate"):
        aupro_exact(np.zeros((2, 4, 4)), gts, [30.0])


def test_a_hundred_maps_take_well_under_two_seconds() -> None:
    """The time of a hundred maps stays below two seconds: all pixels are sorted once."""
    maps = np.random.default_rng(0).random((100, 224, 224), dtype=np.float32)
    gts = np.zeros(maps.shape, dtype=bool)
    gts[:70, 50:80, 40:70] = True
    start = time.process_time()
    aupro_exact(maps, gts)
    assert time.process_time() - start < 2.0
