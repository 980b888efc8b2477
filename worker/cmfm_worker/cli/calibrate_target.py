"""Chooses the folder that `calibrate` writes to, and writes the recipe there."""

from pathlib import Path
from typing import TYPE_CHECKING

from cmfm_worker.errors import InputError

if TYPE_CHECKING:
    from cmfm_worker.recipes.folder import WriteReport
    from cmfm_worker.recipes.recipe import LoadedRecipe, Recipe


def choose_target(loaded: "LoadedRecipe", out: Path | None, *, force: bool) -> Path:
    """Return the folder to write to. Raises InputError, before long work, if it would be refused."""
    from cmfm_protocol.files.outputs import require_writable_folder
    from cmfm_worker.recipes.folder import check_target, recipe_name

    if out is not None and out.resolve() != loaded.folder.resolve():
        recipe_name(out)
        check_target(out, replace=force)
        return out
    if not force:
        raise InputError(
            f"{loaded.folder}: its limits would be replaced; give --force, or --out FOLDER for a new recipe, "
            "or --dry-run to write nothing"
        )
    require_writable_folder(loaded.folder.resolve().parent)
    return loaded.folder


def write(
    loaded: "LoadedRecipe", recipe: "Recipe", target: Path, report: "WriteReport", by: str | None, why: str
) -> str:
    """Write the recipe and its report in place or to a new folder, as a version by `by` (None: this user).

    Returns the sha256 of its recipe.toml. Raises InputError.
    """
    from cmfm_worker.recipes.folder import copy_recipe, recipe_name, replace_recipe_file
    from cmfm_worker.recipes.versions import changing, this_user

    with changing(target, by or this_user(), why or "calibrated"):
        if target == loaded.folder:
            return replace_recipe_file(loaded.folder, loaded.recipe_sha, recipe, report)
        named = recipe.model_copy(update={"name": recipe_name(target)})
        return copy_recipe(loaded, named, target, replace=True, report=report)
