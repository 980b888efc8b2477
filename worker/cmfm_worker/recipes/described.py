"""A recipe's facts for programs: what it is, its nominal parts, and where it stands among its versions."""

from pathlib import Path
from typing import Any

from cmfm_records.recipe_versions import Version, read_versions
from cmfm_worker.errors import InputError
from cmfm_worker.recipes.file_hash import sha256_of
from cmfm_worker.recipes.recipe import RECIPE_FILE, Recipe, read_recipe_file


def identity(folder: Path, recipe: Recipe) -> dict[str, Any]:
    """Return what identifies a recipe that was read from `folder`, its limits of the score, and its extractor."""
    threshold = recipe.threshold
    return {
        "recipe_sha": sha256_of(folder / RECIPE_FILE),
        "model_sha": recipe.model_sha,
        "fail_at": None if threshold is None else threshold.fail_at,
        "grey_from": None if threshold is None else threshold.grey_from,
        "nominal_parts": 0 if threshold is None else len(threshold.nominal_scores),
        "preset": recipe.extractor.preset,
        "fitted_at": recipe.provenance.fitted_at,
    }


def listed(folder: Path) -> dict[str, Any]:
    """Return one recipe of a list. `problem` says why it cannot be used; the other facts are then missing."""
    found: dict[str, Any] = {"name": folder.name, "problem": None, **versions_of(folder)}
    try:
        return found | identity(folder, read_recipe_file(folder))
    except InputError as error:
        return found | {"problem": str(error)}


def versions_of(folder: Path) -> dict[str, Any]:
    """Return the number of versions and `version`: the newest whose files are those in use, None if none are."""
    known = read_versions(folder)
    return {"versions": len(known), "version": in_use(folder, known)}


def in_use(folder: Path, known: list[Version]) -> int | None:
    """Return the number of the newest version whose recipe.toml is the one in use, or None."""
    path = folder / RECIPE_FILE
    if not path.is_file():
        return None
    sha256 = sha256_of(path)
    return next((version.version for version in reversed(known) if version.recipe_sha == sha256), None)


def nominal(recipe: Recipe) -> dict[str, Any]:
    """Return the scores of the nominal parts, those of unseen validation parts first, and their coverages."""
    threshold = recipe.threshold
    return {
        "validation_scores": [] if threshold is None else list(threshold.validation_scores),
        "out_of_fold_scores": [] if threshold is None else list(threshold.out_of_fold_scores),
        "coverages": list(recipe.coverage.nominal),
    }
