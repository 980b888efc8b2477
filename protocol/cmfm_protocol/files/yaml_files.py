"""Reader of small YAML files, as plain data; errors are a `DatasetError` that names file and key."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import yaml

from cmfm_protocol.files.dataset_error import DatasetError

MAX_YAML_BYTES: Final = 65_536
"""A data set's facts about one picture take a few lines."""


def read_yaml(path: Path) -> dict[str, Any]:
    """Read a YAML file that holds a map. Raises DatasetError naming the file and the error."""
    try:
        with path.open("rb") as file:
            content = file.read(MAX_YAML_BYTES + 1)
    except FileNotFoundError:
        raise DatasetError(f"{path} is missing") from None
    except OSError as error:
        raise DatasetError(f"{path} cannot be read ({error.strerror or error})") from error
    if len(content) > MAX_YAML_BYTES:
        raise DatasetError(f"{path} is larger than {MAX_YAML_BYTES} bytes; expected a few lines of YAML")
    try:
        found = yaml.safe_load(content)
    except (
        yaml.YAMLError,
        ValueError,
        RecursionError,
    ) as error:  # ValueError: an impossible date, for example
        raise DatasetError(f"{path} is not YAML ({' '.join(str(error).split())[:160]})") from error
    if not isinstance(found, dict):
        raise DatasetError(f"{path} holds {_kind(found)}; expected a map")
    return found


def number_at(path: Path, content: Mapping[str, Any], key: str) -> float:
    """The number under `key` ("normalization.min") in the content of `path`. Raises DatasetError."""
    value: Any = content
    for name in key.split("."):
        if not isinstance(value, Mapping) or name not in value:
            raise DatasetError(f"{path} has no {key}; expected a number")
        value = value[name]
    if not isinstance(value, int | float) or not math.isfinite(value):
        raise DatasetError(f"{path}: {key} is {str(value)[:40]!r}; expected a number")
    return float(value)


def _kind(found: object) -> str:
    return "nothing" if found is None else f"a {type(found).__name__}"
