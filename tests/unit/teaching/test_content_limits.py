"""Limits of what a part may be like, learned from nominal parts."""

from __future__ import annotations

import numpy as np
import pytest
from tests.unit.made.measures import measures

from cmfm_worker.inspection.measures import PartMeasures
from cmfm_worker.teaching.content_limits import content_limits
from cmfm_worker.teaching.nominal_range import lower_bound, upper_bound


def parts(count: int, seed: int = 0, **around: int) -> list[PartMeasures]:
    """Return nominal parts whose areas, lengths and outlines differ a little."""
    rng = np.random.default_rng(seed)
    return [
        measures(
            round(1000 * rng.uniform(0.95, 1.05)),
            filled=rng.uniform(0.78, 0.82),
            length_px=40 * rng.uniform(0.98, 1.02),
            **around,
        )
        for _ in range(count)
    ]


@pytest.mark.parametrize("distribution", ["exponential", "normal", "uniform"])
@pytest.mark.parametrize("count", [10, 30, 135])
def test_bound_is_exceeded_as_seldom_as_it_says(distribution: str, count: int) -> None:
    """Over many draws new parts exceed the bound no more often than its rate says, and the rate is what was asked."""
    rng = np.random.default_rng(1)
    draw = getattr(rng, distribution)
    asked = max(0.002, 1 / (10 * (count + 1)))
    bounds = [upper_bound(draw(size=count).tolist(), 0.002, 0.0) for _ in range(300)]
    new = draw(size=40_000)
    exceeded = float(np.mean([(new > bound.value).mean() for bound in bounds]))
    assert {round(bound.rate, 6) for bound in bounds} == {round(asked, 6)}
    assert exceeded < 1.5 * asked


def test_few_parts_give_wide_margins() -> None:
    """The margin beyond the same values shrinks as their number grows, down to the least one."""
    spread = [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]
    margins = [upper_bound(spread * times, 0.001, 0.1).value - 1.0 for times in (1, 4, 40)]
    assert margins[0] > margins[1] > margins[2] > 0.1
    assert upper_bound([1.0] * 50, 0.001, 0.1).value == pytest.approx(1.1)
    assert lower_bound([1.0] * 50, 0.001, 0.1).value == pytest.approx(0.9)
    assert lower_bound([1.0] * 50, 0.001, 0.1, floor=0.95).value == pytest.approx(0.95)


def test_bound_needs_finite_values() -> None:
    """Neither no values nor NaN make a bound that accepts everything."""
    for values in ([], [1.0, float("nan")]):
        with pytest.raises(ValueError, match="finite values"):
            upper_bound(values, 0.01, 0.1)


@pytest.mark.parametrize("count", [1, 2, 5, 20, 135])
def test_nominal_parts_keep_their_own_limits(count: int) -> None:
    """Whatever their number, all parts that the limits were learned from lie inside."""
    some = parts(count)
    coverage, limits = content_limits(1000, some, [1.0] * count)
    assert coverage.maximum is not None
    assert limits.outline_px is not None
    assert limits.length_px is not None
    assert limits.filled is not None
    for part in some:
        assert coverage.minimum <= part.area_px / 1000 <= coverage.maximum
        assert limits.outline_px[0] <= part.outline_px <= limits.outline_px[1]
        assert limits.length_px[0] <= part.length_px <= limits.length_px[1]
        assert limits.filled[0] <= part.filled <= limits.filled[1]
    assert limits.compactness is not None
    assert all(limits.compactness[0] <= part.compactness <= limits.compactness[1] for part in some)
    assert limits.pieces == (1, 1)
    assert limits.edge_px is not None
    assert 1 <= limits.edge_px <= 48
    assert limits.level is not None
    assert limits.level > 1.1
    assert limits.nominal_parts == count


def test_expected_rate_falls_with_the_number_of_parts() -> None:
    """With many parts 2 % of good ones are expected outside all limits together, with few more, and it is said."""
    rates = [
        content_limits(1000, parts(count), [1.0] * count)[1].expected_rate or 0.0 for count in (5, 20, 200)
    ]
    assert rates[0] > rates[1] > rates[2]
    assert rates[2] <= 0.0201


def test_parts_left_out_are_counted() -> None:
    """One part unlike the others is outside the limits that they give; a single part has no others."""
    alike = parts(20)
    odd = measures(1500, filled=0.8, length_px=60.0)
    assert content_limits(1000, alike, [])[1].left_out_outside == 0
    assert content_limits(1000, [*alike, odd], [])[1].left_out_outside == 1
    assert content_limits(1000, alike[:1], [])[1].left_out_outside is None


def test_missing_quadrant_of_a_part_that_varies_in_size() -> None:
    """Where areas differ by a third, 0.72 of the median area is nominal, but not with a quarter of the outline gone."""
    rng = np.random.default_rng(2)
    some = [measures(round(1000 * rng.uniform(0.7, 1.3)), filled=rng.uniform(0.93, 0.95)) for _ in range(30)]
    coverage, limits = content_limits(1000, some, [])
    assert coverage.minimum < 0.72
    assert limits.filled is not None
    assert 0.94 * 0.75 / 0.875 < limits.filled[0] < 0.93


def test_edge_that_nominal_parts_touch_is_no_limit() -> None:
    """A product that reaches out of the picture is not called out of view; one that comes near is, when it touches."""
    touching, near, far = (content_limits(1000, parts(20, edge_px=px), [])[1].edge_px for px in (0, 2, 60))
    assert touching is None
    assert near == 1
    assert far is not None
    assert 50 < far <= 58


def test_pieces_beside_nominal_parts_are_accepted() -> None:
    """A tray whose rim is always in the picture has its size as the limit; a second part is larger."""
    _, clean = content_limits(1000, parts(20), [])
    _, rim = content_limits(1000, parts(20, beside_px=90), [])
    assert clean.beside_px == 10
    assert rim.beside_px == 100


def test_given_minimum_coverage_and_reasons_that_are_off_are_kept() -> None:
    """A person's choices stay when limits are set again; a minimum above all parts leaves no contradiction."""
    coverage, limits = content_limits(1000, parts(20), [], 0.9, ("unlike_taught",))
    assert coverage.minimum == 0.9
    assert limits.off == ("unlike_taught",)
    assert content_limits(5000, parts(20), [], 0.9)[0].maximum == 0.9
    assert content_limits(500, parts(20), [])[0].minimum == 1.0


def test_a_mislabelled_part_does_not_widen_the_limit_of_the_level() -> None:
    """Its mean Ψ lies far out of the tail of the others, whose limit stays where it was; a tail itself widens it."""
    levels = [1.0 + 0.003 * i for i in range(40)]
    alone = content_limits(1000, parts(40), levels)[1].level
    with_odd = content_limits(1000, parts(41), [*levels, 5.0])[1].level
    wider = content_limits(1000, parts(41), [*levels, 1.2])[1].level
    assert alone is not None
    assert with_odd is not None
    assert wider is not None
    assert with_odd == pytest.approx(alone, rel=0.02)
    assert wider > 1.2


@pytest.mark.parametrize("levels", [[], [0.0, 1.0]])
def test_level_that_says_nothing_is_no_limit(levels: list[float]) -> None:
    """Without levels, or with a network that predicts a part without any error, there is no limit."""
    assert content_limits(1000, parts(5), levels)[1].level is None
