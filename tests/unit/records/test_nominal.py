"""Nominal parts as a reference: bins, population stability and its limit, percentiles."""

import math
import random

import pytest

from cmfm_records.nominal import (
    LEAST_NOMINAL,
    USUAL_LIMIT,
    Reference,
    drift_limit,
    percentile,
    population_stability,
)


def _reference(values: list[float]) -> Reference:
    found = Reference.of(values)
    assert found is not None
    return found


@pytest.mark.parametrize(("parts", "bins"), [(10, 2), (20, 4), (50, 10), (200, 10), (1000, 10)])
def test_bins_hold_equal_shares_of_the_nominal_parts(parts: int, bins: int) -> None:
    """Few nominal parts make few bins, so that each bin holds at least five of them."""
    shuffled = random.Random(parts).sample([float(i) for i in range(parts)], parts)
    found = _reference(shuffled)
    assert len(found.counts) == bins
    assert found.parts == parts
    assert max(found.counts) - min(found.counts) <= 1
    assert found.count(shuffled) == found.counts


def test_too_few_or_equal_parts_are_no_reference() -> None:
    """Without a reference nothing can drift, which is better than an alarm made of noise."""
    assert Reference.of([float(i) for i in range(LEAST_NOMINAL - 1)]) is None
    assert Reference.of([1.0] * 50) is None
    with pytest.raises(ValueError, match="finite"):
        Reference.of([1.0] * 20 + [math.nan])


def test_equal_values_share_a_bin() -> None:
    """A measure that takes few values, like a coverage of 1 on most parts, has fewer bins and no empty ones."""
    found = _reference([1.0] * 30 + [0.9] * 10 + [0.8] * 10)
    assert found.edges == (0.9, 1.0)
    assert found.counts == (10, 10, 30)
    assert found.bin_of(0.9) == 1
    assert found.bin_of(math.nextafter(0.9, 0)) == 0
    assert found.bin_of(7.0) == 2


def test_the_index_is_that_of_the_formula() -> None:
    """By hand: q = (10.5, 10.5) / 21 and p = (30.5, 10.5) / 41."""
    p = 30.5 / 41
    by_hand = (p - 0.5) * math.log(p / 0.5) + (1 - p - 0.5) * math.log((1 - p) / 0.5)
    assert population_stability((10, 10), (30, 10)) == pytest.approx(by_hand)
    assert population_stability((7, 7, 7), (70, 70, 70)) == pytest.approx(0.0)


def test_a_shift_is_told_from_parts_that_are_alike() -> None:
    """A shift of one standard deviation of 200 nominal parts lies over the limit, other nominal parts below it."""
    drawn = random.Random(1)
    found = _reference([drawn.gauss() for _ in range(200)])
    limit = drift_limit(USUAL_LIMIT, len(found.counts), 200, 200)
    assert found.stability(found.count(drawn.gauss() for _ in range(200))) < limit
    assert found.stability(found.count(drawn.gauss(1.0) for _ in range(200))) > limit


def test_the_limit_allows_for_few_parts() -> None:
    """A limit asked for counts where there are many parts; few nominal or few recent parts raise it."""
    assert drift_limit(0.25, 10, 2000, 1000) == 0.25
    assert drift_limit(0.5, 10, 2000, 1000) == 0.5
    # The 1e-4 quantile of chi-squared with 3 degrees of freedom is 21.11.
    assert drift_limit(0.25, 4, 20, 200) == pytest.approx(21.11 * (1 / 20 + 1 / 200), rel=1e-3)
    assert drift_limit(0.25, 4, 20, 100) > drift_limit(0.25, 4, 20, 200) > drift_limit(0.25, 4, 40, 200)


def test_a_percentile_counts_equal_values_half() -> None:
    """The median is the 50th percentile, also among equal values."""
    assert percentile([1.0, 2.0, 3.0, 4.0], 2.5) == 50.0
    assert percentile([1.0, 1.0, 1.0], 1.0) == 50.0
    assert percentile([1.0, 2.0], 9.0) == 100.0
    assert percentile([1.0, 2.0], 0.0) == 0.0
    assert percentile([], 1.0) is None
