"""The sections of `line.toml`: every key with its default and its range. Frozen, unknown keys are errors."""

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from cmfm_protocol.wire.limits import MAX_MESSAGE_BYTES, MAX_SOURCES
from cmfm_worker.settings.endpoints import Endpoint, is_local_host

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]{1,64}$")]
SidePx = Annotated[int, Field(ge=32, le=4096)]
PublishedMaps = Literal["all", "rejected", "none"]
"""Which parts' anomaly maps are published."""

PositiveMs = Annotated[float, Field(gt=0, allow_inf_nan=False)]


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
    threads: int = Field(0, ge=0, description="CPU threads of one computation; 0: one a core, but one")
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

    @property
    def expected_pixels(self) -> int:
        """Pixels of the largest of them: what memory is taken for at the start."""
        return max((height * width for height, width in self.warmup_shapes), default=0)


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

    publish: PublishedMaps = "all"
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
