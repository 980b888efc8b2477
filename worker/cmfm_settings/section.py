"""The base of every section of a settings file, and the types that keys share."""

from pathlib import Path
from typing import Annotated, Final

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationInfo,
    model_validator,
)

FOLDER: Final = "folder"
"""Key of the validation context: the folder that relative paths start from."""

MAX_MS: Final = 86_400_000.0
"""A day, in milliseconds. No time on a line is longer, and every clock and socket can represent it."""

MAX_QUEUE: Final = 10_000_000
"""Messages or results in one queue. ZeroMQ counts them in 32 bits."""


class Section(BaseModel):
    """One `[section]` of the file. It is frozen, refuses unknown keys and validates its defaults.

    TOML has no null: the empty string stands for "none" in a key that has no default value.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)

    @model_validator(mode="before")
    @classmethod
    def _empty_means_none(cls, values: object) -> object:
        if not isinstance(values, dict):
            return values
        return {
            key: None if value == "" and cls._may_be_none(key) else value for key, value in values.items()
        }

    @classmethod
    def _may_be_none(cls, key: str) -> bool:
        field = cls.model_fields.get(key)
        return field is not None and field.default is None


def _no_empty_path(value: object) -> object:
    if value == "":
        raise ValueError("an empty path; name a file or folder, or leave the key out")
    return value


def _in_folder(path: Path, info: ValidationInfo) -> Path:
    if not str(path).isprintable():
        raise ValueError(f"{str(path)!r}: a path must not hold control characters")
    return info.context[FOLDER] / path if info.context else path


ConfigPath = Annotated[Path, BeforeValidator(_no_empty_path), AfterValidator(_in_folder)]
"""A path that is relative to the folder of the settings file; absolute once `SettingsFile.load` has read it."""

PositiveMs = Annotated[float, Field(gt=0, le=MAX_MS, allow_inf_nan=False)]
Seconds = Annotated[float, Field(gt=0, le=MAX_MS / 1000, allow_inf_nan=False)]
QueueLength = Annotated[int, Field(ge=1, le=MAX_QUEUE)]
