"""Collected parts that people called good or bad are measured against a threshold, and only those."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.unit.made.collected import collected_part, decided
from tests.unit.made.dataset import frame, run
from tests.unit.made.recipes import saved

from cmfm_worker.recipes.recipe import Recipe, load_recipe
from cmfm_worker.recipes.sections import ProvenanceSection, ThresholdSection
from cmfm_worker.teaching.collected_labels import judged_again, labels_of


@pytest.fixture
def recipe(tmp_path: Path) -> Recipe:
    return saved(tmp_path / "recipes" / "part").recipe


@pytest.fixture
def collected(tmp_path: Path, recipe: Recipe) -> Path:
    """Good parts with scores 0.1, 0.4 and 0.7, bad ones with 0.3 and 0.9, and a few that do not count."""
    folder = tmp_path / "collected"
    for number, score in enumerate((0.1, 0.4, 0.7)):
        decided(folder, "part", number, "good", score=score, model_sha=recipe.model_sha)
    for number, score in enumerate((0.3, 0.9), start=10):
        decided(folder, "part", number, "bad", score=score, model_sha=recipe.model_sha)
    collected_part(folder, "part", 20, score=0.9, model_sha=recipe.model_sha)  # nobody decided
    decided(folder, "part", 21, "left_out", score=0.9, model_sha=recipe.model_sha)
    decided(folder, "part", 22, "bad", score=0.9, model_sha="another")
    return folder


def test_a_threshold_is_tried_on_labelled_parts(collected: Path, recipe: Recipe) -> None:
    """Parts without a decision, parts left out, and scores of another model are not counted."""
    labels = labels_of(collected, "part", recipe)
    assert (len(labels.good), len(labels.bad), labels.taught) == (3, 3, 0)
    found = judged_again(labels, recipe, ThresholdSection(fail_at=0.5, grey_from=0.35))
    assert dict(found.good) == {"PASS": 1, "UNDECIDED": 1, "FAIL": 1}
    assert dict(found.bad) == {"PASS": 1, "FAIL": 1}
    assert found.other_model == 1
    assert (found.false_rejects.count, found.false_rejects.of) == (2, 3)
    assert (found.escapes.count, found.escapes.of) == (1, 2)
    stricter = judged_again(labels, recipe, ThresholdSection(fail_at=0.2))
    assert (stricter.escapes.count, stricter.false_rejects.count) == (0, 2)


def test_a_part_outside_a_limit_stays_undecided(tmp_path: Path, recipe: Recipe) -> None:
    """Whatever the threshold: its score did not decide. One that drift made UNDECIDED is judged by its score."""
    facts: dict[str, Any] = {"score": 9.0, "model_sha": recipe.model_sha, "verdict": "UNDECIDED"}
    decided(tmp_path / "c", "part", 1, "bad", **facts, reason="low_coverage")
    decided(tmp_path / "c", "part", 2, "bad", **facts, reason="drift")
    found = judged_again(labels_of(tmp_path / "c", "part", recipe), recipe, ThresholdSection(fail_at=0.5))
    assert dict(found.bad) == {"UNDECIDED": 1, "FAIL": 1}


def test_good_parts_that_the_recipe_was_taught_from_are_not_measured(collected: Path, recipe: Recipe) -> None:
    """They score lower than new ones. Parts that were decided after the teaching count, bad ones always."""
    made = ProvenanceSection(
        made_by="fit", fitted_at="2999-01-01T00:00:00+00:00", dataset="collected", category="part"
    )
    labels = labels_of(collected, "part", recipe.model_copy(update={"provenance": made}))
    assert (len(labels.good), len(labels.bad), labels.taught) == (0, 3, 3)
    assert "3 more good ones were taught from" in labels.in_words()
    earlier = made.model_copy(update={"fitted_at": "2020-01-01T00:00:00+00:00"})
    assert len(labels_of(collected, "part", recipe.model_copy(update={"provenance": earlier})).good) == 3


def test_the_threshold_command_says_what_the_labelled_parts_say(
    collected: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As JSON for the page and in words, by --collected or by the line's settings."""
    (tmp_path / "line.toml").write_text('[sockets]\nframes = ["tcp://127.0.0.1:5555"]\n')
    command = ["recipe", "threshold", "part", "--fail-at", 0.5, "--dry-run"]
    for where in (
        ["--recipes", tmp_path / "recipes", "--collected", collected],
        ["--config", tmp_path / "line.toml"],
    ):
        capsys.readouterr()
        assert run(*command, *where, "--json") == 0
        labelled = json.loads(capsys.readouterr().out)["labelled"]
        assert labelled["good"] == {"fail": 1, "pass": 2}
        assert labelled["bad"] == {"fail": 1, "pass": 1}
        assert (labelled["escapes"]["count"], labelled["escapes"]["of"]) == (1, 2)
        assert labelled["escapes"]["low"] < 0.5 < labelled["escapes"]["high"]
        assert (labelled["other_model"], labelled["taught"]) == (1, 0)
    assert run(*command, "--config", tmp_path / "line.toml") == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "1 of 3 would not PASS" in said
    assert "1 of 2 would PASS" in said
    assert run(*command, "--recipes", tmp_path / "recipes", "--json") == 0
    assert json.loads(capsys.readouterr().out)["labelled"] is None


def test_calibrate_measures_labelled_collected_parts(
    taught: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It inspects them by the recipe at hand, whatever judged them before, and sets no limit from them."""
    folder = tmp_path / "collected"
    for number in range(2):
        decided(folder, "dome", number, "good", frame=frame(900 + number), model_sha="another")
    decided(folder, "dome", 5, "bad", frame=frame(905), model_sha="another")
    gone = decided(folder, "dome", 6, "bad", frame=frame(906))
    (folder / "dome" / "parts" / gone / "rgb.png").unlink()
    plain, with_labels = tmp_path / "plain.json", tmp_path / "with.json"
    command = ["calibrate", "--recipe", taught[1], "--root", taught[0], "--category", "dome", "--no-labelled"]
    command += ["--simulated-defects", 0, "--dry-run"]
    assert run(*command, "--json", plain) == 0
    capsys.readouterr()
    assert run(*command, "--collected", folder, "--json", with_labels) == 0
    out, err = capsys.readouterr()
    assert "labelled collected parts: 2 good, 2 bad" in err
    assert "labelled parts, for information only" in out
    found, before = (json.loads(path.read_text()) for path in (with_labels, plain))
    assert found["labelled"]["kinds"]["good"]["parts"] == 2
    assert found["labelled"]["kinds"]["bad"]["parts"] == 1
    assert before["labelled"] is None
    for each in (found, before):
        each["threshold"].pop("origin")
        each.pop("labelled")
    assert found == before
    assert load_recipe(taught[1]).recipe.name == "dome"
    assert run(*command, "--product", "dome") == 2
