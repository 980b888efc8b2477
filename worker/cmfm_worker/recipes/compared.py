"""The differences of two recipes, key by key."""

from dataclasses import dataclass
from typing import Any, Final

from cmfm_settings.tables import flat
from cmfm_worker.recipes.recipe import Recipe

LONG_LISTS: Final = ("threshold.validation_scores", "threshold.out_of_fold_scores", "coverage.nominal")
"""Lists of nominal parts, which are compared as populations and not value by value."""


@dataclass(frozen=True, slots=True)
class Difference:
    """A key of recipe.toml whose values differ; None where a recipe does not have it."""

    key: str
    a: Any
    b: Any


def differences(a: Recipe, b: Recipe) -> list[Difference]:
    """Return the keys in which two recipes differ, in the order of recipe.toml. Lists of nominal parts are left out."""
    one, other = (dict(flat(recipe.model_dump(mode="json"))) for recipe in (a, b))
    keys = dict.fromkeys([*one, *other])
    return [
        Difference(key, one.get(key), other.get(key))
        for key in keys
        if key not in LONG_LISTS and one.get(key) != other.get(key)
    ]
