"""`cmfm-worker recipe import`: takes over a recipe that another line has exported."""

from pathlib import Path
from typing import Annotated

import typer

from cmfm_worker.cli import options
from cmfm_worker.cli.recipe import where


def import_(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="A file that `recipe export` wrote.", show_default=False)
    ],
    name: Annotated[
        str | None,
        typer.Option(help="Name of the recipe here. Default: the one it had.", show_default=False),
    ] = None,
    force: options.Force = False,
    by: options.By = None,
    why: options.Why = "",
    recipes: where.Recipes = None,
    config: where.Config = None,
    json: where.AsJson = False,
) -> None:
    """Take over an exported recipe. It appears complete, or not at all; one that it replaces is kept as a version.

    Names, sizes, hashes, settings and networks are checked first; nothing in the file is executed.
    """
    from cmfm_records.recipe_versions import read_versions
    from cmfm_worker.cli.console import print_json, remark
    from cmfm_worker.recipes.described import identity
    from cmfm_worker.recipes.import_recipe import import_recipe
    from cmfm_worker.recipes.recipe import read_recipe_file

    folder = where.recipes_folder(recipes, config)
    target, manifest = import_recipe(file, folder, name, replace=force, by=by, why=why)
    recipe = read_recipe_file(target)
    number = read_versions(target)[-1].version
    if json:
        facts = {"name": target.name, "version": number, **identity(target, recipe)}
        print_json({**facts, "exported_at": manifest.exported_at, "history": list(manifest.versions)})
        return
    remark(f"{target}: recipe {target.name!r}, version {number}; a running line needs `load_recipe`")
    if recipe.extractor.preset == "paper":
        remark("it needs the published extractor weights here, too: see `cmfm-worker weights list`")
