"""Scores far out of the tail of all others are outliers, and hardly any good score is one."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest

from cmfm_worker.cfm.metrics.outliers import LEAST_SCORES, outlier_limit
from cmfm_worker.cfm.metrics.rate_interval import rate_interval

Draw = Callable[[np.random.Generator, int], np.ndarray[tuple[int], np.dtype[np.float64]]]
SHAPES: dict[str, Draw] = {
    "normal": lambda draw, n: np.abs(draw.normal(1.9, 0.2, n)),
    "lognormal": lambda draw, n: 1.9 * np.exp(draw.normal(0, 0.3, n)),
    "exponential": lambda draw, n: 1.5 + draw.exponential(0.25, n),
}


def limit(scores: list[float]) -> float:
    """The limit of so many scores that there is one."""
    found = outlier_limit(scores)
    assert found is not None
    return found


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("parts", [12, 36, 135])
def test_good_parts_are_rarely_outliers(shape: str, parts: int) -> None:
    """At most about 4 of 100 sets of scores without an odd one have an outlier."""
    draw = np.random.default_rng(parts)
    alarms = [
        max(scores) > limit(scores)
        for scores in SHAPES[shape](draw, 500 * parts).reshape(500, parts).tolist()
    ]
    assert np.mean(alarms) < 0.06


def test_some_mislabelled_parts_do_not_hide_one_another() -> None:
    """Of 135 scores the two that are four times as high as usual are outliers, and the highest of the others is not."""
    usual = SHAPES["lognormal"](np.random.default_rng(0), 133) ** 0.4
    scores = [*usual.tolist(), 8.4, 11.8]
    assert max(usual) < limit(scores) < 8.4
    assert limit(scores) == pytest.approx(limit(usual.tolist()), rel=0.1)


def test_equal_parts_have_no_outlier_by_rounding_and_few_parts_none_at_all() -> None:
    """Scores that differ by a thousandth are alike; nine scores have no tail; scores of 0 have no outlier."""
    assert limit([1.5] * 30 + [1.502]) > 1.502
    assert outlier_limit([1.0] * (LEAST_SCORES - 2) + [99.0]) is None
    assert limit([0.0] * 20) == math.inf


def test_the_interval_of_a_rate_is_that_of_a_count_and_narrows_with_more_parts() -> None:
    """5 of 100 parts have the interval of Clopper and Pearson; a rate below one part has one, too."""
    assert rate_interval(0.05, 100) == pytest.approx((0.0164, 0.1128), abs=1e-4)
    few, many = rate_interval(0.01, 36), rate_interval(0.01, 3600)
    assert few[0] < many[0] < 0.01 < many[1] < few[1]
    assert rate_interval(0.0, 9)[0] == 0.0
    assert rate_interval(1.0, 9)[1] == 1.0
    with pytest.raises(ValueError, match="no share"):
        rate_interval(1.5, 10)
