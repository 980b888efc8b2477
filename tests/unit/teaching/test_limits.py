"""Limits from nominal scores: the rates they keep, and the refusals when there are too few parts."""

from __future__ import annotations

import re

import numpy as np
import pytest

from cmfm_worker.errors import InputError
from cmfm_worker.teaching.limits import Wanted, threshold_from


def test_share_of_new_nominal_parts_that_fail_or_are_undecided() -> None:
    """Over many calibration sets of 50 parts a new nominal part FAILs in at most 4 % of cases, and FAILs or is
    UNDECIDED in at most 4 % + 8 %; both shares are nearly used up."""
    rng = np.random.default_rng(8)
    wanted = Wanted(false_reject_rate=0.04, grey_rate=0.08)
    failed, held_back = [], []
    for *scores, new in rng.gamma(2.0, size=(5000, 51)).tolist():
        limits = threshold_from(scores, wanted)
        assert limits.grey_from is not None
        failed.append(new >= limits.fail_at)
        held_back.append(new >= limits.grey_from)
    assert 0.03 < np.mean(failed) <= 0.043  # 0.04 and one and a half standard errors
    assert 0.105 < np.mean(held_back) <= 0.125


def test_default_is_the_smallest_rate_without_a_band() -> None:
    """By default only a part above all nominal ones FAILs, and the recipe states the rate of this."""
    limits = threshold_from([3.0, 1.0, 2.0], Wanted())
    assert limits.fail_at == np.nextafter(3.0, 4.0)
    assert limits.target_false_reject_rate == limits.supported_false_reject_rate == 0.25
    assert (limits.grey_from, limits.target_grey_rate) == (None, None)
    assert limits.validation_scores == (3.0, 1.0, 2.0)


def test_given_scores_become_the_limits() -> None:
    """A threshold that a person chose has no rate; the nominal scores are stored with it."""
    limits = threshold_from([1.0, 2.0, 3.0], Wanted(fail_at=2.5, grey_from=0.5))
    assert (limits.fail_at, limits.grey_from, limits.target_false_reject_rate) == (2.5, 0.5, None)
    assert limits.validation_parts == 3


@pytest.mark.parametrize(
    ("wanted", "parts", "named"),
    [
        (Wanted(false_reject_rate=0.01), 98, "needs 99 nominal"),
        (Wanted(false_reject_rate=0.001), 500, "needs 999 nominal"),
        (Wanted(grey_rate=0.05), 12, "--grey-rate 0.05 needs more than 12 nominal parts"),
        (Wanted(grey_rate=0.5), 1, "no score would PASS"),
        (Wanted(false_reject_rate=0.5, grey_rate=0.5), 40, "no score would PASS"),
    ],
)
def test_rates_that_the_parts_cannot_support(wanted: Wanted, parts: int, named: str) -> None:
    """Each refusal names the option and the number of parts, or the rate, that would be enough."""
    with pytest.raises(InputError, match=named):
        wanted.require_supported(parts)


@pytest.mark.parametrize("parts", [5, 12, 18, 22, 61])
def test_rates_in_a_refusal_can_be_typed_in(parts: int) -> None:
    """The smallest rate printed in a refusal is accepted and leads to limits; with one part fewer it is refused."""
    with pytest.raises(InputError) as refused:
        Wanted(false_reject_rate=1e-4).require_supported(parts)
    rate = float(re.findall(r"no rate below ([\d.]+)", str(refused.value))[0])
    with pytest.raises(InputError) as refused:
        Wanted(false_reject_rate=rate, grey_rate=1e-5).require_supported(parts)
    grey = float(re.findall(r"no grey rate below ([\d.]+)", str(refused.value))[0])
    wanted = Wanted(false_reject_rate=rate, grey_rate=grey)
    wanted.require_supported(parts)
    limits = threshold_from([float(i) for i in range(parts)], wanted)
    assert limits.grey_from is not None
    assert parts - 2 < limits.grey_from < limits.fail_at
    with pytest.raises(InputError):
        wanted.require_supported(parts - 1)


def test_empty_grey_band_is_refused() -> None:
    """A band that would begin at or above the threshold, by equal scores or a given score, is refused."""
    for wanted in (Wanted(grey_rate=0.3), Wanted(grey_from=9.0)):
        with pytest.raises(InputError, match="grey band would be empty"):
            threshold_from([2.0] * 9, wanted)
