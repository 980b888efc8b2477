"""`cmfm-worker recipe`: lists, shows, compares, sets thresholds and undoes changes, for people and for the page."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest
from tests.unit.made.dataset import run
from tests.unit.made.recipes import saved

from cmfm_records.recipe_versions import read_versions
from cmfm_worker.recipes.recipe import load_recipe, read_recipe_file
from cmfm_worker.recipes.sections import ScoreSection, ThresholdSection

SCORES = tuple(0.2 + i / 200 for i in range(60))


@pytest.fixture
def recipes(tmp_path: Path) -> Path:
    """A folder with the recipes `bagel`, which has sixty nominal scores, and `tyre`."""
    folder = tmp_path / "recipes"
    taught = ThresholdSection(
        fail_at=0.5,
        grey_from=0.45,
        validation_parts=20,
        validation_scores=SCORES[:20],
        out_of_fold_scores=SCORES[20:],
        method="tail",
    )
    saved(folder / "bagel", name="bagel", threshold=taught)
    saved(folder / "tyre", seed=1, name="tyre")
    return folder


@pytest.fixture
def said(capsys: pytest.CaptureFixture[str]) -> Any:
    """Run a command that succeeds, and return the JSON that it prints."""

    def answer(*arguments: object) -> Any:
        capsys.readouterr()
        assert run("recipe", *arguments, "--json") == 0
        return json.loads(capsys.readouterr().out)

    return answer


def test_recipes_are_listed_and_a_broken_one_says_why(recipes: Path, said: Any) -> None:
    """One recipe that cannot be read does not hide the others."""
    (recipes / "tyre" / "recipe.toml").write_text("format_version = 1\nname = 7\n")
    bagel, tyre = said("list", "--recipes", recipes)["recipes"]
    assert (bagel["name"], bagel["fail_at"], bagel["nominal_parts"], bagel["version"]) == (
        "bagel",
        0.5,
        60,
        None,
    )
    assert bagel["model_sha"] == load_recipe(recipes / "bagel").model_sha
    assert bagel["recipe_sha"] == load_recipe(recipes / "bagel").recipe_sha
    assert bagel["problem"] is None
    assert tyre["name"] == "tyre"
    assert "name" in tyre["problem"]


def test_the_folder_may_be_that_of_the_line(recipes: Path, tmp_path: Path, said: Any) -> None:
    """With --config the recipes are those that the line loads; both options at once, or none, are refused."""
    line = tmp_path / "line.toml"
    line.write_text('[sockets]\nframes = ["tcp://127.0.0.1:5555"]\n')
    assert said("list", "--config", line) == said("list", "--recipes", recipes)
    assert run("recipe", "list") == 2
    assert run("recipe", "list", "--config", line, "--recipes", recipes) == 2


def test_a_threshold_is_set_and_what_it_means_is_said(recipes: Path, said: Any) -> None:
    """Nominal scores, limits and networks stay; the answer has the rate with its interval; who and why are kept."""
    bagel = recipes / "bagel"
    before = load_recipe(bagel)
    answer = said(
        "threshold",
        "bagel",
        "--recipes",
        recipes,
        "--fail-at",
        0.44,
        "--grey-from",
        0.4,
        "--by",
        "Ann",
        "--why",
        "scrap",
    )
    after = load_recipe(bagel)
    assert after.model_sha == before.model_sha
    assert after.recipe.threshold is not None
    assert before.recipe.threshold is not None
    assert (after.recipe.threshold.fail_at, after.recipe.threshold.grey_from) == (0.44, 0.4)
    assert after.recipe.threshold.method == "given"
    assert after.recipe.threshold.nominal_scores == before.recipe.threshold.nominal_scores
    unchanged = {"threshold"}
    assert after.recipe.model_dump(exclude=unchanged) == before.recipe.model_dump(exclude=unchanged)
    assert answer["version"] == 2
    assert answer["before"]["recipe_sha"] == before.recipe_sha
    assert answer["after"]["recipe_sha"] == after.recipe_sha
    found = answer["false_rejects"]
    assert (found["count"], found["of"]) == (sum(score >= 0.44 for score in SCORES), 60)
    assert found["low"] < found["count"] / 60 < found["high"]
    assert 0.1 < found["rate"] < 0.3
    assert [(version.by, version.why) for version in read_versions(bagel)][1:] == [("Ann", "scrap")]


def test_a_threshold_is_undone(recipes: Path, said: Any) -> None:
    """`restore` puts back every byte, so verdicts of before can be replayed."""
    bagel = recipes / "bagel"
    before = {path.name: path.read_bytes() for path in bagel.iterdir()}
    said("threshold", "bagel", "--recipes", recipes, "--fail-at", 0.44)
    answer = said("restore", "bagel", 1, "--recipes", recipes, "--by", "Bob", "--why", "too strict")
    assert (answer["version"], answer["restored"], answer["fail_at"]) == (3, 1, 0.5)
    assert {path.name: path.read_bytes() for path in bagel.iterdir()} == before
    listed = said("versions", "bagel", "--recipes", recipes)
    assert listed["in_use"] == 3
    assert [(v["version"], v["by"], v["fail_at"], v["kept"]) for v in listed["versions"]] == [
        (1, "", 0.5, True),
        (2, listed["versions"][1]["by"], 0.44, True),
        (3, "Bob", 0.5, True),
    ]
    assert listed["versions"][1]["by"]  # the user that ran the command


def test_a_dry_run_changes_nothing(recipes: Path, said: Any) -> None:
    """The page asks what a threshold would mean before somebody saves it."""
    before = (recipes / "bagel" / "recipe.toml").read_bytes()
    answer = said("threshold", "bagel", "--recipes", recipes, "--fail-at", 0.3, "--dry-run")
    assert answer["version"] is None
    assert answer["false_rejects"]["count"] == 40
    assert (recipes / "bagel" / "recipe.toml").read_bytes() == before
    assert not (recipes / ".versions").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["bagel", "--fail-at", "nan"], "finite"),
        (["bagel", "--fail-at", "0.4", "--grey-from", "0.4"], "below --fail-at"),
        (["bagel", "--fail-at", "0.4", "--if-sha", "0" * 64], "has changed since"),
        (["bagel", "--fail-at", "0.4", "--why", "a\nb"], "printable"),
        (["../recipes/bagel", "--fail-at", "0.4"], "recipe '../recipes/bagel'"),
        (["/etc", "--fail-at", "0.4"], "recipe '/etc'"),
        (["donut", "--fail-at", "0.4"], "no such recipe folder"),
        (["bagel@1", "--fail-at", "0.4"], "recipe 'bagel@1'"),
    ],
)
def test_what_cannot_be_done_is_said_and_nothing_changes(
    recipes: Path, options: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 2 and a sentence; the recipe keeps its bytes."""
    before = (recipes / "bagel" / "recipe.toml").read_bytes()
    assert run("recipe", "threshold", *options, "--recipes", recipes) == 2
    assert message in " ".join(capsys.readouterr().err.split())
    assert (recipes / "bagel" / "recipe.toml").read_bytes() == before
    assert not (recipes / ".versions").exists()


def test_a_recipe_without_threshold_needs_calibrate(
    recipes: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A threshold without nominal scores behind it is not set from the page."""
    saved(recipes / "bare", name="bare", threshold=None)
    assert run("recipe", "threshold", "bare", "--recipes", recipes, "--fail-at", 0.3) == 2
    assert "calibrate" in capsys.readouterr().err


def test_a_recipe_without_nominal_scores_takes_a_threshold(recipes: Path, said: Any) -> None:
    """A recipe made from published networks has a given threshold; no rate is made up."""
    saved(recipes / "bare", name="bare", threshold=ThresholdSection(fail_at=1.0))
    answer = said("threshold", "bare", "--recipes", recipes, "--fail-at", 2.0)
    assert (answer["false_rejects"]["rate"], answer["false_rejects"]["of"]) == (None, 0)
    assert load_recipe(recipes / "bare").recipe.threshold is not None
    assert said("show", "bare", "--recipes", recipes)["false_rejects"]["curve"] == []


def test_show_has_all_that_a_histogram_needs(recipes: Path, said: Any) -> None:
    """Scores by where they come from, the file's own tables, and false rejects over the thresholds of a slider."""
    shown = said("show", "bagel", "--recipes", recipes)
    assert shown["nominal"]["validation_scores"] == list(SCORES[:20])
    assert shown["nominal"]["out_of_fold_scores"] == list(SCORES[20:])
    written = tomllib.loads((recipes / "bagel" / "recipe.toml").read_text())
    assert shown["recipe"]["threshold"]["fail_at"] == written["threshold"]["fail_at"]
    curve = shown["false_rejects"]["curve"]
    assert curve[0]["fail_at"] == min(SCORES)
    assert curve[-1]["fail_at"] > max(*SCORES, 0.5)
    rates = [point["rate"] for point in curve]
    assert rates == sorted(rates, reverse=True)
    assert all(point["low"] <= point["rate"] <= point["high"] for point in curve)


def test_two_versions_and_two_recipes_are_compared(recipes: Path, said: Any) -> None:
    """The keys that differ, with both values; scores of different models are said not to be comparable."""
    said("threshold", "bagel", "--recipes", recipes, "--fail-at", 0.44)
    found = said("compare", "bagel@1", "bagel", "--recipes", recipes)
    changed = {each["key"]: (each["a"], each["b"]) for each in found["differences"]}
    assert changed["threshold.fail_at"] == (0.5, 0.44)
    assert changed["threshold.grey_from"] == (0.45, None)
    assert found["same_model"]
    assert found["a"]["nominal"] == found["b"]["nominal"]
    assert "threshold.validation_scores" not in changed
    saved(recipes / "other", name="other", score=ScoreSection(highest_px=9))
    found = said("compare", "bagel", "other", "--recipes", recipes)
    assert not found["same_model"]
    assert {"key": "score.highest_px", "a": 1, "b": 9} in found["differences"]


def test_people_read_tables(recipes: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Without --json each command prints what it found and did."""
    assert run("recipe", "threshold", "bagel", "--recipes", recipes, "--fail-at", 0.44, "--by", "Ann") == 0
    out, err = capsys.readouterr()
    assert "0.5 → 0.44" in out
    assert "95 % interval" in out
    assert "version 2" in err
    assert "load_recipe" in err
    assert run("recipe", "drift", "bagel", "--recipes", recipes) == 0
    assert "60 nominal parts in 10 bins" in capsys.readouterr().out
    for command in (["list"], ["show", "bagel@2"], ["versions", "bagel"], ["compare", "bagel@1", "bagel"]):
        assert run("recipe", *command, "--recipes", recipes) == 0
        assert "0.44" in capsys.readouterr().out
    assert run("recipe", "restore", "bagel", 1, "--recipes", recipes) == 0
    assert "version 1 is in use again, as version 3" in capsys.readouterr().err
    assert read_recipe_file(recipes / "bagel").threshold is not None


def test_drift_is_shown_and_changed(recipes: Path, said: Any) -> None:
    """Without an option nothing changes; with one the section alone does. The limit allows for few parts."""
    shown = said("drift", "bagel", "--recipes", recipes)
    assert (shown["act"], shown["limit"], shown["window"], shown["version"]) == ("alarm", 0.25, 200, None)
    assert shown["measures"]["score"]["nominal_parts"] == sum(shown["measures"]["score"]["counts"]) == 60
    assert shown["measures"]["score"]["limit"] == pytest.approx(33.72 * (1 / 60 + 1 / 200), rel=1e-3)
    assert shown["measures"]["coverage"] is None
    assert not (recipes / ".versions").exists()
    before = read_recipe_file(recipes / "bagel")
    changed = said(
        "drift", "bagel", "--recipes", recipes, "--act", "undecided", "--window", 400, "--by", "Ann"
    )
    after = read_recipe_file(recipes / "bagel")
    assert (changed["version"], after.drift.act, after.drift.window, after.drift.limit) == (
        2,
        "undecided",
        400,
        0.25,
    )
    assert after.model_dump(exclude={"drift"}) == before.model_dump(exclude={"drift"})
    assert [version.by for version in read_versions(recipes / "bagel")] == ["", "Ann"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--limit", "-1"], "limit"),
        (["--limit", "nan"], "limit"),
        (["--window", "10"], "window"),
        (["--window", "60"], "least_parts = 100 is more than window = 60"),
    ],
)
def test_a_wrong_drift_is_named_and_nothing_changes(
    recipes: Path, options: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """The section is checked as the line checks it."""
    assert run("recipe", "drift", "bagel", "--recipes", recipes, *options) == 2
    assert message in " ".join(capsys.readouterr().err.split())
    assert not (recipes / ".versions").exists()
