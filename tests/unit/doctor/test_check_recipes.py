"""The check of the recipes: hashes, thresholds, limits, precision, and what the running worker has loaded."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.unit.made.examined import outcomes, said, settings, sound_recipe, visit
from tests.unit.made.line_messages import worker_state
from tests.unit.made.verdicts import result

from cmfm_worker.cfm.lite.weights import FILE, SHA256
from cmfm_worker.doctor.check_recipes import check_recipes, recipe_findings
from cmfm_worker.doctor.check_speed import check_speed
from cmfm_worker.doctor.findings import Outcome
from cmfm_worker.doctor.visit import RunningWorker
from cmfm_worker.line.records.ledger.writer import Ledger
from cmfm_worker.recipes.limits_section import LimitsSection
from cmfm_worker.recipes.recipe import load_recipe
from cmfm_worker.recipes.sections import ExtractorSection


def test_sound_recipe_is_one_good_line(tmp_path: Path) -> None:
    """It names the recipe, its threshold and its model."""
    sound_recipe(tmp_path)
    (finding,) = check_recipes(visit(tmp_path))
    assert finding.outcome is Outcome.GOOD
    assert "part: classic, FAIL at 0.5000" in finding.seen


def test_mapping_with_another_hash_is_to_do(tmp_path: Path) -> None:
    """One changed byte of the networks' file."""
    sound_recipe(tmp_path)
    path = tmp_path / "recipes" / "part" / "mapping.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    found = check_recipes(visit(tmp_path))
    assert outcomes(found) == [Outcome.TO_DO]
    assert "sha256" in found[0].seen
    assert "restore" in found[0].do


@pytest.mark.parametrize(
    ("changes", "words"),
    [({"threshold": None}, "no threshold"), ({"limits": LimitsSection()}, "no limits")],
)
def test_recipe_that_cannot_decide_is_to_do(tmp_path: Path, changes: dict[str, Any], words: str) -> None:
    """Without threshold nothing is decided, without limits too much passes."""
    sound_recipe(tmp_path, **changes)
    found = check_recipes(visit(tmp_path))
    assert words in said(found, Outcome.TO_DO)
    assert "calibrate" in found[0].do


def test_no_recipe_and_no_folder_are_to_do(tmp_path: Path) -> None:
    """A line without recipes refuses every part."""
    assert "no such folder" in said(check_recipes(visit(tmp_path)), Outcome.TO_DO)
    (tmp_path / "recipes").mkdir()
    assert "no recipes" in said(check_recipes(visit(tmp_path)), Outcome.TO_DO)


def test_line_that_may_be_empty_awaits_its_first_recipe(tmp_path: Path) -> None:
    """With and without the folder; the remark says how it is taught, and the speed is not checked."""
    empty = {"folder": tmp_path / "recipes", "may_be_empty": True}
    line = visit(tmp_path, settings=settings(tmp_path, recipes=empty))
    for _ in range(2):
        assert "cmfm-worker collect" in said(check_recipes(line), Outcome.NOTE)
        assert outcomes(check_speed(line)) == [Outcome.NOT_CHECKED]
        (tmp_path / "recipes").mkdir(exist_ok=True)


def lite(sha256: str) -> ExtractorSection:
    return ExtractorSection(preset="lite", version="1", sha256={FILE: sha256})


def test_weights_of_another_hash_are_to_do(tmp_path: Path) -> None:
    """The installed weights of lite are those of the recipe, or the line says so."""
    sound_recipe(tmp_path, "as-published", extractor=lite(SHA256))
    sound_recipe(tmp_path, "other", extractor=lite("0" * 64))
    assert outcomes(recipe_findings("as-published", settings(tmp_path), "fp32")) == [Outcome.GOOD]
    assert FILE in said(recipe_findings("other", settings(tmp_path), "fp32"), Outcome.TO_DO)


def test_missing_weights_of_paper_are_to_do(tmp_path: Path) -> None:
    """The folder of the weights lacks the files."""
    section = ExtractorSection(
        preset="paper", version="1", image="vit_base_patch8_224.dino", sha256={"dino.pth": "1" * 64}
    )
    sound_recipe(tmp_path, extractor=section)
    found = recipe_findings("part", settings(tmp_path, weights={"folder": tmp_path}), "fp32")
    assert "no dino weights" in said(found, Outcome.TO_DO)


def test_threshold_of_another_precision_is_to_do(tmp_path: Path) -> None:
    """Scores in bf16 differ from those in fp32, with which the threshold was set."""
    sound_recipe(tmp_path, extractor=lite(SHA256))
    found = recipe_findings("part", settings(tmp_path), "bf16")
    assert 'precision = "fp32"' in said(found, Outcome.TO_DO)


def test_default_that_is_no_recipe_is_to_do(tmp_path: Path) -> None:
    """Frames without a recipe name would be FAULTs."""
    sound_recipe(tmp_path)
    given = settings(tmp_path, recipes={"folder": tmp_path / "recipes", "default": "bagel"})
    found = check_recipes(visit(tmp_path, settings=given))
    assert "recipes.default = 'bagel'" in said(found, Outcome.TO_DO)


def test_what_the_running_worker_decides_by_is_compared(tmp_path: Path) -> None:
    """A recipe that it has not loaded, and one whose file has changed since."""
    sound_recipe(tmp_path, "loaded")
    sound_recipe(tmp_path, "new")
    ledger = Ledger(tmp_path / "ledger.sqlite", flush_ms=10)
    sha = load_recipe(tmp_path / "recipes" / "loaded").recipe_sha
    ledger.append(result(1, boot_id="boot", recipe="loaded"), recipe_sha=sha)
    ledger.close()
    state = replace(worker_state({}), recipes=("loaded",))
    running = visit(tmp_path, worker=RunningWorker(None, state))
    assert said(check_recipes(running), Outcome.TO_DO).startswith("new: the running worker has not loaded it")
    path = tmp_path / "recipes" / "loaded" / "recipe.toml"
    path.write_text(path.read_text() + "# changed\n")
    assert "loaded: recipe.toml has changed" in said(check_recipes(running), Outcome.TO_DO)
