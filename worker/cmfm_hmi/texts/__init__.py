"""Every word on every page, in English and German: `texts/<language>/<page>.toml`, a file a page.

In: the package's own files, once. Out: the sentence of a key, `<page>.<key>`, with its values filled in. A test holds
the keys of both languages to one another. Any thread.
"""

import tomllib
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any, Final, Literal

Language = Literal["en", "de"]
LANGUAGES: Final[tuple[Language, ...]] = ("en", "de")


@cache
def texts(language: Language) -> Mapping[str, str]:
    """Return the sentences of a language by `<page>.<key>`."""
    found: dict[str, str] = {}
    for file in files(__package__).joinpath(language).iterdir():
        if file.name.endswith(".toml"):
            _flatten(file.name.removesuffix(".toml"), tomllib.loads(file.read_text(encoding="utf-8")), found)
    return found


def text(language: Language, key: str, **values: object) -> str:
    """Return the sentence of a key with its values. Raises KeyError for a key that is not there."""
    sentence = texts(language)[key]
    return sentence.format_map(values) if values else sentence


def texts_below(language: Language, prefix: str) -> dict[str, str]:
    """Return the sentences of the keys that begin with `prefix.`, by what follows it: those of a script."""
    start = f"{prefix}."
    return {key.removeprefix(start): value for key, value in texts(language).items() if key.startswith(start)}


def preferred(accepted: str, default: Language) -> Language:
    """Return the first known language of an Accept-Language header."""
    for item in accepted.split(",")[:20]:
        name = item.partition(";")[0].strip().partition("-")[0].lower()
        for language in LANGUAGES:
            if name == language:
                return language
    return default


def _flatten(prefix: str, table: Mapping[str, Any], found: dict[str, str]) -> None:
    for key, value in table.items():
        if isinstance(value, dict):
            _flatten(f"{prefix}.{key}", value, found)
        else:
            found[f"{prefix}.{key}"] = value
