"""Taught recipes that are not in use yet: `<recipes>/.taught/<name>/`, which a line does not load.

`put_in_use` copies one into the folder of recipes; the recipe before is kept as a version.
"""

import fcntl
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from cmfm_records.recipe_versions import read_versions
from cmfm_worker.errors import InputError
from cmfm_worker.recipes.folder import put_recipe
from cmfm_worker.recipes.recipe import RECIPE_FILE
from cmfm_worker.recipes.recipe_path import recipe_path
from cmfm_worker.recipes.versions import changing, require_sound

TAUGHT_FOLDER: Final = ".taught"

LEAST_FREE_MIB: Final = 32
"""Free space with which teaching begins: a recipe with its report takes a few MiB, and its version as much."""

_HALF_WRITTEN: Final = re.compile(r"\.[a-z0-9_]{8}$")
"""End of the name that `tempfile` gives the folder in which `save_recipe` writes."""


def taught_folder(recipes: Path, name: str) -> Path:
    """Return the folder of a taught recipe, which need not exist. Raises InputError for an invalid name."""
    recipe_path(recipes, name)
    return recipes / TAUGHT_FOLDER / name


@contextmanager
def teaching(recipes: Path, name: str) -> Iterator[Path]:
    """Yield the folder that the recipe is to be written to. What a killed teaching left half written is removed first.

    Raises InputError if the recipe is being taught already, the folder cannot be written, or its disk is nearly full:
    that is better known before minutes of teaching.
    """
    with _held(recipes, name) as target:
        _require_room(target.parent)
        yield target


@contextmanager
def _held(recipes: Path, name: str) -> Iterator[Path]:
    """Yield the folder of the taught recipe while no other process writes it. Raises InputError."""
    target = taught_folder(recipes, name)
    lock = target.with_name(f".{name}.lock")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        held = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise InputError(f"{target.parent}: cannot be written ({error.strerror or error})") from error
    try:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InputError(f"{name}: is being taught by another process; wait for it, or end it") from None
        for half in target.parent.iterdir():
            if _HALF_WRITTEN.sub("", half.name) == f".{name}" and half.is_dir():
                shutil.rmtree(half, ignore_errors=True)
        yield target
    finally:
        os.close(held)


def put_in_use(recipes: Path, name: str, by: str, why: str) -> int:
    """Copy a taught recipe into the folder of recipes, and return the number of its version there.

    Raises InputError if none was taught or it is being taught, its files do not fit together, or cannot be written.
    """
    target = recipe_path(recipes, name)
    if not (taught_folder(recipes, name) / RECIPE_FILE).is_file():
        raise InputError(f"{name}: has not been taught; `cmfm-worker teach --from-collected` teaches it")
    with _held(recipes, name) as source:  # nobody teaches it again while it is copied
        require_sound(source)
        with changing(target, by, why):
            put_recipe(source, target)
    return read_versions(target)[-1].version


def _require_room(folder: Path) -> None:
    free_mib = shutil.disk_usage(folder).free >> 20
    if free_mib < LEAST_FREE_MIB:
        raise InputError(
            f"{folder}: its disk has {free_mib} MiB free; {LEAST_FREE_MIB} are needed to write a recipe"
        )
