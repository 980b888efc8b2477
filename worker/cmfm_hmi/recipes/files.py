"""Recipes read as data: `recipe.toml` and the list of versions beside it. The page knows nothing of their networks."""

import hashlib
import math
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from cmfm_hmi.errors import MissingError
from cmfm_protocol.wire.limits import NAME_RULE
from cmfm_records.nominal import USUAL_LIMIT
from cmfm_records.recipe_versions import RECIPE_FILE, Version, read_versions, versions_home
from cmfm_settings.errors import InputError
from cmfm_settings.names import is_name

MAX_FILE_BYTES: Final = 16 * 2**20
"""A recipe.toml of 100,000 nominal scores has 2 MB; a larger file is no recipe."""


@dataclass(frozen=True, slots=True, eq=False)
class RecipeView:
    """A recipe's file as data. With a `problem`, a sentence for people, it could not be read and has no figures."""

    name: str
    recipe_sha: str = ""
    table: Mapping[str, Any] = field(default_factory=dict)
    versions: tuple[Version, ...] = ()
    problem: str = ""

    @property
    def fail_at(self) -> float | None:
        """The threshold; None for a recipe without one."""
        return _number(self.section("threshold").get("fail_at"))

    @property
    def grey_from(self) -> float | None:
        """Where the grey band begins; None without one."""
        return _number(self.section("threshold").get("grey_from"))

    @property
    def nominal_scores(self) -> tuple[float, ...]:
        """Scores of the nominal parts behind the threshold, ascending."""
        threshold = self.section("threshold")
        return _ascending(threshold.get("validation_scores"), threshold.get("out_of_fold_scores"))

    @property
    def nominal_coverage(self) -> tuple[float, ...]:
        """Coverage of nominal parts, ascending; empty for a recipe that does not hold it."""
        return _ascending(self.section("coverage").get("nominal"))

    @property
    def drift_limit(self) -> float:
        """The stability index from which on the line's parts have drifted, as the recipe says."""
        return _number(self.section("drift").get("limit")) or USUAL_LIMIT

    @property
    def current(self) -> Version | None:
        """The version that is in use; None if the file was changed by hand or has no versions yet."""
        return next((each for each in reversed(self.versions) if each.recipe_sha == self.recipe_sha), None)

    @property
    def models(self) -> tuple[str, ...]:
        """The ids of the networks of all versions, each once."""
        return tuple(dict.fromkeys(each.model_sha for each in self.versions if each.model_sha))

    def section(self, name: str) -> Mapping[str, Any]:
        """Return a table of the file; empty if it is not there."""
        table = self.table.get(name)
        return table if isinstance(table, dict) else {}


def recipe_names(folder: Path) -> list[str]:
    """Return the names of the recipes in `folder`, sorted. Raises InputError if it cannot be listed."""
    try:
        entries = list(folder.iterdir())
    except OSError as error:
        raise InputError(f"{folder}: cannot be listed ({error.strerror or error})") from error
    return sorted(path.name for path in entries if is_name(path.name) and (path / RECIPE_FILE).exists())


def read_recipes(folder: Path) -> list[RecipeView]:
    """Read all recipes, sorted by name; one that cannot be read has a `problem`. Raises InputError for the folder."""
    return [_read_or_problem(folder, name) for name in recipe_names(folder)]


def read_recipe(folder: Path, name: str) -> RecipeView:
    """Read a recipe by its name. Raises MissingError if it is not there, InputError if it is not readable."""
    home = recipe_folder(folder, name)
    table, sha = _read_table(home / RECIPE_FILE)
    return RecipeView(name, sha, table, tuple(read_versions(folder / name)))


def read_version(folder: Path, name: str, number: int) -> RecipeView:
    """Read the kept file of a version. Raises MissingError, InputError."""
    recipe_folder(folder, name)
    table, sha = _read_table(versions_home(folder / name) / str(number) / RECIPE_FILE)
    return RecipeView(name, sha, table, tuple(read_versions(folder / name)))


def recipe_folder(folder: Path, name: str) -> Path:
    """Return the folder of a recipe, which need not exist. Raises MissingError unless `name` is a name."""
    if not is_name(name):
        raise MissingError(f"{name[:60]!r} is not a recipe's name: {NAME_RULE}")
    return folder / name


def _read_or_problem(folder: Path, name: str) -> RecipeView:
    try:
        return read_recipe(folder, name)
    except InputError as error:
        return RecipeView(name, problem=str(error))


def _read_table(path: Path) -> tuple[dict[str, Any], str]:
    try:
        if path.exists() and not path.is_file():  # reading a pipe would wait for ever
            raise InputError(f"{path}: not a file")
        with path.open("rb") as file:
            content = file.read(MAX_FILE_BYTES + 1)
        if len(content) > MAX_FILE_BYTES:
            raise InputError(f"{path}: larger than {MAX_FILE_BYTES // 2**20} MB, so not a recipe")
        return tomllib.loads(content.decode("utf-8-sig")), hashlib.sha256(content).hexdigest()
    except FileNotFoundError:
        raise MissingError(f"{path.parent}: not a recipe, it has no {path.name}") from None
    except (OSError, ValueError, RecursionError) as error:  # also a number of 5,000 digits, or deep nesting
        raise InputError(f"{path}: cannot be read as TOML: {error}") from error


def _number(value: object) -> float | None:
    is_number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    return float(value) if is_number else None  # type: ignore[arg-type] # checked in the line above


def _ascending(*lists: object) -> tuple[float, ...]:
    values = [value for some in lists if isinstance(some, list) for value in map(_number, some)]
    return tuple(sorted(value for value in values if value is not None))
