"""Recipes as data: what the page reads of them, whatever lies in the folder."""

import json
from pathlib import Path
from typing import Any

import pytest
from tests.unit.made.recipes import saved

from cmfm_hmi.recipes.compare import differences
from cmfm_hmi.recipes.files import read_recipe, read_recipes, read_version, recipe_names
from cmfm_settings.errors import InputError
from cmfm_worker.recipes.folder import replace_recipe_file
from cmfm_worker.recipes.recipe import load_recipe
from cmfm_worker.recipes.sections import CoverageSection, ThresholdSection
from cmfm_worker.recipes.versions import changing


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the recipe bagel: three nominal parts of validation, two of training, four of coverage."""
    threshold = ThresholdSection(
        fail_at=0.5,
        grey_from=0.4,
        validation_parts=3,
        validation_scores=(0.3, 0.1, 0.2),
        out_of_fold_scores=(0.25, 0.05),
    )
    coverage = CoverageSection(nominal_median_px=1000, nominal=(1.0, 0.9, 1.1, 1.0))
    saved(tmp_path / "bagel", name="bagel", threshold=threshold, coverage=coverage)
    return tmp_path


def change_threshold(folder: Path, fail_at: float, by: str) -> None:
    """Change the threshold as the worker's commands do: the recipe before and after are versions."""
    loaded = load_recipe(folder)
    assert loaded.recipe.threshold is not None
    threshold = loaded.recipe.threshold.model_copy(update={"fail_at": fail_at})
    with changing(folder, by, "too many rejects"):
        replace_recipe_file(
            folder, loaded.recipe_sha, loaded.recipe.model_copy(update={"threshold": threshold})
        )


def test_the_page_reads_what_the_worker_wrote(folder: Path) -> None:
    """Threshold, nominal parts and identity are those of the worker's own reader."""
    recipe, loaded = read_recipe(folder, "bagel"), load_recipe(folder / "bagel")
    assert (recipe.fail_at, recipe.grey_from) == (0.5, 0.4)
    assert recipe.nominal_scores == (0.05, 0.1, 0.2, 0.25, 0.3)
    assert recipe.nominal_coverage == (0.9, 1.0, 1.0, 1.1)
    assert recipe.recipe_sha == loaded.recipe_sha
    assert (recipe.versions, recipe.current) == ((), None)
    assert recipe.drift_limit == loaded.recipe.drift.limit == 0.25
    path = folder / "bagel" / "recipe.toml"
    path.write_text(path.read_text().replace("limit = 0.25", "limit = 0.5"))
    assert read_recipe(folder, "bagel").drift_limit == load_recipe(folder / "bagel").recipe.drift.limit == 0.5


def test_versions_name_who_and_why(folder: Path) -> None:
    """Two changes are three versions; the newest is in use, and its networks are known without the worker."""
    change_threshold(folder / "bagel", 0.6, "mia")
    change_threshold(folder / "bagel", 0.7, "tom")
    recipe = read_recipe(folder, "bagel")
    assert [(each.version, each.by, each.fail_at) for each in recipe.versions][1:] == [
        (2, "mia", 0.6),
        (3, "tom", 0.7),
    ]
    assert recipe.current is not None
    assert (recipe.current.version, recipe.current.why) == (3, "too many rejects")
    assert recipe.models == (load_recipe(folder / "bagel").model_sha,)
    assert read_version(folder, "bagel", 1).fail_at == 0.5
    with (folder / "bagel" / "recipe.toml").open("a") as file:
        file.write("# by hand\n")
    assert read_recipe(folder, "bagel").current is None


def test_torn_and_foreign_lines_are_no_versions(folder: Path) -> None:
    """A killed writer, or a later format, costs its own line and no other."""
    change_threshold(folder / "bagel", 0.6, "mia")
    path = folder / ".versions" / "bagel" / "versions.jsonl"
    odd: list[Any] = [[], {"version": "4"}, {"version": -1}, None, {"version": 9}]
    path.write_bytes(
        path.read_bytes() + "\n".join(map(json.dumps, odd)).encode() + b'\n{"version": 5, "at"' + b"\xff\n"
    )
    assert [each.version for each in read_recipe(folder, "bagel").versions] == [1, 2]


@pytest.mark.parametrize("name", ["..", "../other", "a/b", "", ".versions", "x" * 65, "a\x00b", "bagel "])
def test_a_name_leads_nowhere_else(folder: Path, name: str) -> None:
    """Names come from the address bar."""
    with pytest.raises(InputError, match="not a recipe's name"):
        read_recipe(folder, name)
    with pytest.raises(InputError, match="not a recipe's name"):
        read_version(folder, name, 1)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"name = [", "cannot be read as TOML"),
        (b"\xff\xfe", "cannot be read as TOML"),
        (b"a = " + b"[" * 5000, "cannot be read as TOML"),
        (b"#" * (16 * 2**20 + 1), "larger than 16 MB"),
    ],
)
def test_a_broken_recipe_is_a_sentence_in_the_list(folder: Path, content: bytes, problem: str) -> None:
    """The others are listed all the same."""
    (folder / "broken").mkdir()
    (folder / "broken" / "recipe.toml").write_bytes(content)
    (folder / "notes").mkdir()
    (folder / "report.txt").touch()
    assert recipe_names(folder) == ["bagel", "broken"]
    good, broken = read_recipes(folder)
    assert good.problem == ""
    assert problem in broken.problem


@pytest.mark.parametrize(
    "threshold",
    ["threshold = 3", "[threshold]", '[threshold]\nfail_at = "much"', "[threshold]\nfail_at = nan"],
)
def test_a_recipe_of_other_content_has_no_figures(folder: Path, threshold: str) -> None:
    """A file that is TOML but no recipe shows nothing, and fails no page."""
    (folder / "odd").mkdir()
    (folder / "odd" / "recipe.toml").write_text(f'coverage = "all"\n{threshold}\n')
    recipe = read_recipe(folder, "odd")
    assert (recipe.fail_at, recipe.nominal_scores, recipe.nominal_coverage) == (None, (), ())


def test_differences_are_named_key_by_key() -> None:
    """Equal keys are left out, long lists are named by their length, close numbers by all their digits."""
    first = {
        "name": "a",
        "threshold": {"fail_at": 0.5, "scores": [0.1] * 9},
        "off": [],
        "by": "",
        "score": {"x": 0.1234567},
    }
    second = {
        "name": "a",
        "threshold": {"fail_at": 0.75, "scores": [0.2] * 9},
        "new": True,
        "score": {"x": 0.1234568},
    }
    found = [(each.key, each.first, each.second) for each in differences(first, second)]
    assert found == [
        ("threshold.fail_at", "0.5", "0.75"),
        ("threshold.scores", "[9]", "[9]"),
        ("off", "[]", ""),
        ("by", '""', ""),
        ("score.x", "0.1234567", "0.1234568"),
        ("new", "", "true"),
    ]
