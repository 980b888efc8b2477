"""Sections about the network: names, sockets, keys, and limits for what cameras send."""

from pathlib import Path
from typing import Final, Literal, Self

from pydantic import ConfigDict, Field, field_validator, model_validator

from cmfm_protocol.wire.limits import MAX_SOURCES, NAME_RULE
from cmfm_settings.endpoints import BoundEndpoint, ServerEndpoint
from cmfm_settings.names import Name, is_name
from cmfm_settings.section import ConfigPath, PositiveMs, QueueLength, Section

BOUND_SOCKETS: Final = ("results", "maps", "recovery", "control")
"""Keys of [sockets] whose endpoints the worker binds."""

MAX_HEARTBEAT_MS: Final = 1_000_000
"""ZMTP sends three times the heartbeat as a time to live of at most 6 553 599 ms."""


class LineSection(Section):
    """Which line and station this worker serves."""

    name: Name = Field(
        "line1",
        description="Name of the line, part of every topic: cmfm/1/<name>/<station>/... "
        "Letters, digits, '_', '-' and '.', at most 64, with no '.' at either end.",
    )
    station: Name = Field("station1", description="Name of the station on the line, by the same rule.")


class SocketsSection(Section):
    """Where frames come from and where results go."""

    frames: tuple[ServerEndpoint, ...] = Field(
        ("tcp://127.0.0.1:5555",),
        min_length=1,
        max_length=MAX_SOURCES,
        description="Endpoints of cameras, one each. Cameras bind, the worker connects. The names are camera1, camera2 "
        "and so on. Write [cameras] instead to give them names of your own.",
    )
    results: BoundEndpoint = Field(
        "tcp://127.0.0.1:5556", description="Verdicts and state heartbeats (PUB, bound here)."
    )
    maps: BoundEndpoint = Field(
        "tcp://127.0.0.1:5557", description="Anomaly maps (PUB, bound here). Lossy: verdicts go first."
    )
    recovery: BoundEndpoint = Field(
        "tcp://127.0.0.1:5558",
        description='Answers "results since" for subscribers that were away (ROUTER, bound here).',
    )
    control: BoundEndpoint = Field(
        "tcp://127.0.0.1:5559",
        description="Takes status, announce, load_recipe, collect, audit and drain requests (ROUTER, bound here).",
    )
    clients: int = Field(
        256,
        ge=1,
        le=100_000,
        description="Connections of clients to these four sockets at once that file descriptors are kept ready for. "
        "The start fails (exit code 3) if the process may not have as many.",
    )
    insecure: bool = Field(
        False,
        description="true: results, maps, recovery and control may be bound off this host without [curve]. "
        "Anybody there can then read verdicts and send control requests.",
    )

    @field_validator("frames")
    @classmethod
    def _each_camera_once(cls, frames: tuple[str, ...]) -> tuple[str, ...]:
        if repeated := [endpoint for endpoint in frames if frames.count(endpoint) > 1]:
            raise ValueError(f"{repeated[0]} is named twice; every frame of it would arrive twice")
        return frames

    @model_validator(mode="after")
    def _each_bound_endpoint_once(self) -> Self:
        keys: dict[str, str] = {}
        for key in BOUND_SOCKETS:
            endpoint: str = getattr(self, key)
            if endpoint in keys and not endpoint.endswith("*"):
                raise ValueError(f"{keys[endpoint]} and {key} are both {endpoint}; each needs its own")
            keys[endpoint] = key
        return self


class CamerasSection(Section):
    """The cameras by name, instead of sockets.frames: `left = "tcp://10.0.0.5:5555"`, a line each."""

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[Name, ServerEndpoint] = Field(init=False)

    @property
    def endpoints(self) -> dict[str, str]:
        """Name → endpoint."""
        return dict(self.__pydantic_extra__ or {})

    @model_validator(mode="after")
    def _names_and_endpoints(self) -> Self:
        if len(self.endpoints) > MAX_SOURCES:
            raise ValueError(f"{len(self.endpoints)} cameras; at most {MAX_SOURCES}")
        names: dict[str, str] = {}
        for name, endpoint in self.endpoints.items():
            if not is_name(name):
                raise ValueError(f"{name!r}: {NAME_RULE}")
            if endpoint in names:
                raise ValueError(f"{names[endpoint]} and {name} are both {endpoint}; each needs its own")
            names[endpoint] = name
        return self


class CurveSection(Section):
    """Encryption and access (WIRE.md, security). `cmfm-worker keys new` makes the key files."""

    secret_key: ConfigPath | None = Field(
        None,
        description="This worker's NAME.key_secret (mode 600). With it the four bound sockets speak CURVE alone, on "
        'this host too. "": no encryption.',
    )
    readers: ConfigPath = Field(
        Path("keys/readers"),
        description="Folder of the public keys (*.key) that may use results, maps and recovery. It is read again "
        "while the line runs: a new key counts from the next connection on.",
    )
    controllers: ConfigPath = Field(
        Path("keys/controllers"),
        description="Folder of the public keys that may use control, read again in the same way. A client that may "
        "do both has its key in both folders.",
    )
    cameras: dict[ServerEndpoint, ConfigPath] = Field(
        {},
        description='{ "tcp://10.0.0.5:5555" = "keys/camera1.key" }: public keys of the cameras that speak CURVE, '
        "by their endpoint.",
    )

    @model_validator(mode="after")
    def _cameras_need_the_own_key(self) -> Self:
        if self.cameras and self.secret_key is None:
            raise ValueError("cameras have keys and the worker has none; set secret_key")
        return self


class IntakeSection(Section):
    """Limits for what cameras send: gaps, clocks, deadlines, sizes."""

    reorder_window_ms: PositiveMs = Field(
        200.0, description="Milliseconds to wait for a skipped seq. After them the part is a FAULT (lost)."
    )
    max_gap: int = Field(
        1000,
        ge=1,
        le=100_000,
        description="Largest jump in seq that one frame may claim. A larger one is believed when the next frame "
        "confirms it.",
    )
    heartbeat_ms: int = Field(
        250,
        ge=50,
        le=MAX_HEARTBEAT_MS,
        description="Period of the ZMTP heartbeat, in milliseconds. A camera that misses three is reported lost.",
    )
    receive_hwm: QueueLength = Field(
        8, description="Frames queued in a camera's socket before the camera is held back."
    )
    clock_tolerance_ms: PositiveMs = Field(
        1000.0,
        description="A frame whose trigger is stamped more milliseconds in the future comes from a wrong clock and is "
        "a FAULT (clock_skew).",
    )
    max_deadline_ms: PositiveMs = Field(
        60_000.0,
        description="Longest deadline, in milliseconds. A longer one in a header is cut to it. A frame whose trigger "
        "lies further back is a FAULT (clock_skew).",
    )
    sealed_only: bool = Field(
        False,
        description="true: frames without checksums and seal are FAULTs (checksum; WIRE.md, integrity).",
    )
    repeated: Literal["fault", "warn"] = Field(
        "fault",
        description="A frame with the bytes of an earlier one, or with one array of the newest 16 of its camera, is a "
        "FAULT (repeated_frame). warn: it is inspected, logged, and its result says so. No sensor gives the same bytes "
        "twice; a frozen frame grabber does.",
    )
    repeated_frames: int = Field(
        10_000,
        ge=1,
        le=1_000_000,
        description="Newest frames of the line with which each frame is compared, 400 bytes each. Simulated frames are "
        "compared with the one before alone.",
    )
