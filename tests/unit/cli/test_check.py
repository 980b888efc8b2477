"""`cmfm-worker check`: explains settings and recipes of a line without running it."""

import json
from pathlib import Path

import pytest
from tests.unit.made.dataset import run
from tests.unit.made.recipes import saved

from cmfm_worker.cli.check import score_words
from cmfm_worker.recipes.limits_section import LimitsSection
from cmfm_worker.recipes.sections import CalibrationSection, ScoreSection
from cmfm_worker.settings.model import Settings


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """The configuration of a line with one recipe, "part"."""
    saved(tmp_path / "recipes" / "part", score=ScoreSection(smoothing_px=2.5, highest_px=333))
    path = tmp_path / "line.toml"
    path.write_text("")
    return path


def test_report_has_the_rules_of_each_recipe(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The report has the networks, the rule of the score and the limits of every recipe."""
    assert run("check", "--config", config, "--json") == 0
    report = json.loads(capsys.readouterr().out)
    recipe = report["recipes"]["part"]
    assert report["problems"] == []
    assert recipe["mapping"] == {"architecture": "mlp", "modality": "cross"}
    assert (recipe["score"]["smoothing_px"], recipe["score"]["highest_px"]) == (2.5, 333)
    assert (recipe["fail_at"], recipe["coverage"]["minimum"]) == (0.5, 0.5)
    assert recipe["limits"]["edge_px"] is None


def test_limits_of_a_part_are_told_in_words(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A person reads each limit, which reasons are off, and how many good parts are expected outside."""
    monkeypatch.setenv("COLUMNS", "140")
    limits = LimitsSection(
        off=("unexpected_piece",),
        edge_px=7,
        filled=(0.8, 0.95),
        level=1.5,
        nominal_parts=20,
        expected_rate=0.03,
        left_out_outside=1,
    )
    saved(tmp_path / "recipes" / "part", limits=limits)
    (tmp_path / "line.toml").write_text("")
    assert run("check", "--config", tmp_path / "line.toml") == 0
    said = capsys.readouterr().out
    for text in (
        "at least 7 px",
        "80.0% to 95.0%",
        "at most 1.5",
        "unexpected_piece",
        "at most 3.0% of good parts (from 20 nominal parts; so few give wide limits; each left out in turn, 1",
    ):
        assert text in said


def test_output_ends_with_whether_the_line_can_run(
    config: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A person reads the recipes, and in the last line whether the line can run."""
    monkeypatch.setenv("COLUMNS", "120")
    assert run("check", "--config", config) == 0
    said = capsys.readouterr().out
    assert "mean of highest 333 px" in said
    assert "This line can run." in said


@pytest.mark.parametrize("broken", ["mapping", "device"])
def test_a_line_that_could_not_start_is_told_before(
    config: Path, broken: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A recipe without its networks and a device that is not there are problems here, not at the start of the line."""
    if broken == "mapping":
        (config.parent / "recipes" / "part" / "mapping.safetensors").unlink()
    else:
        monkeypatch.setenv("CMFM_DEVICE__NAME", "cuda:99")
    assert run("check", "--config", config) == 2
    said = capsys.readouterr().out
    assert "This line can run." not in said
    assert {"mapping": "mapping.safetensors", "device": "cuda:99"}[broken] in said


def test_every_key_is_explained_with_its_source(
    config: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Value, source and description of each key, in lines of at most 100 columns, also through a pipe."""
    monkeypatch.setenv("CMFM_BATCH__MAX_BATCH", "8")
    monkeypatch.setenv("COLUMNS", "40")
    config.write_text("[batch]\nmax_wait_ms = 7.5\n")
    assert run("check", "--config", config) == 0
    settings, _, _ = capsys.readouterr().out.partition("recipes\n")
    lines = settings.splitlines()
    for line, description in (
        (
            "batch.max_batch = 8  (environment variable CMFM_BATCH__MAX_BATCH)",
            "Frames computed together, at most.",
        ),
        ("batch.max_wait_ms = 7.5  (file)", "Milliseconds that a frame may wait"),
        ('line.name = "line1"  (default)', "Name of the line, part of every topic"),
        ("sockets.insecure = false  (default)", "may be bound off this host without [curve]"),
    ):
        assert description in lines[lines.index(line) + 1]
    assert max(len(line) for line in lines if " = " not in line and str(config) not in line) <= 101
    keys = [line.split(" = ")[0] for line in lines if line and line[0] not in " [" and " = " in line]
    assert keys == [
        f"{s}.{k}" for s in Settings.model_fields for k in type(getattr(Settings(), s)).model_fields
    ]


def test_json_has_the_same_for_programs(
    config: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It maps section and key to value, source and description."""
    monkeypatch.setenv("CMFM_BATCH__MAX_BATCH", "8")
    assert run("check", "--config", config, "--json") == 0
    settings = json.loads(capsys.readouterr().out)["settings"]
    assert settings["batch"]["max_batch"] == {
        "value": 8,
        "source": "environment variable CMFM_BATCH__MAX_BATCH",
        "description": "Frames computed together, at most.",
    }
    assert settings["recipes"]["folder"]["value"] == str(config.parent / "recipes")
    assert settings["kept"]["which"]["source"] == "default"


def test_long_lists_have_a_line_an_entry(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Nine cameras stay readable, and the printed value is TOML."""
    cameras = [f"tcp://camera-{number}.example.org:5555" for number in range(9)]
    config.write_text(f"[sockets]\nframes = {json.dumps(cameras)}\n")
    assert run("check", "--config", config) == 0
    shown = capsys.readouterr().out
    assert "\n".join(f'    "{camera}",' for camera in cameras) in shown
    assert "]  (file)" in shown


def test_calibration_of_a_recipe_is_shown(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A person can compare the calibration of a recipe with the camera's."""
    saved(config.parent / "recipes" / "other", calibration=CalibrationSection(id="cal-7"))
    assert run("check", "--config", config, "--json") == 0
    recipes = json.loads(capsys.readouterr().out)["recipes"]
    assert (recipes["other"]["calib_id"], recipes["part"]["calib_id"]) == ("cal-7", "")


def test_recipe_without_threshold_keeps_the_line_from_running(
    tmp_path: Path, config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The message names the recipe and the command that sets a threshold."""
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
    """The words name the paper's rule and what differs from it."""
    assert score_words(score) == words


def test_frames_of_before_are_not_used_beside_named_cameras(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The table shows the default of sockets.frames; a remark says that nobody connects there."""
    for text, said in (("", False), ('[cameras]\nleft = "tcp://127.0.0.1:5600"\n', True)):
        config.write_text(text)
        assert run("check", "--config", config) == 0
        assert ("sockets.frames is not used" in capsys.readouterr().out) is said
