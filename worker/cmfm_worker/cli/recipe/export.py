"""`cmfm-worker recipe export`: writes a recipe to one file."""

from pathlib import Path
from typing import Annotated

import typer

from cmfm_worker.cli.recipe import where


def export(
    name: where.NameOrVersion,
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="The file to write (zip).", show_default=False)
    ],
    force: Annotated[bool, typer.Option("--force", help="Replace an existing file.")] = False,
    recipes: where.Recipes = None,
    config: where.Config = None,
    json: where.AsJson = False,
) -> None:
    """Write a recipe, or a version of it, to one file: settings, networks, report, hashes, and the list of versions.

    The weights of the preset `paper` are not in it; the other line needs its own.
    """
    from cmfm_protocol.files.outputs import require_writable_files
    from cmfm_records.recipe_versions import read_versions
    from cmfm_worker.cli.console import print_json, remark
    from cmfm_worker.errors import InputError
    from cmfm_worker.recipes.bundle import export_recipe
    from cmfm_worker.recipes.described import identity

    folder, recipe = where.read(recipes, config, name)
    if file.exists() and not force:
        raise InputError(f"{file}: exists; give --force to replace it")
    require_writable_files(file)
    plain = name.partition("@")[0]
    history = read_versions(where.recipe_folder(recipes, config, plain))
    manifest = export_recipe(folder, plain, history, file)
    if json:
        size = file.stat().st_size
        print_json({"name": plain, "file": str(file), "bytes": size, **identity(folder, recipe)})
        return
    remark(f"{file}: recipe {name} with {len(manifest.files)} files, {file.stat().st_size / 1e3:.0f} kB")
