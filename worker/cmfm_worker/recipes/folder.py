"""Writes recipe folders. A folder appears complete or not at all, and never replaces anything but a recipe.

New limits replace only `recipe.toml`, in one rename; the mapping beside it stays the same file. Beside the two files a
recipe may have a folder `report`, for people: how its threshold came about.
"""

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from cmfm_protocol.files.outputs import require_writable_folder
from cmfm_protocol.wire.limits import NAME_RULE
from cmfm_records.copying import copy_folder
from cmfm_settings.names import is_name
from cmfm_worker.errors import InputError
from cmfm_worker.recipes.commented_toml import commented_toml
from cmfm_worker.recipes.exchange import exchange
from cmfm_worker.recipes.file_hash import sha256_of
from cmfm_worker.recipes.recipe import RECIPE_FILE, LoadedRecipe, Recipe, RecipeDraft
from cmfm_worker.recipes.sections import MAPPING_FILE, MappingSection

if TYPE_CHECKING:
    from cmfm_worker.cfm.mapping.pair import MappingPair

REPORT_FOLDER: Final = "report"
"""Name of the folder beside `recipe.toml` that tells people about the threshold. The line does not read it."""

WriteReport = Callable[[Path], None]
"""Writes a report into an empty folder. May raise OSError."""

_OWN_FILES = frozenset({RECIPE_FILE, MAPPING_FILE})
REPORT_ENDINGS: Final = frozenset({".html", ".json", ".png"})
_READABLE_BY_ALL = 0o755  # temporary folders are private, but the line often runs as another user
_FILE_READABLE_BY_ALL = 0o644


def recipe_name(folder: Path) -> str:
    """Return the recipe's name, which is its folder's. Raises InputError if frame headers cannot carry it."""
    name = folder.resolve().name
    if not is_name(name):
        raise InputError(f"{folder}: a recipe has the name of its folder, and {NAME_RULE}")
    return name


def check_target(folder: Path, *, replace: bool) -> None:
    """Raise InputError or OutputError if `save_recipe` would refuse `folder`; call it before long work."""
    if not folder.exists():
        require_writable_folder(folder)
        return
    if not folder.is_dir():
        raise InputError(f"{folder}: is a file; a recipe is a folder")
    require_writable_folder(folder.parent)
    if not any(folder.iterdir()):
        return
    if foreign := sorted(_foreign(folder)):
        raise InputError(
            f"{folder}: holds files that do not belong to a recipe ({', '.join(foreign[:3])}); nothing changed"
        )
    if not replace:
        raise InputError(f"{folder}: holds a recipe already; give --force to replace it")


def _foreign(folder: Path) -> Iterator[str]:
    """Yield the names of files that do not belong to a recipe."""
    for entry in folder.iterdir():
        if entry.name == REPORT_FOLDER and entry.is_dir():
            for inside in entry.iterdir():
                if inside.suffix not in REPORT_ENDINGS or not inside.is_file():
                    yield f"{REPORT_FOLDER}/{inside.name}"
        elif entry.name not in _OWN_FILES:
            yield entry.name


def save_recipe(
    folder: Path,
    draft: RecipeDraft,
    mapping: "MappingPair",
    *,
    replace: bool = False,
    report: WriteReport | None = None,
) -> LoadedRecipe:
    """Write `draft`, `mapping` and the report to `folder`, which appears complete.

    Raises InputError if the folder holds anything else, or a recipe while `replace` is False, or if the disk is full.
    """
    check_target(folder, replace=replace)
    with scratch_beside(folder) as scratch:
        recipe = _write(scratch / "new", draft, mapping)
        _write_report(scratch / "new", report)
        _swap(scratch / "new", folder, scratch / "old")
    return LoadedRecipe(recipe, mapping, recipe.model_sha, folder)


def replace_recipe_file(
    folder: Path, recipe_sha: str, recipe: Recipe, report: WriteReport | None = None
) -> str:
    """Replace `recipe.toml` in `folder` by `recipe` in one rename, then the report. Return the new file's sha256.

    `recipe_sha` is the sha256 of the file as it was read. A report of the limits before is removed. A reader of the
    folder finds the old recipe or the new one at any moment. Raises InputError if the file has changed since it was
    read, or cannot be written.
    """
    folder = folder.resolve()
    path = folder / RECIPE_FILE
    with scratch_beside(folder) as scratch:
        if sha256_of(path) != recipe_sha:
            raise InputError(f"{path}: has changed since it was read; nothing written")
        written = scratch / RECIPE_FILE
        _write_toml(written, recipe)
        sha256 = sha256_of(written)
        _write_report(scratch, report)
        _rename_over(written, path)
        _replace_report(scratch, folder)
    return sha256


def put_recipe(source: Path, folder: Path) -> None:
    """Put a copy of the recipe files in `source` into `folder`, byte for byte, in place of what is there.

    If the mapping is the same, only recipe.toml and the report change, and a reader of the folder finds the old recipe
    or the new one at any moment. The bytes of `source` are not checked. Raises InputError if it cannot be written.
    """
    folder = folder.resolve()
    with scratch_beside(folder) as scratch:
        new = scratch / "new"
        copy_folder(source, new)
        new.chmod(_READABLE_BY_ALL)
        if (folder / MAPPING_FILE).is_file() and sha256_of(folder / MAPPING_FILE) == sha256_of(
            new / MAPPING_FILE
        ):
            _rename_over(new / RECIPE_FILE, folder / RECIPE_FILE)
            _replace_report(new, folder)
        else:
            _swap(new, folder, scratch / "old")


def _rename_over(written: Path, path: Path) -> None:
    """Rename a written file to `path`, with the mode of the file that it replaces."""
    shutil.copymode(path, written)
    with written.open("rb") as file:
        os.fsync(file.fileno())  # otherwise a power cut could leave an empty file under the new name
    written.replace(path)


def copy_recipe(
    loaded: LoadedRecipe,
    recipe: Recipe,
    folder: Path,
    *,
    replace: bool = False,
    report: WriteReport | None = None,
) -> str:
    """Write `recipe`, the bytes of the loaded recipe's mapping and the report to `folder`.

    Returns the sha256 of its `recipe.toml`.

    Raises InputError as `save_recipe` does, and if the mapping has changed since it was loaded.
    """
    check_target(folder, replace=replace)
    with scratch_beside(folder) as scratch:
        written, source = scratch / "new", loaded.folder / recipe.mapping.file
        written.mkdir(mode=_READABLE_BY_ALL)
        shutil.copyfile(source, written / MAPPING_FILE)
        if sha256_of(written / MAPPING_FILE) != recipe.mapping.sha256:
            raise InputError(f"{source}: has changed since it was read; nothing written")
        _write_toml(written / RECIPE_FILE, recipe)
        sha256 = sha256_of(written / RECIPE_FILE)
        _write_report(written, report)
        _swap(written, folder, scratch / "old")
    return sha256


@contextmanager
def scratch_beside(folder: Path) -> Iterator[Path]:
    """Yield a folder for unfinished files on the disk of `folder`. Raises InputError if it cannot be written."""
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{folder.name}.", dir=folder.parent) as scratch:
            yield Path(scratch)
    except OSError as error:
        raise InputError(f"{folder}: cannot be written ({error.strerror or error})") from error


def _write(folder: Path, draft: RecipeDraft, mapping: "MappingPair") -> Recipe:
    from cmfm_worker.cfm.mapping.files import save_safetensors

    folder.mkdir(mode=_READABLE_BY_ALL)
    path = folder / MAPPING_FILE
    save_safetensors(mapping, path)
    path.chmod(_FILE_READABLE_BY_ALL)
    section = MappingSection.of(mapping, sha256_of(path))
    recipe = Recipe(**{name: getattr(draft, name) for name in RecipeDraft.model_fields}, mapping=section)
    _write_toml(folder / RECIPE_FILE, recipe)
    return recipe


def write_recipe_file(folder: Path, recipe: Recipe) -> None:
    """Write `recipe.toml` of a folder that nobody reads yet. Raises OSError."""
    _write_toml(folder / RECIPE_FILE, recipe)


def _write_toml(path: Path, recipe: Recipe) -> None:
    path.write_text(commented_toml(recipe), encoding="utf-8")


def _write_report(folder: Path, report: WriteReport | None) -> None:
    """Write the report, if there is one, into `folder`/report."""
    if report is not None:
        (folder / REPORT_FOLDER).mkdir(mode=_READABLE_BY_ALL)
        report(folder / REPORT_FOLDER)


def _replace_report(scratch: Path, folder: Path) -> None:
    """Move the report of `scratch` to the recipe's folder; the report that was there goes with `scratch`."""
    old, new = folder / REPORT_FOLDER, scratch / REPORT_FOLDER
    if old.is_dir():
        old.rename(scratch / "old report")
    if new.is_dir():
        new.rename(old)


def _swap(new: Path, target: Path, old: Path) -> None:
    """Put `new` in the place of `target` in one step; what was there is left at `new`.

    On a file system that cannot exchange folders it is moved to `old`, and between two renames the recipe is missing.
    """
    if target.exists():
        if exchange(new, target):
            return
        target.rename(old)
    try:
        new.rename(target)
    except OSError:
        if old.exists():
            old.rename(target)
        raise
