"""The tail of nominal scores: thresholds for rates, rates at thresholds, and how sure they are."""

from __future__ import annotations

import math

import numpy as np
import pytest

from cmfm_worker.cfm.metrics.outliers import LEAST_SCORES
from cmfm_worker.cfm.metrics.tail import Tail, smallest_tail_rate


def drawn(parts: int, seed: int = 0, *, odd: float | None = None) -> list[float]:
    """Scores with an exponential tail: 1 plus a mean of 0.2; `odd` replaces the last one."""
    scores = (1.0 + np.random.default_rng(seed).exponential(0.2, parts)).tolist()
    return scores if odd is None else [*scores[:-1], odd]


@pytest.mark.parametrize("rate", [0.1, 0.05, 0.01])
def test_a_threshold_keeps_its_rate(rate: float) -> None:
    """Of many sets of 200 scores the thresholds are about the true quantile and rather above it than below."""
    truth = 1.0 - 0.2 * math.log(rate)
    found = [Tail.of(drawn(200, seed)).threshold(rate) for seed in range(20)]
    assert 0.98 * truth < np.mean(found) < 1.1 * truth
    assert np.std(found) < 0.15 * truth
    tail = Tail.of(drawn(200))
    assert tail.expected_rate(tail.threshold(rate)) == pytest.approx(rate, rel=1e-3)


def test_few_scores_keep_the_rate_on_average() -> None:
    """Over sets of 24 scores new parts reach the threshold of 5 % about as often as asked, not twice as often."""
    found = [math.exp(-(Tail.of(drawn(24, seed)).threshold(0.05) - 1.0) / 0.2) for seed in range(60)]
    own = [math.exp(-(Tail.of(drawn(24, seed))._quantile(0.05) - 1.0) / 0.2) for seed in range(60)]
    assert np.mean(found) < 0.08
    assert np.mean(found) < 0.93 * np.mean(own)


def test_one_odd_part_does_not_decide() -> None:
    """A few scores many times as high as the others move the threshold of 5 % by little, and that of 1 % not far."""
    usual, odd = Tail.of(drawn(120)), Tail.of([*drawn(120)[:-2], 8.0, 12.0])
    assert odd.threshold(0.05) == pytest.approx(usual.threshold(0.05), rel=0.1)
    assert odd.threshold(0.01) == pytest.approx(usual.threshold(0.01), rel=0.3)
    few = [Tail.of([*drawn(21)[:-1], odd]).threshold(0.05) for odd in (2.0, 600.0)]
    assert few[1] < 1.3 * few[0]


def test_thresholds_rise_as_rates_fall_and_reach_beyond_the_scores() -> None:
    """A rate below that of the highest score has a threshold above it."""
    scores = drawn(50)
    thresholds = [Tail.of(scores).threshold(rate) for rate in (0.5, 0.2, 0.1, 0.05, 0.01, 0.002)]
    assert thresholds == sorted(thresholds)
    assert thresholds[-1] > max(scores)


def test_the_interval_holds_the_rate_and_narrows_with_more_parts() -> None:
    """The same scores give the same interval; ten times as many parts a much narrower one."""
    few, many = Tail.of(drawn(30)), Tail.of(drawn(300))
    threshold = 1.0 - 0.2 * math.log(0.05)
    narrow = many.rate_interval(threshold)
    assert narrow[0] < 0.05 < narrow[1]
    assert narrow == many.rate_interval(threshold)
    low, high = few.rate_interval(threshold)
    assert high - low > 2 * (narrow[1] - narrow[0])


def test_equal_scores_and_scores_far_above_have_a_tail() -> None:
    """Ties are no error, and far above the scores the rate is next to nothing."""
    same = Tail.of([1.5] * 20)
    assert same.threshold(0.05) == pytest.approx(1.5, abs=1e-6)
    assert same.rate(2.0) == 0.0
    assert Tail.of(np.linspace(1, 2, 40).tolist()).rate(9.0) < 1e-6


@pytest.mark.parametrize("scores", [[1.0] * (LEAST_SCORES - 1), [1.0] * 20 + [math.nan]])
def test_too_few_scores_and_scores_that_are_no_numbers_have_no_tail(scores: list[float]) -> None:
    """Scores that cannot be modelled are refused, not guessed."""
    with pytest.raises(ValueError, match="finite scores"):
        Tail.of(scores)


def test_the_smallest_rate_is_ten_times_beyond_the_scores() -> None:
    """100 parts support 1 in 1000; nine parts have no tail."""
    assert smallest_tail_rate(100) == pytest.approx(0.001)
    assert smallest_tail_rate(LEAST_SCORES - 1) is None
