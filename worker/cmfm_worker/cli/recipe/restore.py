"""`cmfm-worker recipe restore`: puts a version of a recipe back."""

from typing import Annotated

import typer

from cmfm_worker.cli import options
from cmfm_worker.cli.recipe import where


def restore(
    name: where.Name,
    version: Annotated[
        int,
        typer.Argument(
            min=1, metavar="VERSION", help="Its number, by `recipe versions`.", show_default=False
        ),
    ],
    by: options.By = None,
    why: options.Why = "",
    recipes: where.Recipes = None,
    config: where.Config = None,
    json: where.AsJson = False,
) -> None:
    """Put the files of a version back, byte for byte. This is a new version too, so it can be undone as well."""
    from cmfm_worker.cli.console import print_json, remark
    from cmfm_worker.recipes.described import identity
    from cmfm_worker.recipes.recipe import read_recipe_file
    from cmfm_worker.recipes.versions import restore as put_back
    from cmfm_worker.recipes.versions import this_user

    folder = where.recipe_folder(recipes, config, name)
    number = put_back(folder, version, by or this_user(), why)
    if json:
        facts = identity(folder, read_recipe_file(folder))
        print_json({"name": name, "version": number, "restored": version, **facts})
        return
    remark(
        f"{folder}: version {version} is in use again, as version {number}; a running line needs `load_recipe`"
    )
