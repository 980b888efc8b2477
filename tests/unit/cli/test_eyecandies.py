"""Eyecandies end to end: `fit`, `evaluate`, `inspect` and `prepare` on a miniature, with default options."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from tests.made_eyecandies import CATEGORY
from tests.unit.made.dataset import read_json, run

from cmfm_protocol.files import dataset
from cmfm_worker.cli import options
from cmfm_worker.recipes.recipe import load_recipe


def command(name: str, root: Path, *more: object) -> int:
    return run(name, "--dataset", "eyecandies", "--root", root, "--category", CATEGORY, *more)


@pytest.fixture(scope="module")
def recipe(eyecandies_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Teach a recipe with the preset `classic` and otherwise default options."""
    out = tmp_path_factory.mktemp("eyecandies-recipe") / "gummy"
    assert (
        command("fit", eyecandies_root, "--out", out, "--extractors", "classic", "--simulated-defects", 0)
        == 0
    )
    return out


def test_the_defaults_teach_and_find_every_defect(
    eyecandies_root: Path, recipe: Path, tmp_path: Path
) -> None:
    """The conveyor is separated from the candy, good candies from defective ones, and the recipe records its light."""
    taught = load_recipe(recipe).recipe
    assert taught.provenance.light == 4
    assert taught.provenance.train_parts == 4
    assert taught.coverage.nominal_median_px is not None
    assert 4000 < taught.coverage.nominal_median_px < 9000  # a dome of 13 cm in a picture of 36 cm
    assert command("evaluate", eyecandies_root, "--recipe", recipe, "--json", tmp_path / "figures.json") == 0
    figures = read_json(tmp_path / "figures.json")
    assert figures["frames"] == 7
    assert set(figures["per_defect"]) == {"bumps", "colors", "combined", "defect"}
    assert figures["i_auroc"] == 1.0
    assert figures["aupro"]["0.3"] > 0.8
    assert figures["light"] == 4
    assert figures["torn"] == figures["not_inspected"] == {}


def test_another_light_than_the_taught_one_is_reported(
    eyecandies_root: Path, recipe: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`evaluate` and `calibrate` remark on a light other than the taught one, which would explain bad figures."""
    arguments = ["--recipe", recipe, "--light", 1, "--json", tmp_path / "figures.json"]
    assert command("evaluate", eyecandies_root, *arguments) == 0
    assert "taught with light 4, these parts are read with light 1" in capsys.readouterr().err
    assert read_json(tmp_path / "figures.json")["light"] == 1
    for light, said in ((1, True), (4, False)):
        given = ["--recipe", recipe, "--light", light, "--dry-run", "--no-labelled"]
        assert command("calibrate", eyecandies_root, *given) == 0
        assert ("taught with light 4" in capsys.readouterr().err) is said


def test_recipes_of_a_whole_run_know_their_light(eyecandies_root: Path, tmp_path: Path) -> None:
    """Recipes of `evaluate --all` record their light, like those of `fit`."""
    given = ("--all", "--out", tmp_path / "out", "--light", 0, "--tables", "12", "--epochs", 1, "--no-report")
    assert command("evaluate", eyecandies_root, *given) == 0
    assert load_recipe(tmp_path / "out" / "recipes" / f"{CATEGORY}-ours").recipe.provenance.light == 0


def test_one_part_is_inspected_from_its_files(eyecandies_root: Path, recipe: Path, tmp_path: Path) -> None:
    """`inspect` finds the unit of a depth picture beside it."""
    part = eyecandies_root / CATEGORY / "test_public" / "data" / "03"
    files = ["--rgb", f"{part}_image_4.png", "--xyz", f"{part}_depth.png"]
    assert run("inspect", "--recipe", recipe, *files, "--out", tmp_path / "out") == 0
    result = read_json(tmp_path / "out" / "result.json")
    assert result["verdict"] == "FAIL"
    assert 0.4 < result["peak_xyz_m"][2] < 0.5


def test_prepared_parts_give_the_same_figures(eyecandies_root: Path, recipe: Path, tmp_path: Path) -> None:
    """Figures are the same with prepared parts from depth pictures; parts of another light are other parts."""
    cache = tmp_path / "cache"
    assert command("prepare", eyecandies_root, "--out", cache) == 0
    figures = []
    for name, more in (("a.json", []), ("b.json", ["--prepared", cache])):
        arguments = ["--recipe", recipe, "--json", tmp_path / name, *more]
        assert command("evaluate", eyecandies_root, *arguments) == 0
        found = read_json(tmp_path / name)
        assert found["prepared"] is bool(more)
        figures.append(found | {"fps": None, "prepared": None})
    assert figures[0] == figures[1]
    assert command("evaluate", eyecandies_root, "--recipe", recipe, "--light", 1, "--prepared", cache) == 2


def test_damaged_depth_stops_teaching_and_is_counted_in_a_measurement(
    eyecandies_root: Path, recipe: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`fit` stops at a damaged depth picture and names it; `evaluate` counts and names it."""
    shutil.copytree(eyecandies_root, tmp_path / "data")
    root = tmp_path / "data"
    for split in ("train", "test_public"):
        torn = root / CATEGORY / split / "data" / "01_depth.png"
        torn.write_bytes(torn.read_bytes()[:4000])
    assert command("fit", root, "--out", tmp_path / "other", "--extractors", "classic") == 2
    assert "train/data/01_depth.png is torn" in capsys.readouterr().err
    assert not (tmp_path / "other").exists()
    assert command("evaluate", root, "--recipe", recipe, "--json", tmp_path / "figures.json") == 0
    figures = read_json(tmp_path / "figures.json")
    assert list(figures["torn"]) == ["GummyBear-test-good-01"]
    assert figures["frames"] == 6


def test_light_needs_eyecandies(
    synthetic_root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """--light is refused for another data set, which has one picture a part."""
    arguments = ["--root", synthetic_root, "--category", "praline", "--out", tmp_path / "x", "--light", 2]
    assert run("fit", *arguments) == 2
    assert "--light" in capsys.readouterr().err
    assert run("fit", "--dataset", "eyecandies", *arguments) == 2
    assert "it has the layout 'mvtec3d'" in capsys.readouterr().err


def test_commands_offer_every_layout() -> None:
    """The layouts on the command line are those of the readers."""
    assert options.Layout == dataset.Layout
