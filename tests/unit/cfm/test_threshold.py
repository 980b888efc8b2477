"""The conformal threshold: its rank, its promise, and the refusal of rates that need more parts."""

import math

import numpy as np
import pytest

from cmfm_worker.cfm.metrics.threshold import (
    TooFewPartsError,
    candidate_rates,
    conformal_threshold,
    parts_needed,
    smallest_grey_rate,
    smallest_supported_rate,
    unlucky_rate,
)


@pytest.mark.parametrize(
    ("parts", "rate", "rank"),
    [(19, 0.05, 19), (20, 0.05, 20), (39, 0.05, 38), (99, 0.01, 99), (9, 0.1, 9), (9, 0.5, 5), (4, 0.3, 4)],
)
def test_threshold_lies_just_above_the_score_of_the_right_rank(parts: int, rate: float, rank: int) -> None:
    """k = ⌈(n + 1)(1 − rate)⌉, also if that product is whole; the k-th part passes, the next one fails."""
    scores = np.random.default_rng(parts).permutation(parts) + 1.0
    threshold = conformal_threshold(scores.tolist(), rate)
    assert not rank >= threshold
    assert threshold == math.nextafter(rank, math.inf)


def test_new_nominal_parts_are_rejected_no_more_often_than_asked() -> None:
    """Over many sets of 30 scores, another nominal part fails at most at the requested rate."""
    rng = np.random.default_rng(11)
    draws = rng.gamma(2.0, size=(20_000, 31))
    rejected = [row[30] >= conformal_threshold(row[:30], 0.1) for row in draws]
    assert 0.08 < np.mean(rejected) < 0.105


def test_too_few_parts_are_refused_with_what_is_needed() -> None:
    """18 parts do not support 5 %: the error says that 19 are needed and what 18 support."""
    with pytest.raises(
        TooFewPartsError, match=r"at least 19 nominal validation parts, found 18.* 0\.05263"
    ) as error:
        conformal_threshold([0.1] * 18, 0.05)
    assert (error.value.parts, error.value.needed) == (18, 19)
    assert error.value.supported_rate == smallest_supported_rate(18) == pytest.approx(1 / 19)
    with pytest.raises(TooFewPartsError):
        conformal_threshold([], 0.5)


@pytest.mark.parametrize("parts", [48, 97, 102, 391])
def test_a_rate_of_one_part_in_n_needs_no_part_more(parts: int) -> None:
    """1 / (n + 1) needs n parts, also where 1 / rate − 1 is rounded to slightly more than n."""
    assert 1.0 / (1.0 / (parts + 1)) - 1.0 > parts, "the case must need the guard"
    assert parts_needed(1.0 / (parts + 1)) == parts


@pytest.mark.parametrize("parts", [1, 2, 3, 6, 9, 19, 29, 49, 99, 999])
def test_the_smallest_supported_rate_is_supported_and_no_smaller_one(parts: int) -> None:
    """The rate named to the user works with exactly that many parts; a slightly smaller one does not."""
    scores = list(range(parts))
    rate = smallest_supported_rate(parts)
    assert conformal_threshold(scores, rate) > parts - 1
    assert parts_needed(rate) == parts
    with pytest.raises(TooFewPartsError):
        conformal_threshold(scores, rate * 0.99)


@pytest.mark.parametrize("rate", [0.0, 1.0, -0.1, math.nan])
def test_rates_outside_0_and_1_are_refused(rate: float) -> None:
    """0, 1, negative rates and NaN are refused."""
    with pytest.raises(ValueError, match="between 0 and 1"):
        conformal_threshold([1.0, 2.0], rate)


def test_scores_must_be_finite() -> None:
    """A NaN score never becomes a threshold."""
    with pytest.raises(ValueError, match="finite"):
        conformal_threshold([1.0, math.nan, 2.0], 0.5)


def test_unlucky_rate_is_exceeded_by_one_set_in_twenty() -> None:
    """Of many sets of 40 scores, one in 20 has a true false-reject rate above the unlucky one; the mean is within 5
    %.

    Scores are uniform, so that the true rate of a threshold t is 1 - t.
    """
    rng = np.random.default_rng(4)
    true_rates = np.array([1 - conformal_threshold(rng.uniform(size=40).tolist(), 0.05) for _ in range(6000)])
    assert 0.045 < true_rates.mean() < 0.0505
    assert 0.04 < np.mean(true_rates > unlucky_rate(40, 0.05)) < 0.06
    assert unlucky_rate(40, 0.05) > 2 * 0.05  # which is why it is said


def test_unlucky_rate_of_the_highest_score() -> None:
    """In 19 of 20 sets, all but 1 - 0.05^(1/n) lies below the highest of n scores: 299 parts for one in a hundred."""
    assert (
        unlucky_rate(299, smallest_supported_rate(299))
        < 0.01
        < unlucky_rate(298, smallest_supported_rate(298))
    )
    assert unlucky_rate(19, 0.05) == pytest.approx(1 - 0.05 ** (1 / 19))
    with pytest.raises(TooFewPartsError):
        unlucky_rate(18, 0.05)


@pytest.mark.parametrize(
    ("parts", "rate"), [(19, 0.05), (30, 0.05), (30, 1 / 31), (99, 0.01), (10, 0.4), (2, 0.34)]
)
def test_the_smallest_grey_rate_holds_a_score_and_no_smaller_one(parts: int, rate: float) -> None:
    """A band of the smallest share lies between two scores; a slightly smaller one would be empty."""
    scores = list(range(parts))
    grey, fail_at = smallest_grey_rate(parts, rate), conformal_threshold(scores, rate)
    assert conformal_threshold(scores, rate + grey) == pytest.approx(fail_at - 1)
    assert conformal_threshold(scores, rate + 0.99 * grey) == fail_at


def test_one_part_leaves_no_room_for_a_grey_band() -> None:
    """With a single score, nothing lies below the threshold's score."""
    assert 0.5 + smallest_grey_rate(1, 0.5) == 1.0


@pytest.mark.parametrize(("parts", "count"), [(1, 1), (5, 3), (20, 5), (34, 6), (67, 8), (5000, 8)])
def test_candidates_are_supported_and_differ(parts: int, count: int) -> None:
    """Every offered rate is supported and has its own threshold, starting with the smallest possible."""
    rates = candidate_rates(parts)
    assert len(rates) == count
    assert rates[0] == smallest_supported_rate(parts)
    thresholds = [conformal_threshold(list(range(parts)), rate) for rate in rates]
    assert sorted(set(thresholds), reverse=True) == thresholds
