"""Nominal parts: the stability index sees a shift and no chance, percentiles count ties half, the interval is exact."""

import math

import numpy as np
import pytest

from cmfm_records.nominal import clopper_pearson, percentiles, population_stability
from cmfm_worker.cfm.metrics import binomial


def scores(seed: int, parts: int) -> list[float]:
    return np.random.default_rng(seed).lognormal(0.0, 0.3, parts).tolist()


def test_index_is_the_sum_over_quantile_bins() -> None:
    """Two bins at the median of 20 nominal parts; half a part is added to each bin."""
    nominal = [float(number) for number in range(20)]
    found = population_stability(nominal, [0.0] * 30 + [15.0] * 10)
    below, above = 30.5 / 41, 10.5 / 41
    assert found is not None
    assert found.index == pytest.approx(
        (below - 0.5) * math.log(below / 0.5) + (above - 0.5) * math.log(above / 0.5)
    )


@pytest.mark.parametrize("parts", [12, 30, 100, 300])
def test_parts_of_the_same_population_do_not_drift(parts: int) -> None:
    """By the usual limit of 0.25 alone, few nominal parts would drift by chance."""
    compared = [population_stability(scores(seed, parts), scores(1000 + seed, 200)) for seed in range(200)]
    assert not any(each is None or each.drifted for each in compared)


@pytest.mark.parametrize("factor", [0.7, 1.5])
def test_a_shift_to_either_side_drifts(factor: float) -> None:
    found = population_stability(scores(1, 50), [factor * score for score in scores(2, 400)])
    assert found is not None
    assert found.drifted


@pytest.mark.parametrize("value", [0.98, 1.02])
def test_a_value_that_all_nominal_parts_share_has_a_bin_of_its_own(value: float) -> None:
    """Coverage is often exactly 1; a move to either side is drift, no move is none."""
    moved, same = (population_stability([1.0] * 40, [each] * 200) for each in (value, 1.0))
    assert moved is not None
    assert same is not None
    assert moved.drifted
    assert not same.drifted


def test_too_few_parts_are_not_compared() -> None:
    """Values that are no numbers do not count as parts."""
    assert population_stability(scores(1, 9), scores(2, 100)) is None
    assert population_stability(scores(1, 100), [*scores(2, 9), math.nan, math.inf]) is None
    assert population_stability(scores(1, 10), scores(2, 10)) is not None


def test_percentile_counts_equal_nominal_scores_half() -> None:
    found = percentiles([3.0, 1.0, 2.0, 2.0], [0.5, 2.0, 2.5, 9.0, math.nan])
    assert found[:4].tolist() == [0.0, 50.0, 75.0, 100.0]
    assert math.isnan(found[4])
    with pytest.raises(ValueError, match="no nominal value"):
        percentiles([math.nan], [1.0])


@pytest.mark.parametrize(("count", "total"), [(0, 1), (0, 40), (1, 40), (39, 40), (40, 40), (7, 1000)])
def test_interval_is_that_of_the_worker(count: int, total: int) -> None:
    """The page shows the same interval as `calibrate`, which it may not import."""
    assert clopper_pearson(count, total) == binomial.clopper_pearson(count, total)


def test_interval_needs_parts() -> None:
    for count, total in ((0, 0), (3, 2), (-1, 2)):
        with pytest.raises(ValueError, match="not a count"):
            clopper_pearson(count, total)
