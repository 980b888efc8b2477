"""The line's settings: `line.toml` and `CMFM_…` variables validated once into one frozen object.

Precedence: environment over file over the defaults below. `CMFM_BATCH__MAX_BATCH=8` overrides `max_batch`
under `[batch]`. Paths are relative to the file's folder. Unknown keys are errors that name the nearest
known key.
"""

import ipaddress
import os
import re
import tomllib
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, SettingsError

from cmfm_protocol.limits import MAX_MESSAGE_BYTES, MAX_SOURCES, MAX_TEXT_BYTES
from cmfm_worker.errors import InputError
from cmfm_worker.unknown_keys import describe_validation_error

ENV_PREFIX: Final = "CMFM_"
SECTION_MARK: Final = "__"

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]{1,64}$")]
SidePx = Annotated[int, Field(ge=32, le=4096)]
PositiveMs = Annotated[float, Field(gt=0, allow_inf_nan=False)]


def as_endpoint(value: str) -> str:
    """A ZeroMQ endpoint with a port where it needs one, such that the state message can name it."""
    if not re.fullmatch(r"tcp://.+:(\d+|\*)|(ipc|inproc)://.+", value):
        raise ValueError("expected tcp://HOST:PORT or ipc://PATH")
    if not value.isprintable() or len(value.encode()) > MAX_TEXT_BYTES:
        raise ValueError(f"longer than {MAX_TEXT_BYTES} bytes, or not printable")
    return value


Endpoint = Annotated[str, AfterValidator(as_endpoint)]


def is_local(endpoint: str) -> bool:
    """Whether only this host can reach a bound endpoint."""
    match = re.match(r"^tcp://\[?([^\]]+?)\]?:[^:]*$", endpoint)
    if match is None:
        return not endpoint.startswith("tcp://")
    return is_local_host(match.group(1))


def is_local_host(host: str) -> bool:
    """Whether a server bound to a host name or address can be reached from this host alone."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class Section(BaseModel):
    """One `[section]` of the file: frozen, no unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Line(Section):
    """Which line and station this worker serves; both are part of every topic."""

    name: Name = "line1"
    station: Name = "station1"


class Sockets(Section):
    """Where frames come from and where results go."""

    frames: tuple[Endpoint, ...] = Field(
        ("tcp://127.0.0.1:5555",),
        min_length=1,
        max_length=MAX_SOURCES,
        description="cameras; the worker connects",
    )
    results: Endpoint = Field("tcp://127.0.0.1:5556", description="verdicts and state (PUB, bound here)")
    maps: Endpoint = Field("tcp://127.0.0.1:5557", description="anomaly maps (lossy PUB, bound here)")
    recovery: Endpoint = Field(
        "tcp://127.0.0.1:5558", description="results since a result id (ROUTER, bound here)"
    )
    control: Endpoint = Field(
        "tcp://127.0.0.1:5559", description="status, load_recipe, drain (ROUTER, bound here)"
    )
    insecure: bool = Field(False, description="allow binding off this host without [curve]")


class Curve(Section):
    """Encryption, and who may connect (WIRE.md, security); `cmfm-worker keys new` makes the files."""

    secret_key: Path | None = Field(
        None, description="this worker's NAME.key_secret; with it the four bound sockets speak CURVE alone"
    )
    readers: Path = Field(
        Path("keys/readers"), description="folder of the public keys that may use results, maps and recovery"
    )
    controllers: Path = Field(
        Path("keys/controllers"), description="folder of the public keys that may use control"
    )
    cameras: dict[Endpoint, Path] = Field(
        {}, description="public key of each camera that speaks CURVE, by its endpoint under sockets.frames"
    )

    @field_validator("secret_key", mode="before")
    @classmethod
    def _none_where_empty(cls, value: object) -> object:
        return None if value == "" else value

    @model_validator(mode="after")
    def _cameras_know_the_worker(self) -> Self:
        if self.cameras and self.secret_key is None:
            raise ValueError("cameras have keys and the worker has none; set secret_key")
        return self


class Recipes(Section):
    """What this line can inspect."""

    folder: Path = Path("recipes")
    names: tuple[Name, ...] = Field(
        (), description="recipes loaded at start; empty: every recipe in the folder"
    )
    default: Name | Literal[""] = Field(
        "", description="recipe of frames whose header names none; empty: such frames are FAULTs"
    )


class Weights(Section):
    """Extractor weights brought by the user; `classic` recipes need none."""

    folder: Path = Path("weights")


class Device(Section):
    """Where the computation runs."""

    name: Annotated[str, Field(pattern=r"^(auto|cpu|cuda(:\d+)?)$")] = "auto"
    precision: Literal["auto", "fp32", "bf16", "fp16", "int8"] = Field(
        "auto",
        description="of the paper preset's products; auto: fp32 on a CPU, the tensor cores' format on CUDA",
    )
    cuda_graphs: bool = Field(
        True, description="record fixed-shape parts as CUDA graphs; false: plain launches, the same results"
    )
    threads: int = Field(0, ge=0, description="CPU threads of one computation; 0: as many as there are cores")
    warmup_px: SidePx | tuple[tuple[SidePx, SidePx], ...] = Field(
        400,
        description="frames inspected before the worker says ready: the side of a square, or [[height, width], …]",
    )
    hang_limit_s: float = Field(
        30.0,
        gt=0,
        allow_inf_nan=False,
        description="a batch that takes longer is a hung device: its parts are FAULTs, the process ends with 5",
    )

    @property
    def warmup_shapes(self) -> tuple[tuple[int, int], ...]:
        """`warmup_px` as (height, width) of each frame."""
        px = self.warmup_px
        return px if isinstance(px, tuple) else ((px, px),)


class RingSection(Section):
    """The frame buffers."""

    slots: int = Field(16, ge=2, le=1024)
    max_pixels: int = Field(
        1 << 20, ge=1 << 10, description="largest frame, H x W; 15 bytes a pixel and slot"
    )

    @field_validator("max_pixels")
    @classmethod
    def _within_the_wire(cls, value: int) -> int:
        if value * 15 > MAX_MESSAGE_BYTES:
            raise ValueError(f"{value} pixels do not fit into a message of {MAX_MESSAGE_BYTES} bytes")
        return value


class BatchSection(Section):
    """How frames are put together."""

    max_batch: int = Field(4, ge=1, le=256)
    max_wait_ms: float = Field(2.0, ge=0, allow_inf_nan=False)
    overlapped: bool = Field(
        True, description="compute batch n while n-1 is decided and published; false: the serial twin"
    )


class Intake(Section):
    """What is believed of the cameras."""

    reorder_window_ms: PositiveMs = Field(
        200.0, description="how long a skipped seq is waited for before it is lost"
    )
    max_gap: int = Field(1000, ge=1, le=100_000, description="largest jump in seq that one frame may claim")
    heartbeat_ms: int = Field(250, ge=50, description="ZMTP heartbeat; a silent peer is dead after three")
    receive_hwm: int = Field(
        8, ge=1, description="messages queued in the socket before the camera is held back"
    )
    clock_tolerance_ms: PositiveMs = Field(
        1000.0, description="a trigger further in the future is a wrong clock"
    )
    max_deadline_ms: PositiveMs = Field(60_000.0, description="a longer deadline in a header is cut to this")
    sealed_only: bool = Field(
        False, description="refuse frames without checksums and seal (WIRE.md, integrity)"
    )


class Results(Section):
    """What is kept for subscribers that were away."""

    hwm: int = Field(100_000, ge=1, description="results queued for a slow subscriber")
    history: int = Field(100_000, ge=1, description="results that can be asked for again; 640 bytes each")
    state_ms: PositiveMs = Field(500.0, description="period of the state heartbeat")


class Maps(Section):
    """Which parts' anomaly maps are published."""

    publish: Literal["all", "rejected", "none"] = "all"
    hwm: int = Field(8, ge=1)


class Ledger(Section):
    """One row for every trigger."""

    path: Path | None = Field(Path("ledger.sqlite"), description="SQLite file")
    flush_ms: PositiveMs = Field(200.0, description="at most this much is lost when the power fails")
    keep_days: float = Field(400.0, ge=0, description="older rows are deleted; 0: none for their age")
    max_mb: float = Field(
        8192.0, ge=0, description="the oldest rows are deleted beyond this size; 0: none for the size"
    )


class Kept(Section):
    """Parts whose frame and maps stay on disk, for `cmfm-worker replay-part` and `inspect`."""

    which: Literal["rejected", "inspected", "all", "none"] = Field(
        "rejected",
        description="rejected: all but PASS; inspected: FAIL and UNDECIDED; only parts with a readable frame",
    )
    folder: Path = Path("kept")
    max_mb: float = Field(1024.0, gt=0, description="the oldest parts are deleted beyond this size")


class Log(Section):
    """Structured log on stderr."""

    format: Literal["console", "json"] = "console"
    level: Literal["debug", "info", "warning", "error"] = "info"


class Metrics(Section):
    """Prometheus and Kubernetes probes over HTTP."""

    host: str = "127.0.0.1"
    port: int = Field(0, ge=0, le=65535, description="/metrics, /livez, /readyz; 0: off")
    stalled_after_s: float = Field(
        45.0,
        gt=0,
        allow_inf_nan=False,
        description="/livez fails when the loop, the desk or the intake has completed nothing for so long",
    )
    insecure: bool = Field(False, description="allow serving off this host; HTTP is never encrypted here")

    @model_validator(mode="after")
    def _local_unless_insecure(self) -> Self:
        if self.port and not self.insecure and not is_local_host(self.host):
            raise ValueError(
                f"host = {self.host!r} can be reached from other hosts, and HTTP carries no encryption; "
                "set 127.0.0.1, or write insecure = true under [metrics]"
            )
        return self


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
