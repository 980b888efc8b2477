"""The second half of `cmfm-worker teach --use`: puts a taught recipe in place and has the line load it."""

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from cmfm_client.errors import RefusedError
from cmfm_records.recipe_versions import read_versions
from cmfm_worker.cli.console import remark
from cmfm_worker.cli.control_client import control_client
from cmfm_worker.cli.json_lines import print_line
from cmfm_worker.errors import InputError
from cmfm_worker.recipes.recipe_path import recipe_path
from cmfm_worker.recipes.taught import put_in_use
from cmfm_worker.recipes.versions import restore

if TYPE_CHECKING:
    from cmfm_worker.settings.model import Settings


def use_taught(
    settings: "Settings",
    name: str,
    who: str,
    why: str,
    key: Path | None,
    server_key: Path | None,
    *,
    as_json: bool,
) -> None:
    """Put a taught recipe in use and say so. If the line refuses it, the recipe of before is put back.

    Raises InputError. Nothing has changed then, unless the line went away meanwhile: it loads the recipe at its start.
    """
    with control_client(settings, key, server_key) as line:
        line.status()  # raises, before anything changes, if nobody is there
        number = put_in_use(settings.recipes.folder, name, who, why)
        try:
            line.load_recipe(name)
        except RefusedError as error:
            _put_back(recipe_path(settings.recipes.folder, name), number, who)
            raise InputError(
                f"{name}: the line refuses the recipe, and the one before is back: {error}"
            ) from error
    if as_json:
        print_line("used", recipe=name, version=number)
    else:
        typer.echo(f"recipe {name} is in use, as version {number}")
    if settings.recipes.names and name not in settings.recipes.names:
        remark(
            f"[recipes] names in line.toml does not list {name}; add it, or the line starts without it next time"
        )


def _put_back(folder: Path, number: int, who: str) -> None:
    """Undo `put_in_use`: restore the version before `number`, or remove a recipe that had none."""
    before = [
        version.version for version in read_versions(folder) if version.version < number and version.kept
    ]
    if before:
        restore(folder, before[-1], who, f"the line refused version {number}")
    else:
        shutil.rmtree(folder)
