"""Differences between two recipes, or two versions of one: settings key by key."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from cmfm_settings.tables import flat

LONG_LISTS: Final = 8
"""A list of more values than these is compared, and named by its length."""


@dataclass(frozen=True, slots=True)
class Difference:
    """One key, `section.key`, and its values as text; "" where a recipe does not have it."""

    key: str
    first: str
    second: str


def differences(first: Mapping[str, Any], second: Mapping[str, Any]) -> list[Difference]:
    """Return the keys that differ, in the order of the first recipe, then those that only the second has."""
    one, other = dict(flat(first)), dict(flat(second))
    keys = [key for key in dict.fromkeys((*one, *other)) if one.get(key) != other.get(key)]
    return [_difference(key, one, other) for key in keys]


def _difference(key: str, one: Mapping[str, Any], other: Mapping[str, Any]) -> Difference:
    """Both values as text, with all digits where the first six are the same."""
    first, second = _text(one, key), _text(other, key)
    if first == second and isinstance(one.get(key), float) and isinstance(other.get(key), float):
        first, second = repr(one[key]), repr(other[key])
    return Difference(key, first, second)


def _text(flat: Mapping[str, Any], key: str) -> str:
    if key not in flat:
        return ""
    value = flat[key]
    if isinstance(value, list) and len(value) > LONG_LISTS:
        return f"[{len(value)}]"
    if isinstance(value, float):
        return f"{value:.6g}"
    return value if isinstance(value, str) and value else json.dumps(value, default=str, ensure_ascii=False)
