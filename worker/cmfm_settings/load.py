"""Reads a settings file and its environment variables, validates them once, and remembers where each value came from.

Precedence: environment over file over default. With the prefix `CMFM_`, `CMFM_BATCH__MAX_BATCH=8` overrides
`max_batch` under `[batch]`; a list or table is written as JSON there. Relative paths start from the folder of the file,
also those in variables.
"""

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Generic, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_settings import BaseSettings, EnvSettingsSource, SettingsConfigDict, SettingsError

from cmfm_settings.error_messages import describe_validation_error
from cmfm_settings.errors import InputError
from cmfm_settings.section import FOLDER

SECTION_MARK: Final = "__"
FROM_FILE: Final = "file"
FROM_DEFAULT: Final = "default"

WORKER_PREFIX: Final = "CMFM_"
GATEWAY_PREFIX: Final = "CMFM_GATEWAY_"
HMI_PREFIX: Final = "CMFM_HMI_"
CAMERA_PREFIX: Final = "CMFM_CAMERA_"
PICTURE_PREFIX: Final = "CMFM_CAMERA_PICTURE_"
DEPTH_PREFIX: Final = "CMFM_CAMERA_DEPTH_"
TRIGGER_PREFIX: Final = "CMFM_TRIGGER_"
PREFIXES: Final = (
    WORKER_PREFIX,
    GATEWAY_PREFIX,
    CAMERA_PREFIX,
    PICTURE_PREFIX,
    DEPTH_PREFIX,
    TRIGGER_PREFIX,
    HMI_PREFIX,
)
"""The prefix of each program's variables. One program ignores the variables of another, which one shell may hold."""

Table = dict[str, Any]
SettingsModel = TypeVar("SettingsModel", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class LoadedSettings(Generic[SettingsModel]):
    """Validated settings, and the source of each key that is not a default.

    `sources` maps `section.key` to "file" or "environment variable NAME".
    """

    settings: SettingsModel
    sources: Mapping[str, str]

    def source_of(self, section: str, key: str) -> str:
        """Return "default", "file" or "environment variable NAME"."""
        return self.sources.get(f"{section}.{key}", FROM_DEFAULT)


@dataclass(frozen=True, slots=True)
class SettingsFile(Generic[SettingsModel]):
    """The form of one program's settings.

    `model` has a field each section. `prefix` begins the program's environment variables. `example` is a file with
    every key explained, for the message about a missing file; `list_example` a variable that holds a list.
    """

    model: type[SettingsModel]
    prefix: str
    example: str
    list_example: str

    def load(self, path: Path) -> LoadedSettings[SettingsModel]:
        """Read and validate `path` (TOML) with the environment over it.

        Raises InputError naming the file or the variable, and every wrong key at once.
        """
        file, environment = self._read_file(path), self._read_environment()
        variables = {key: f"environment variable {self._variable(key)}" for key in _keys_of(environment)}
        tables = _merged(self.model.model_fields, file, environment)
        try:
            settings = self.model.model_validate(tables, context={FOLDER: path.resolve().parent})
        except ValidationError as error:
            lines = describe_validation_error(error, self.model, str(path), elsewhere=variables)
            raise InputError("\n".join(lines)) from error
        return LoadedSettings(settings, dict.fromkeys(_keys_of(file), FROM_FILE) | variables)

    def _read_file(self, path: Path) -> Table:
        try:
            return tomllib.loads(path.read_text(encoding="utf-8-sig"))
        except FileNotFoundError:
            raise InputError(
                f"{path}: no such file; {self.example} is an example with every key explained"
            ) from None
        except (
            OSError,
            ValueError,
            RecursionError,
        ) as error:  # also a number of 5,000 digits, or deep nesting
            raise InputError(f"{path}: cannot be read as TOML: {error}") from error

    def _read_environment(self) -> Table:
        """The variables as a table of sections. A misspelt section is an error: it would be ignored silently."""
        for variable in filter(self._is_ours, os.environ):
            section = variable.removeprefix(self.prefix).split(SECTION_MARK)[0].lower()
            if section not in self.model.model_fields:
                known = ", ".join(sorted(self.model.model_fields))
                raise InputError(f"environment variable {variable}: no section [{section}]; known: {known}")
        try:
            return EnvSettingsSource(self._environment())()
        except SettingsError as error:
            raise InputError(
                f"environment: {error}; a list is written as JSON there: {self.list_example}"
            ) from error

    def _is_ours(self, variable: str) -> bool:
        longer = [other for other in PREFIXES if other != self.prefix and other.startswith(self.prefix)]
        return (
            variable.startswith(self.prefix)
            and SECTION_MARK in variable
            and not any(variable.startswith(other) for other in longer)
        )

    def _environment(self) -> type[BaseSettings]:
        """The same fields for pydantic-settings, which finds their variables."""
        config = SettingsConfigDict(env_prefix=self.prefix, env_nested_delimiter=SECTION_MARK)
        return type("Environment", (BaseSettings, self.model), {"model_config": config})

    def _variable(self, key: str) -> str:
        """The name of the variable that set `section.key`: its own, or that of the whole section as JSON."""
        own = self.prefix + key.upper().replace(".", SECTION_MARK)
        given = {name.upper(): name for name in os.environ}
        return given.get(own) or given[own.split(SECTION_MARK)[0]]


def _merged(sections: Mapping[str, object], file: Table, environment: Table) -> Table:
    """One table with every section in it, so that the defaults of each are validated too."""
    tables: Table = {section: {} for section in sections} | file
    for section, values in environment.items():
        both = isinstance(tables[section], dict) and isinstance(values, dict)
        tables[section] = {**tables[section], **values} if both else values
    return tables


def _keys_of(tables: Table) -> list[str]:
    return [
        f"{section}.{key}" for section, values in tables.items() if isinstance(values, dict) for key in values
    ]
