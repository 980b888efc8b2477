"""Where the recipes lie that a command looks at, and which version of a recipe it means."""

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

if TYPE_CHECKING:
    from cmfm_worker.recipes.recipe import Recipe

Recipes = Annotated[
    Path | None,
    typer.Option("--recipes", metavar="DIR", help="Folder of the recipes.", show_default=False),
]
Config = Annotated[
    Path | None,
    typer.Option(
        "--config",
        help="Settings of the line (TOML), instead of --recipes: its [recipes] folder.",
        show_default=False,
    ),
]
Collected = Annotated[
    Path | None,
    typer.Option(
        "--collected",
        metavar="DIR",
        help="Folder of collected parts: those that people called good or bad are measured. Default: with --config its "
        "[collected] folder.",
        show_default=False,
    ),
]
Name = Annotated[str, typer.Argument(metavar="NAME", help="Name of the recipe.", show_default=False)]
NameOrVersion = Annotated[
    str,
    typer.Argument(
        metavar="NAME[@N]", help="Name of the recipe, or a version of it: bagel@3.", show_default=False
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]

_VERSION: Final = re.compile(r"(?P<name>.+)@(?P<number>\d{1,9})")


def recipes_folder(recipes: Path | None, config: Path | None) -> Path:
    """Return the folder of recipes that is meant. Raises typer.BadParameter unless exactly one option is given."""
    if recipes is not None and config is None:
        return recipes
    if recipes is not None or config is None:
        raise typer.BadParameter("give --recipes DIR or --config FILE")
    from cmfm_worker.settings.load import load_settings

    return load_settings(config).recipes.folder


def collected_folder(collected: Path | None, config: Path | None) -> Path | None:
    """Return the folder of collected parts that is meant, None if none is given."""
    if collected is not None or config is None:
        return collected
    from cmfm_worker.settings.load import load_settings

    return load_settings(config).collected.folder


def recipe_folder(recipes: Path | None, config: Path | None, name: str) -> Path:
    """Return the folder of a recipe, which need not exist. Raises InputError for an invalid name."""
    from cmfm_worker.recipes.recipe_path import recipe_path

    return recipe_path(recipes_folder(recipes, config), name)


def read(recipes: Path | None, config: Path | None, name: str) -> "tuple[Path, Recipe]":
    """Read a recipe or, as NAME@N, a version of it. Return its files' folder and the recipe. Raises InputError."""
    from cmfm_worker.recipes.recipe import read_recipe_file
    from cmfm_worker.recipes.versions import version_folder

    found = _VERSION.fullmatch(name)
    folder = recipe_folder(recipes, config, found["name"] if found else name)
    if found:
        folder = version_folder(folder, int(found["number"]))
    return folder, read_recipe_file(folder)
