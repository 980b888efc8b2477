"""The page judges parts again as the worker would, and counts as the worker counts; by node, where it is installed."""

import json
import os
import random
import shutil
import subprocess
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from tests.unit.made.measures import measures
from tests.unit.made.recipes import saved

from cmfm_hmi.recipes.scores import BY_SCORE, intervals
from cmfm_protocol.wire.verdict import Verdict
from cmfm_worker.cfm.metrics.binomial import clopper_pearson
from cmfm_worker.inspection.decide import decide
from cmfm_worker.recipes.recipe import Recipe
from cmfm_worker.recipes.sections import CoverageSection, ThresholdSection

PROGRAM = """
const vm = require("vm");
const { source, call } = JSON.parse(require("fs").readFileSync(0, "utf8"));
vm.runInThisContext(source);
process.stdout.write(JSON.stringify(vm.runInThisContext(call)));
"""


def by_node(call: str) -> Any:
    """Return what a call of the page's script returns."""
    node = shutil.which("node")
    if node is None:
        assert os.environ.get("CMFM_FOREIGN_CLIENTS") != "required", "node is not installed"
        pytest.skip("node is not installed")
    source = files("cmfm_hmi").joinpath("static", "rejudge.js").read_text(encoding="utf-8")
    stdin = json.dumps({"source": source, "call": call})
    done = subprocess.run(
        [node, "-e", PROGRAM], input=stdin, capture_output=True, text=True, check=True, timeout=60
    )
    return json.loads(done.stdout)


@pytest.fixture
def recipe(tmp_path: Path) -> Recipe:
    threshold = ThresholdSection(fail_at=0.5, grey_from=0.4, validation_parts=2, validation_scores=(0.1, 0.3))
    coverage = CoverageSection(minimum=0.9, nominal_median_px=1000)
    return saved(tmp_path / "part", threshold=threshold, coverage=coverage).recipe


def judged(recipe: Recipe, parts: list[tuple[float, int]]) -> dict[str, Any]:
    """Parts of a score and an area in px as the page gets them: each with the worker's verdict."""
    verdicts = [decide(score, 0.1, measures(area), recipe) for score, area in parts]
    return {
        "score": [score for score, _ in parts] + [None],
        "verdict": [str(each.verdict) for each in verdicts] + [str(Verdict.FAULT)],
        "below": ["PASS" if each.reason in BY_SCORE else None for each in verdicts] + [None],
    }


@pytest.mark.parametrize(
    ("fail_at", "grey_from"), [(0.5, 0.4), (0.3, None), (0.45, 0.2), (2.0, 1.0), (0.25, 0.0)]
)
def test_the_page_judges_as_the_worker_does(recipe: Recipe, fail_at: float, grey_from: float | None) -> None:
    """A thousand parts, some on the limits themselves and some with too little 3D; and a FAULT, which stays one."""
    drawn = random.Random(1)
    parts = [
        (drawn.choice([0.25, 0.3, 0.4, 0.45, 0.5, drawn.random()]), drawn.choice([500, 1000, 1000]))
        for _ in range(1000)
    ]
    assert recipe.threshold is not None
    other = recipe.threshold.model_copy(update={"fail_at": fail_at, "grey_from": grey_from})
    page, worker = judged(recipe, parts), judged(recipe.model_copy(update={"threshold": other}), parts)
    found = by_node(f"rejudge({json.dumps(page)}, {fail_at}, {json.dumps(grey_from)})")
    for key, judged_parts in (("before", page), ("after", worker)):
        assert found[key] == {verdict: judged_parts["verdict"].count(str(verdict)) for verdict in Verdict}
    changed = [(each["at"], each["from"], each["to"]) for each in found["changed"]]
    pairs = zip(page["verdict"], worker["verdict"], strict=True)
    assert changed == [(at, was, now) for at, (was, now) in enumerate(pairs) if was != now]


def test_labelled_parts_are_measured_with_the_exact_interval(recipe: Recipe) -> None:
    """Three of forty bad parts pass: the interval is that of Clopper and Pearson for three of forty."""
    parts = judged(recipe, [(0.1, 1000)] * 3 + [(0.6, 1000)] * 36)  # and a FAULT
    found = by_node(f"passing({json.dumps(parts | {'intervals': intervals(40)})}, 0.5, 0.4)")
    assert (found["count"], found["of"]) == (3, 40)
    assert (found["low"], found["high"]) == pytest.approx(clopper_pearson(3, 40), rel=1e-3)
    assert by_node("passing({ score: [], verdict: [], below: [], intervals: [] }, 1, null)")["of"] == 0


def test_nominal_parts_on_the_threshold_are_rejected() -> None:
    """A part FAILs at the threshold itself."""
    calls = ", ".join(
        f"reaching([0.1, 0.2, 0.2, 0.3], {fail_at})" for fail_at in (0.05, 0.2, 0.25, 0.3, 0.31)
    )
    assert by_node(f"[{calls}]") == [4, 3, 1, 1, 0]


def test_the_expected_rate_lies_between_the_points_of_the_curve() -> None:
    """Beyond the curve its ends hold; without a curve nothing is claimed."""
    curve = json.dumps(
        [
            {"fail_at": at, "rate": rate, "low": rate / 2, "high": rate * 2}
            for at, rate in ((1, 0.4), (2, 0.2))
        ]
    )
    found = by_node(f"[0.5, 1.25, 2, 9].map((at) => expectedAt({curve}, at).rate)")
    assert found == pytest.approx([0.4, 0.35, 0.2, 0.2])
    assert by_node("expectedAt([], 1)") is None


def test_a_part_of_a_drifted_line_fails_by_its_score_and_never_passes() -> None:
    """The line calls it UNDECIDED whatever the threshold is raised to."""
    parts = json.dumps({"score": [0.3], "verdict": ["UNDECIDED"], "below": ["UNDECIDED"]})
    assert by_node(f"[0.2, 0.5].map((failAt) => verdictAt({parts}, 0, failAt, null))") == [
        "FAIL",
        "UNDECIDED",
    ]
