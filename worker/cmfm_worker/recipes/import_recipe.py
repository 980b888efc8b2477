"""Makes a recipe of an exported one: unpacked beside the recipes, checked as the line checks it, then put in place."""

from pathlib import Path
from typing import Final

from cmfm_worker.errors import InputError
from cmfm_worker.recipes.bundle import Manifest
from cmfm_worker.recipes.cpu_limit import cpu_limit
from cmfm_worker.recipes.folder import check_target, put_recipe, scratch_beside, write_recipe_file
from cmfm_worker.recipes.import_bundle import opened, unpack
from cmfm_worker.recipes.recipe import load_recipe
from cmfm_worker.recipes.recipe_path import recipe_path
from cmfm_worker.recipes.versions import changing, this_user

READ_LIMIT_S: Final = 30.0
"""Processor time for settings and networks, the start of torch included; a recipe takes one or two seconds."""


def import_recipe(
    file: Path, folder: Path, name: str | None, *, replace: bool, by: str | None, why: str
) -> tuple[Path, Manifest]:
    """Import an exported recipe into a folder of recipes, under its own name or another. Return its folder.

    Raises InputError for a file that is not sound, a recipe of that name unless `replace`, and a full disk.
    """
    with opened(file) as (bundle, manifest):
        target = recipe_path(folder, name or manifest.name)
        check_target(target, replace=replace)
        with scratch_beside(target) as scratch:
            new = scratch / "new"
            unpack(file, bundle, manifest, new)
            _require_usable(file, new, target.name)
            note = f"imported from {file.name}, exported {manifest.exported_at}{f': {why}' if why else ''}"
            with changing(target, by or this_user(), note):
                put_recipe(new, target)
    return target, manifest


def _require_usable(file: Path, new: Path, name: str) -> None:
    """Load the recipe as the line does, and give it its name here. Raises InputError naming the exported file."""
    try:
        with cpu_limit(READ_LIMIT_S, str(file)):
            recipe = load_recipe(new).recipe
    except InputError as error:
        raise InputError(str(error).replace(f"{new}/", f"{file}: ")) from error
    if recipe.name != name:
        write_recipe_file(new, recipe.model_copy(update={"name": name}))
