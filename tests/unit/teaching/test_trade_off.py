"""Costs and catches of thresholds, nominal parts that look mislabelled, and the words for both."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np
import pytest
from tests.unit.made.recipes import pair

from cmfm_protocol.files.part_files import PartFiles
from cmfm_worker.cli.closing_chart import Line, chart
from cmfm_worker.cli.closing_tables import (
    interval,
    rates_in_words,
    repeated_in_words,
    suspects_in_words,
    suspects_summary,
)
from cmfm_worker.recipes.sections import ThresholdSection
from cmfm_worker.teaching.closing import Closing
from cmfm_worker.teaching.limits import Wanted, threshold_from
from cmfm_worker.teaching.nominal_score import NominalScore
from cmfm_worker.teaching.simulated_trial import SimulatedScore, SimulatedTrial
from cmfm_worker.teaching.suspects import find_suspects
from cmfm_worker.teaching.trade_off import trade_offs, whole_curve


def nominal(scores: Sequence[float]) -> list[NominalScore]:
    """Nominal parts p000, p001, … with these scores."""
    path = Path("none.png")
    return [
        NominalScore(
            PartFiles(f"p{i:03d}", "validation", "good", path, path, None), score, "validation", pair()
        )
        for i, score in enumerate(scores)
    ]


def closing(scores: Sequence[float]) -> Closing:
    """A closing report of parts with these scores, without simulated defects or pictures."""
    parts = nominal(scores)
    threshold = threshold_from(scores, Wanted(method="tail"))
    return Closing(threshold, tuple(parts), SimulatedTrial(), (), find_suspects(parts))


SCORES = (1.8 + np.random.default_rng(2).exponential(0.1, 60)).tolist()


def test_each_rate_has_its_threshold_and_the_recipe_s_own_is_marked_once() -> None:
    """From one in five to one in two hundred, as far as so many parts support it; a rate that was asked for, too."""
    asked = threshold_from(SCORES, Wanted(0.03, method="tail"))
    points = trade_offs(asked, SimulatedTrial())
    assert [point.rate for point in points] == [0.2, 0.1, 0.05, 0.03, 0.02, 0.01, 0.005]
    assert [point.rate for point in points if point.asked] == [0.03]
    assert all(point.interval[0] < point.rate < point.interval[1] for point in points)
    few = trade_offs(threshold_from(SCORES[:12], Wanted(method="tail")), SimulatedTrial())
    assert [point.rate for point in few] == [0.2, 0.1, 0.05, 0.02, 0.01]
    conformal = trade_offs(threshold_from(SCORES, Wanted(method="conformal")), SimulatedTrial())
    assert conformal[-1].rate == pytest.approx(1 / 61)
    assert conformal[-1].asked


def test_a_given_score_is_shown_with_the_rate_to_be_expected_there() -> None:
    """A person's own threshold has no rate; the nominal scores say what it will cost."""
    points = trade_offs(threshold_from(SCORES, Wanted(fail_at=1.95, method="tail")), SimulatedTrial())
    (own,) = [point for point in points if point.asked]
    assert own.fail_at == 1.95
    assert own.rate == pytest.approx(np.mean(np.asarray(SCORES) >= 1.95), abs=0.05)


def test_shares_caught_are_counted_by_size_and_kind() -> None:
    """Half of the small ones reach the threshold, all large ones do, and together it is three quarters."""
    scores = [
        ("shape", "small", 1.0),
        ("colour", "small", 9.0),
        ("shape", "large", 9.0),
        ("colour", "large", 9.5),
    ]
    trial = SimulatedTrial(tuple(SimulatedScore("p", *each) for each in scores))
    (point,) = [
        each
        for each in trade_offs(ThresholdSection(fail_at=9.0, validation_scores=(2.0,) * 12), trial)
        if each.asked
    ]
    assert point.caught.rate == 0.75
    assert point.by_size["small"].rate == 0.5
    assert point.by_size["large"].rate == 1.0
    assert point.by_kind["shape"].rate == 0.5
    assert point.by_size["medium"].rate is None


def test_the_whole_curve_falls_and_covers_all_thresholds_shown() -> None:
    """Sixty thresholds in even steps; a higher one never rejects more."""
    threshold = threshold_from(SCORES, Wanted(method="tail"))
    curve = whole_curve(threshold, SimulatedTrial())
    rates = [point.rate for point in curve]
    assert rates == sorted(rates, reverse=True)
    assert curve[0].fail_at < threshold.fail_at < curve[-1].fail_at
    assert curve[-1].fail_at > trade_offs(threshold, SimulatedTrial())[-1].fail_at


def test_parts_far_out_of_the_tail_are_named_highest_first() -> None:
    """With the limit and the highest score of the others, which tell how far out they are."""
    found = find_suspects(nominal([*SCORES, 8.4, 11.8]))
    assert [each.name for each in found.parts] == ["p061", "p060"]
    assert found.usual == max(SCORES)
    assert found.limit is not None
    assert max(SCORES) < found.limit < 8.4


@pytest.mark.parametrize(
    ("scores", "said"),
    [
        (SCORES, r"none \(no score above \d"),
        ([*SCORES, 11.8], "p060, or a rare view"),
        (SCORES[:9], "10 scores of nominal parts are needed to tell, there are 9"),
    ],
)
def test_one_line_says_which_parts_look_mislabelled(scores: list[float], said: str) -> None:
    """None, these, or that there are too few parts to tell."""
    assert re.search(said, suspects_summary(closing(scores)))


def test_rates_are_words_that_a_person_plans_by() -> None:
    """About one of twenty, from how many parts, and what another rate would be; few parts support no lower rate."""
    points = trade_offs(closing(SCORES).threshold, SimulatedTrial())
    said = rates_in_words(closing(SCORES).threshold, points)
    assert said.startswith("about 1 of 20 good parts will be rejected (5 %; 95 % interval 1 to 1")
    assert "from 60 nominal parts); with 1 % it would be 1 of 100, FAIL at score ≥ 2." in said
    two = threshold_from([1.0, 2.0], Wanted(method="tail"))
    assert "from 2 nominal parts, which support no lower rate)" in rates_in_words(
        two, trade_offs(two, SimulatedTrial())
    )


def test_intervals_are_short_and_whole() -> None:
    """Next to nothing is 0, and everything is 100 %."""
    assert interval((1e-9, 0.9996)) == "0 to 100 %"
    assert interval((0.0123, 0.5)) == "1.2 to 50 %"


def test_duplicated_parts_are_counted() -> None:
    """Parts of one score are a remark, others are not."""
    assert repeated_in_words(nominal([1.0, 2.0, 3.0])) == []
    (said,) = repeated_in_words(nominal([1.0, 1.0, 1.0 + 1e-9, 3.0]))
    assert said.startswith("2 of 4 nominal parts have exactly the score of another one")


def test_a_chart_is_well_formed_and_its_curves_stay_in_the_frame() -> None:
    """Names are escaped, shares of 0 lie at the foot of a logarithmic axis, and equal thresholds divide nothing."""
    for xs in ([1.0, 2.0, 3.0], [1.5, 1.5, 1.5]):
        drawn = chart(
            "good & bad",
            xs,
            [Line("a<b", [1.0, 0.1, 0.0])],
            marked=2.0,
            band=[(0.5, 1.0)] * 3,
            logarithmic=True,
        )
        root = ET.fromstring(drawn)  # noqa: S314 (our own text)
        (line,) = [each for each in root.iter() if each.tag.endswith("polyline")]
        points = [tuple(map(float, place.split(","))) for place in line.attrib["points"].split()]
        width, height = (float(value) for value in root.attrib["viewBox"].split()[2:])
        assert all(0 <= x <= width and 0 <= y <= height for x, y in points)
        assert "a<b" in "".join(root.itertext())
        heights = [
            float(each.attrib["y"]) for each in root.iter() if each.text in ("good & bad", "FAIL from 2")
        ]
        assert abs(heights[0] - heights[1]) >= 20  # neither label covers the other


def test_a_dry_run_points_to_no_picture_that_is_not_there() -> None:
    """A part that looks mislabelled is shown in the report, which only a written recipe has."""
    odd = closing([*SCORES, 99.0])
    assert "Look at its picture in the recipe's report" in suspects_in_words(odd, "calibrate")[1]
    said = suspects_in_words(odd, "calibrate", report=False)[1]
    assert "in the recipe's report" not in said
    assert "a dry run writes no report" in said
