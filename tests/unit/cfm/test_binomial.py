"""The exact binomial interval: known values, and the promised coverage."""

import numpy as np
import pytest

from cmfm_worker.cfm.metrics.binomial import Share, clopper_pearson

KNOWN = [
    # count, total, lower and upper bound: 1 - 0.025^(1/n) where none was seen, published tables elsewhere
    (0, 10, 0.0, 0.3084971),
    (1, 10, 0.002528579, 0.4450161),
    (5, 10, 0.1870860, 0.8129140),
    (10, 10, 0.6915029, 1.0),
    (0, 100, 0.0, 0.03621669),
]


@pytest.mark.parametrize(("count", "total", "low", "high"), KNOWN)
def test_known_values(count: int, total: int, low: float, high: float) -> None:
    """The bounds are those of published tables. A count of 0 does not mean a rate of 0."""
    assert clopper_pearson(count, total) == pytest.approx((low, high), rel=1e-5)


def test_bounds_are_where_the_tails_are() -> None:
    """At a bound, a count as extreme as the observed one has a probability of 2.5 %, which is the definition."""
    from scipy.stats import binom

    low, high = clopper_pearson(4, 37)
    assert binom.sf(3, 37, low) == pytest.approx(0.025)
    assert binom.cdf(4, 37, high) == pytest.approx(0.025)


@pytest.mark.parametrize(("count", "total"), [(0, 3), (3, 60), (17, 21), (999, 1000), (1, 1)])
def test_agrees_with_scipy(count: int, total: int) -> None:
    """scipy's implementation, which searches for the bounds, finds the same ones."""
    from scipy.stats import binomtest

    found = binomtest(count, total).proportion_ci(0.95, method="exact")
    assert clopper_pearson(count, total) == pytest.approx((found.low, found.high), abs=1e-9)


def test_covers_the_true_rate() -> None:
    """Of 4000 intervals at a rate of 7 %, at most 5 % miss it, and at least some do."""
    counts = np.random.default_rng(2).binomial(30, 0.07, size=4000)
    intervals = [clopper_pearson(int(count), 30) for count in counts]
    missed = np.mean([not low <= 0.07 <= high for low, high in intervals])
    assert missed <= 0.05
    assert np.mean([high - low for low, high in intervals]) < 0.3


@pytest.mark.parametrize(("count", "total"), [(3, 2), (-1, 5), (0, 0)])
def test_impossible_counts_are_refused(count: int, total: int) -> None:
    """A count above the total, below 0, or of a total of 0 is refused."""
    with pytest.raises(ValueError, match=f"{count} of {total}"):
        clopper_pearson(count, total)


def test_share_of_nothing_has_no_rate() -> None:
    """Without parts, rate and interval are None and not 0."""
    assert (Share(0, 0).rate, Share(0, 0).interval) == (None, None)
    assert Share(1, 4).rate == 0.25
