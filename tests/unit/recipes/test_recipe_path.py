"""A recipe's name is no path: only what lies under [recipes] folder is ever opened."""

from pathlib import Path

import pytest
import torch
from pydantic import ValidationError
from tests.unit.made.recipes import ColourAndPlace, saved

from cmfm_worker.errors import InputError
from cmfm_worker.inspection.inspector import Inspector
from cmfm_worker.recipes.registry import RecipeRegistry, recipe_path
from cmfm_worker.recipes.sections import ExtractorSection
from cmfm_worker.settings.sections.compute import RecipesSection


@pytest.fixture
def recipes(tmp_path: Path) -> Path:
    """A folder with the recipe `part`, beside a whole recipe `outside` that is none of this line's."""
    saved(tmp_path / "recipes" / "part")
    saved(tmp_path / "outside")
    return tmp_path / "recipes"


@pytest.fixture
def line(recipes: Path) -> RecipeRegistry[Inspector]:
    """A shelf over that folder."""
    return RecipeRegistry(
        RecipesSection(folder=recipes),
        make_inspector=lambda _: Inspector(ColourAndPlace()),
        device=torch.device("cpu"),
    )


@pytest.mark.parametrize(
    "name",
    [
        "",
        ".",
        "..",
        "...",
        "part.",
        ".part",
        "../outside",
        "part/../../outside",
        "part/",
        "/etc",
        "a\\b",
        "part\x00",
        "x" * 65,
        "ä",
    ],
)
def test_what_is_no_name_opens_nothing(line: RecipeRegistry[Inspector], name: str) -> None:
    """Dots, slashes, absolute paths and the like are refused before anything is looked for."""
    with pytest.raises(InputError, match="a name has 1 to 64"):
        line.load(name)
    assert line.names == []


def test_absolute_path_of_a_recipe_is_refused(line: RecipeRegistry[Inspector], recipes: Path) -> None:
    """Not even where a good recipe lies there."""
    with pytest.raises(InputError, match="a name has 1 to 64"):
        line.load(str(recipes / "part"))


@pytest.mark.parametrize("link", ["part2", "recipe.toml", "mapping.safetensors"])
def test_link_out_of_the_folder_is_refused(line: RecipeRegistry[Inspector], recipes: Path, link: str) -> None:
    """A recipe, or one of its files, that is a symbolic link to elsewhere is not read."""
    outside = recipes.parent / "outside"
    if link == "part2":
        (recipes / link).symlink_to(outside)
    else:
        saved(recipes / "part2")
        (recipes / "part2" / link).unlink()
        (recipes / "part2" / link).symlink_to(outside / link)
    with pytest.raises(InputError, match="leads out of"):
        line.load("part2")
    assert line.names == []


def test_link_within_the_folder_is_a_second_name(line: RecipeRegistry[Inspector], recipes: Path) -> None:
    """`current` → `part` is how a product is switched by hand."""
    (recipes / "current").symlink_to("part")
    assert line.load("current").sha == line.load("part").sha


def test_folder_itself_may_be_a_link(recipes: Path) -> None:
    """[recipes] folder is the administrator's word."""
    (recipes.parent / "linked").symlink_to(recipes)
    assert recipe_path(recipes.parent / "linked", "part").is_dir()


def test_link_to_itself_is_told(line: RecipeRegistry[Inspector], recipes: Path) -> None:
    """An error of its own, no traceback."""
    (recipes / "loop").symlink_to("loop")
    with pytest.raises(InputError, match="loop"):
        line.load("loop")


@pytest.mark.parametrize("name", ["../w.pth", "/w.pth", "..", ""])
def test_weights_are_named_not_located(name: str) -> None:
    """A recipe names weights files in the folder of weights; a path in it is a wrong recipe."""
    section = {"preset": "paper", "version": "1", "sha256": {name: "0" * 64}}
    with pytest.raises(ValidationError, match="sha256"):
        ExtractorSection.model_validate(section)
