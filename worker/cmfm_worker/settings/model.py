"""The line's settings: `line.toml` and `CMFM_…` variables validated once into one frozen object.

Precedence: environment over file over the defaults of `settings_sections`. `CMFM_BATCH__MAX_BATCH=8` overrides
`max_batch` under `[batch]`. Paths are relative to the file's folder. Unknown keys are errors that name the nearest
known key.
"""

import os
import tomllib
from pathlib import Path
from typing import Any, Final, Self

from pydantic import ValidationError, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, SettingsError

from cmfm_worker.errors import InputError
from cmfm_worker.settings.endpoints import is_local
from cmfm_worker.settings.error_messages import describe_validation_error
from cmfm_worker.settings.sections import (
    BatchSection,
    Curve,
    Device,
    Intake,
    Kept,
    Ledger,
    Line,
    Log,
    Maps,
    Metrics,
    Recipes,
    Results,
    RingSection,
    Sockets,
    Weights,
)

ENV_PREFIX: Final = "CMFM_"
SECTION_MARK: Final = "__"


class Settings(BaseSettings):
    """Everything `cmfm-worker` can be told. Frozen after validation."""

    model_config = SettingsConfigDict(
        frozen=True,
        extra="forbid",
        env_prefix=ENV_PREFIX,
        env_nested_delimiter=SECTION_MARK,
        nested_model_default_partial_update=True,
    )

    line: Line = Line()
    sockets: Sockets = Sockets()
    curve: Curve = Curve()
    recipes: Recipes = Recipes()
    weights: Weights = Weights()
    device: Device = Device()
    ring: RingSection = RingSection()
    batch: BatchSection = BatchSection()
    intake: Intake = Intake()
    results: Results = Results()
    maps: Maps = Maps()
    ledger: Ledger = Ledger()
    kept: Kept = Kept()
    log: Log = Log()
    metrics: Metrics = Metrics()

    @model_validator(mode="after")
    def _hang_before_stall(self) -> Self:
        """A hung device must be found by the worker itself, which owes its parts a FAULT, before a probe finds it."""
        if self.metrics.stalled_after_s <= self.device.hang_limit_s:
            raise ValueError(
                f"metrics.stalled_after_s = {self.metrics.stalled_after_s:g} must be more than "
                f"device.hang_limit_s = {self.device.hang_limit_s:g}"
            )
        return self

    @model_validator(mode="after")
    def _off_host_only_with_curve(self) -> Self:
        for key in ("results", "maps", "recovery", "control"):
            endpoint: str = getattr(self.sockets, key)
            if not is_local(endpoint) and self.curve.secret_key is None and not self.sockets.insecure:
                raise ValueError(
                    f"sockets.{key} = {endpoint!r} can be reached from other hosts and carries no encryption; "
                    "set [curve] secret_key (`cmfm-worker keys new` makes one), bind it to 127.0.0.1 or ipc://, "
                    "or write insecure = true under [sockets]"
                )
        return self

    @model_validator(mode="after")
    def _keys_belong_to_cameras(self) -> Self:
        if unknown := set(self.curve.cameras) - set(self.sockets.frames):
            raise ValueError(f"curve.cameras: {min(unknown)} is not among sockets.frames")
        return self

    @classmethod
    def settings_customise_sources(  # the signature is pydantic-settings'
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Environment over file; no .env files, no secrets folder."""
        return env_settings, init_settings


def load_settings(path: Path) -> Settings:
    """Read and validate `path` (TOML) with the environment over it.

    Raises InputError naming the file and every wrong key at once.
    """
    try:
        table: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(
            f"{path}: no such file; deploy/line.toml is an example with every key explained"
        ) from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InputError(f"{path}: cannot be read as TOML: {error}") from error
    try:
        settings = Settings(**table)
    except ValidationError as error:
        raise InputError("\n".join(describe_validation_error(error, Settings, str(path)))) from error
    except SettingsError as error:
        raise InputError(
            f"environment: {error}; a list is written as JSON there: "
            "CMFM_SOCKETS__FRAMES='[\"tcp://127.0.0.1:5555\"]'"
        ) from error
    _refuse_unknown_variables()
    return _with_absolute_paths(settings, path.resolve().parent)


def _refuse_unknown_variables() -> None:
    known = set(Settings.model_fields)
    for variable in os.environ:
        if variable.startswith(ENV_PREFIX) and SECTION_MARK in variable:
            section = variable.removeprefix(ENV_PREFIX).split(SECTION_MARK)[0].lower()
            if section not in known:
                raise InputError(
                    f"environment variable {variable}: no section [{section}]; known: {', '.join(sorted(known))}"
                )


def _with_absolute_paths(settings: Settings, base: Path) -> Settings:
    ledger = settings.ledger.path
    curve = settings.curve
    keys = {
        "secret_key": base / curve.secret_key if curve.secret_key else None,
        "readers": base / curve.readers,
        "controllers": base / curve.controllers,
        "cameras": {endpoint: base / path for endpoint, path in curve.cameras.items()},
    }
    return settings.model_copy(
        update={
            "curve": curve.model_copy(update=keys),
            "recipes": settings.recipes.model_copy(update={"folder": base / settings.recipes.folder}),
            "weights": settings.weights.model_copy(update={"folder": base / settings.weights.folder}),
            "ledger": settings.ledger.model_copy(update={"path": base / ledger if ledger else None}),
            "kept": settings.kept.model_copy(update={"folder": base / settings.kept.folder}),
        }
    )
