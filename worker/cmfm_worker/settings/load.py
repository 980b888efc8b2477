"""Reads `line.toml` and the `CMFM_…` variables, validates them once, and remembers where each value came from.

Precedence: environment over file over default. `CMFM_BATCH__MAX_BATCH=8` overrides `max_batch` under `[batch]`; a list
or table is written as JSON there. Relative paths start from the folder of the file, also those in variables.
"""

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError
from pydantic_settings import BaseSettings, EnvSettingsSource, SettingsConfigDict, SettingsError

from cmfm_worker.errors import InputError
from cmfm_worker.settings.error_messages import describe_validation_error
from cmfm_worker.settings.model import Settings
from cmfm_worker.settings.section import FOLDER

ENV_PREFIX: Final = "CMFM_"
SECTION_MARK: Final = "__"
FROM_FILE: Final = "file"
FROM_DEFAULT: Final = "default"

Table = dict[str, Any]


@dataclass(frozen=True, slots=True)
class LoadedSettings:
    """Validated settings, and the source of each key that is not a default.

    `sources` maps `section.key` to "file" or "environment variable NAME".
    """

    settings: Settings
    sources: Mapping[str, str]

    def source_of(self, section: str, key: str) -> str:
        """Return "default", "file" or "environment variable NAME"."""
        return self.sources.get(f"{section}.{key}", FROM_DEFAULT)


class _Environment(BaseSettings, Settings):
    """The same fields for pydantic-settings, which finds their variables."""

    model_config = SettingsConfigDict(env_prefix=ENV_PREFIX, env_nested_delimiter=SECTION_MARK)


def load_settings(path: Path) -> Settings:
    """Read and validate `path` with the environment over it. Raises InputError as `load_with_sources`."""
    return load_with_sources(path).settings


def load_with_sources(path: Path) -> LoadedSettings:
    """Read and validate `path` (TOML) with the environment over it.

    Raises InputError naming the file or the variable, and every wrong key at once.
    """
    file, environment = _read_file(path), _read_environment()
    variables = {key: f"environment variable {_variable(key)}" for key in _keys_of(environment)}
    try:
        settings = Settings.model_validate(
            _merged(file, environment), context={FOLDER: path.resolve().parent}
        )
    except ValidationError as error:
        lines = describe_validation_error(error, Settings, str(path), elsewhere=variables)
        raise InputError("\n".join(lines)) from error
    return LoadedSettings(settings, dict.fromkeys(_keys_of(file), FROM_FILE) | variables)


def _read_file(path: Path) -> Table:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        raise InputError(
            f"{path}: no such file; deploy/line.toml is an example with every key explained"
        ) from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InputError(f"{path}: cannot be read as TOML: {error}") from error


def _read_environment() -> Table:
    """The variables as a table of sections. A misspelt section is an error: it would be ignored silently."""
    for variable in os.environ:
        if variable.startswith(ENV_PREFIX) and SECTION_MARK in variable:
            section = variable.removeprefix(ENV_PREFIX).split(SECTION_MARK)[0].lower()
            if section not in Settings.model_fields:
                known = ", ".join(sorted(Settings.model_fields))
                raise InputError(f"environment variable {variable}: no section [{section}]; known: {known}")
    try:
        return EnvSettingsSource(_Environment)()
    except SettingsError as error:
        raise InputError(
            f"environment: {error}; a list is written as JSON there: "
            "CMFM_SOCKETS__FRAMES='[\"tcp://127.0.0.1:5555\"]'"
        ) from error


def _merged(file: Table, environment: Table) -> Table:
    """One table with every section in it, so that the defaults of each are validated too."""
    tables: Table = {section: {} for section in Settings.model_fields} | file
    for section, values in environment.items():
        both = isinstance(tables[section], dict) and isinstance(values, dict)
        tables[section] = {**tables[section], **values} if both else values
    return tables


def _keys_of(tables: Table) -> list[str]:
    return [
        f"{section}.{key}" for section, values in tables.items() if isinstance(values, dict) for key in values
    ]


def _variable(key: str) -> str:
    """The name of the variable that set `section.key`: its own, or that of the whole section as JSON."""
    own = ENV_PREFIX + key.upper().replace(".", SECTION_MARK)
    given = {name.upper(): name for name in os.environ}
    return given.get(own) or given[own.split(SECTION_MARK)[0]]
