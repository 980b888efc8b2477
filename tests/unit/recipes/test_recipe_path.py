"""Recipe names: a name never leads out of [recipes] folder."""

from pathlib import Path

import pytest
import torch
from pydantic import ValidationError
from tests.unit.made.recipes import ColourAndPlace, saved

from cmfm_worker.errors import InputError
from cmfm_worker.inspection.inspector import Inspector
from cmfm_worker.recipes.recipe_path import recipe_path
from cmfm_worker.recipes.registry import RecipeRegistry
from cmfm_worker.recipes.sections import ExtractorSection
from cmfm_worker.settings.sections.compute import RecipesSection


@pytest.fixture
def recipes(tmp_path: Path) -> Path:
    """A folder with the recipe `part`. Beside the folder lies a recipe `outside`."""
    saved(tmp_path / "recipes" / "part")
    saved(tmp_path / "outside")
    return tmp_path / "recipes"


@pytest.fixture
def registry(recipes: Path) -> RecipeRegistry[Inspector]:
    """A registry of that folder."""
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
def test_invalid_name_opens_nothing(registry: RecipeRegistry[Inspector], name: str) -> None:
    """Dots at an end, slashes, absolute paths and the like are refused before any file is opened."""
    with pytest.raises(InputError, match="a name has 1 to 64"):
        registry.load(name)
    assert registry.names == []


def test_absolute_path_of_a_recipe_is_refused(registry: RecipeRegistry[Inspector], recipes: Path) -> None:
    """It is refused even if a valid recipe lies there."""
    with pytest.raises(InputError, match="a name has 1 to 64"):
        registry.load(str(recipes / "part"))


@pytest.mark.parametrize("link", ["part2", "recipe.toml", "mapping.safetensors"])
def test_link_out_of_the_folder_is_refused(
    registry: RecipeRegistry[Inspector], recipes: Path, link: str
) -> None:
    """A recipe or a file of it that is a symbolic link to the outside is not read."""
    outside = recipes.parent / "outside"
    if link == "part2":
        (recipes / link).symlink_to(outside)
    else:
        saved(recipes / "part2")
        (recipes / "part2" / link).unlink()
        (recipes / "part2" / link).symlink_to(outside / link)
    with pytest.raises(InputError, match="leads out of"):
        registry.load("part2")
    assert registry.names == []


def test_link_within_the_folder_is_a_second_name(registry: RecipeRegistry[Inspector], recipes: Path) -> None:
    """A product can be switched by hand with a link `current` → `part`."""
    (recipes / "current").symlink_to("part")
    assert registry.load("current").sha == registry.load("part").sha


def test_folder_itself_may_be_a_link(recipes: Path) -> None:
    """[recipes] folder itself may be a symbolic link: the administrator chose it."""
    (recipes.parent / "linked").symlink_to(recipes)
    assert recipe_path(recipes.parent / "linked", "part").is_dir()


def test_link_to_itself_is_reported(registry: RecipeRegistry[Inspector], recipes: Path) -> None:
    """It is an input error that names the link, not a traceback."""
    (recipes / "loop").symlink_to("loop")
    with pytest.raises(InputError, match="loop"):
        registry.load("loop")


@pytest.mark.parametrize("name", ["../w.pth", "/w.pth", "..", ""])
def test_weights_are_named_not_located(name: str) -> None:
    """A recipe names files in the folder of weights; a recipe with a path there is refused."""
    section = {"preset": "paper", "version": "1", "sha256": {name: "0" * 64}}
    with pytest.raises(ValidationError, match="sha256"):
        ExtractorSection.model_validate(section)
