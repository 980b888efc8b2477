"""Where a recipe of the line lies: a folder of recipes and a name that may come from the wire or from a person."""

from pathlib import Path

from cmfm_protocol.wire.limits import NAME_RULE
from cmfm_settings.names import is_name
from cmfm_worker.errors import InputError
from cmfm_worker.recipes.recipe import RECIPE_FILE
from cmfm_worker.recipes.sections import MAPPING_FILE


def recipe_path(folder: Path, name: str) -> Path:
    """Return the folder of a recipe that the wire or the settings name: inside `folder`, also behind symbolic links.

    Raises InputError for an invalid name, and for a recipe whose files lie outside `folder`.
    """
    if not is_name(name):
        raise InputError(f"recipe {name!r}: {NAME_RULE}")
    path = folder / name
    try:
        home = folder.resolve()
        real = [part.resolve() for part in (path, path / RECIPE_FILE, path / MAPPING_FILE)]
    except (OSError, RuntimeError) as error:  # RuntimeError: a link that points to itself
        raise InputError(f"{path}: cannot be read ({error})") from error
    if not all(part.is_relative_to(home) for part in real):
        raise InputError(f"{path}: a symbolic link leads out of {folder}; copy the recipe there instead")
    return path


def recipe_names(folder: Path) -> list[str]:
    """List the names of the recipe folders in a folder. Raises InputError if there is no such folder."""
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; recipes are loaded from it ([recipes] folder)")
    return sorted(
        path.parent.name for path in folder.glob(f"*/{RECIPE_FILE}") if not path.parent.name.startswith(".")
    )
