"""`cmfm-worker check`: what a line would do, told without running it."""

import json
from pathlib import Path

import pytest
from tests.unit.made.dataset import run
from tests.unit.made.recipes import saved

from cmfm_worker.cli.check import score_words
from cmfm_worker.recipes.sections import ScoreSection


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """The configuration of a line with one recipe, "part"."""
    saved(tmp_path / "recipes" / "part", score=ScoreSection(smoothing_px=2.5, highest_px=333))
    path = tmp_path / "line.toml"
    path.write_text("")
    return path


def test_says_what_each_recipe_decides_by(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The report has, for every recipe, the networks and the rule of the score, not the threshold alone."""
    assert run("check", "--config", config, "--json") == 0
    report = json.loads(capsys.readouterr().out)
    recipe = report["recipes"]["part"]
    assert report["problems"] == []
    assert recipe["mapping"] == {"architecture": "mlp", "modality": "cross"}
    assert (recipe["score"]["smoothing_px"], recipe["score"]["highest_px"]) == (2.5, 333)
    assert (recipe["fail_at"], recipe["minimum_coverage"]) == (0.5, 0.5)


def test_table_ends_in_a_verdict_on_the_line(
    config: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A person reads the recipes and whether the line can run."""
    monkeypatch.setenv("COLUMNS", "120")
    assert run("check", "--config", config) == 0
    said = capsys.readouterr().out
    assert "mean of highest 333 px" in said
    assert "This line can run." in said


def test_recipe_without_threshold_keeps_the_line_from_running(
    tmp_path: Path, config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is named, and so is the command that helps."""
    saved(tmp_path / "recipes" / "undecided", threshold=None)
    assert run("check", "--config", config, "--json") == 2
    problems = json.loads(capsys.readouterr().out)["problems"]
    assert len(problems) == 1
    assert "'undecided' has no threshold" in problems[0]
    assert "calibrate" in problems[0]


@pytest.mark.parametrize(
    ("score", "words"),
    [
        (ScoreSection(), "angular product, σ 4 px, maximum"),
        (
            ScoreSection(distance="metric", aggregation="max", smoothing_px=2.5, highest_px=333),
            "metric max, σ 2.5 px, mean of highest 333 px",
        ),
        (ScoreSection(normalisation="published"), "angular product, σ 4 px, maximum, over √mean Ψ"),
    ],
)
def test_rule_of_a_score_in_words(score: ScoreSection, words: str) -> None:
    """The paper's rule and what differs from it."""
    assert score_words(score) == words
