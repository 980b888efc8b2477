"""Drift of a loaded recipe: nominal parts raise no alarm, however few there are, and shifted parts do."""

from __future__ import annotations

import math
import random
from collections.abc import Iterable
from pathlib import Path

import pytest
from tests.unit.made.recipes import ColourAndPlace, saved

from cmfm_records.nominal import USUAL_LIMIT
from cmfm_worker.errors import InputError
from cmfm_worker.inspection.inspector import Inspector
from cmfm_worker.recipes.drift import DriftMonitor
from cmfm_worker.recipes.drift_section import DriftSection
from cmfm_worker.recipes.recipe import Recipe, load_recipe, read_recipe_file
from cmfm_worker.recipes.registry import RecipeRegistry
from cmfm_worker.recipes.sections import CoverageSection, ThresholdSection
from cmfm_worker.settings.sections.compute import RecipesSection

LINES = 40
PARTS = 1000


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Recipe:
    """A recipe whose nominal parts a test replaces."""
    return saved(tmp_path_factory.mktemp("recipes") / "part").recipe


def monitor(
    bare: Recipe, scores: Iterable[float], coverages: Iterable[float] = (), **drift: object
) -> DriftMonitor:
    threshold = ThresholdSection(fail_at=1e9, validation_scores=tuple(scores))
    coverage = CoverageSection(nominal_median_px=1000, nominal=tuple(coverages))
    section = DriftSection.model_validate(drift)
    changes = {"threshold": threshold, "coverage": coverage, "drift": section}
    return DriftMonitor("part", bare.model_copy(update=changes))


def lognormal(drawn: random.Random, parts: int, shift: float = 0.0) -> list[float]:
    """Scores are positive and skewed; `shift` is in standard deviations of their logarithm."""
    return [math.exp(0.2 * drawn.gauss(shift)) for _ in range(parts)]


@pytest.mark.parametrize("nominal", [20, 50, 200])
def test_nominal_parts_raise_no_alarm_however_few_taught_the_recipe(bare: Recipe, nominal: int) -> None:
    """Of forty lines that inspect a thousand nominal parts each, none alarms. By the plain limit of 0.25 many would."""
    alarms = beyond_plain = 0
    for line in range(LINES):
        drawn = random.Random(1000 * nominal + line)
        watched = monitor(bare, lognormal(drawn, nominal))
        highest = 0.0
        for score in lognormal(drawn, PARTS):
            alarms += watched.add(score, None)
            psi = watched.state.measures["score"].psi
            highest = max(highest, 0.0 if math.isnan(psi) else psi)
        beyond_plain += highest >= USUAL_LIMIT
    assert alarms == 0
    assert beyond_plain > LINES / 10  # the allowance for few parts is what kept them quiet


@pytest.mark.parametrize(("nominal", "shift"), [(20, 2.0), (50, 1.5), (200, 1.0)])
def test_a_shift_raises_the_alarm_within_a_window(bare: Recipe, nominal: int, shift: float) -> None:
    """The more nominal parts there are, the smaller the shift that is found."""
    for line in range(10):
        drawn = random.Random(line)
        watched = monitor(bare, lognormal(drawn, nominal))
        for score in lognormal(drawn, 100):
            watched.add(score, None)
        assert not watched.state.drifting
        for score in lognormal(drawn, 200, shift):
            watched.add(score, None)
        assert watched.state.drifting


def test_drift_begins_once_and_is_over_once(bare: Recipe) -> None:
    """An alarm does not come and go with every part near the limit; after 200 nominal parts it is over."""
    drawn = random.Random(5)
    watched = monitor(bare, lognormal(drawn, 200))
    came = [lognormal(drawn, 300), lognormal(drawn, 300, 1.5), lognormal(drawn, 400)]
    changes = [watched.state.drifting for part in came for score in part if watched.add(score, None)]
    assert changes == [True, False]


def test_drift_is_over_only_well_below_its_limit(bare: Recipe) -> None:
    """At four fifths of the limit: it lasts while the index is near the limit, where it would come and go."""
    drawn = random.Random(5)
    watched = monitor(bare, lognormal(drawn, 200))
    for score in lognormal(drawn, 300, 1.5):
        watched.add(score, None)
    lasted = []
    while watched.state.drifting:
        found = watched.state.measures["score"]
        lasted.append(found.psi / found.limit)
        watched.add(lognormal(drawn, 1)[0], None)
    found = watched.state.measures["score"]
    assert 0.8 <= min(lasted) < 0.9
    assert found.psi < 0.8 * found.limit


def test_coverage_drifts_by_itself(bare: Recipe) -> None:
    """A sensor that loses points is noticed although the scores stay; the detail names the measure."""
    drawn = random.Random(6)
    shares = [drawn.gauss(1.0, 0.02) for _ in range(100)]
    watched = monitor(bare, lognormal(drawn, 100), shares)
    for score in lognormal(drawn, 150):
        watched.add(score, drawn.gauss(0.9, 0.02))
    assert watched.state.drifting
    assert "coverage: PSI" in watched.state.in_words()
    assert "score" not in watched.state.in_words()
    assert watched.state.measures["score"].psi < watched.state.measures["score"].limit


def test_nothing_is_said_before_there_are_enough_parts(bare: Recipe) -> None:
    """The first parts after a start are too few to tell, whatever they are like."""
    watched = monitor(bare, lognormal(random.Random(7), 100), window=80, least_parts=60)
    for number in range(1, 61):
        assert watched.add(1e6, None) == (number == 60)
        assert watched.state.parts == number
    assert math.isfinite(watched.state.measures["score"].psi)


def test_the_window_is_bounded(bare: Recipe) -> None:
    """Old parts leave: memory does not grow, and what was long ago does not count."""
    watched = monitor(bare, lognormal(random.Random(8), 100), window=60, least_parts=50)
    for score in [1e6] * 1000 + lognormal(random.Random(9), 60):
        watched.add(score, None)
    assert watched.state.parts == 60
    assert not watched.state.drifting


def test_what_is_unknown_does_not_count(bare: Recipe) -> None:
    """A part without coverage, or with a score that is not finite, changes no window."""
    watched = monitor(bare, lognormal(random.Random(8), 50), [1 + i / 1000 for i in range(50)])
    for _ in range(500):
        watched.add(math.nan, None)
        watched.add(math.inf, math.nan)
    assert watched.state.parts == 0
    assert not watched.state.drifting


@pytest.mark.parametrize(
    ("scores", "act"),
    [
        ([0.1 * i for i in range(9)], "alarm"),
        ([1.0] * 50, "alarm"),
        ([float(i) for i in range(50)], "off"),
    ],
)
def test_without_a_reference_nothing_drifts(bare: Recipe, scores: list[float], act: str) -> None:
    """Too few nominal parts, equal ones, and a recipe that asks for none: no measure, and no alarm."""
    watched = monitor(bare, scores, act=act)
    assert not any(watched.add(1e6, None) for _ in range(500))
    assert watched.state.measures == {}


def test_only_a_recipe_that_says_so_calls_parts_undecided(bare: Recipe) -> None:
    """By default drift is an alarm and changes no verdict."""
    for act, calls in (("alarm", False), ("undecided", True)):
        watched = monitor(bare, lognormal(random.Random(1), 50), act=act)
        for _ in range(200):
            watched.add(1e6, None)
        assert watched.state.drifting
        assert watched.calls_undecided == calls


@pytest.mark.parametrize("nominal", [10, 11, 14, 15, 19, 20, 29, 30, 49, 50, 99, 200])
@pytest.mark.parametrize("far", [-1e6, 1e6])
def test_no_setting_is_blind_to_a_product_that_is_another(bare: Recipe, nominal: int, far: float) -> None:
    """However few parts there are, and with the shortest window allowed, parts that are far off raise the alarm."""
    watched = monitor(bare, [float(i) for i in range(nominal)], window=50, least_parts=50)
    assert any(watched.add(far, None) for _ in range(50))


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("act = 'stop'", "drift.act"),
        ("limit = 0", "drift.limit"),
        ("limit = inf", "drift.limit"),
        ("window = 49", "drift.window"),
        ("window = 80\nleast_parts = 90", "least_parts = 90 is more than window = 80"),
        ("windows = 100", "drift.windows"),
    ],
)
def test_a_wrong_setting_is_named(tmp_path: Path, text: str, named: str) -> None:
    """People edit the section by hand."""
    saved(tmp_path / "part")
    path = tmp_path / "part" / "recipe.toml"
    written = path.read_text()
    head, _, rest = written.partition("[drift]\n")
    path.write_text(f"{head}[drift]\n{text}\n[provenance]{rest.partition('[provenance]')[2]}")
    with pytest.raises(InputError, match=named):
        read_recipe_file(tmp_path / "part")


def test_a_loaded_recipe_starts_with_an_empty_window(tmp_path: Path) -> None:
    """After a recipe change the parts of before say nothing: a new object counts, and the gauges are its own."""
    import torch

    scores = tuple(lognormal(random.Random(3), 50))
    saved(tmp_path / "part", threshold=ThresholdSection(fail_at=9.0, validation_scores=scores))
    registry = RecipeRegistry(
        RecipesSection(folder=tmp_path),
        make_inspector=lambda _: Inspector(ColourAndPlace()),
        device=torch.device("cpu"),
    )
    first = registry.load("part").drift
    assert first is not None
    for _ in range(150):
        first.add(5.0, 1.0)
    assert registry.drifts()["part"].drifting
    second = registry.load("part").drift
    assert second is not None
    assert second is not first
    assert registry.drifts()["part"].parts == 0
    assert not registry.drifts()["part"].drifting
    assert load_recipe(tmp_path / "part").recipe.drift == DriftSection()
