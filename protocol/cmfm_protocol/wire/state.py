"""Heartbeats: what cameras and the worker say of themselves on topic `state` (WIRE.md, state)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal, get_args

from cmfm_protocol.wire import limits
from cmfm_protocol.wire.checks import (
    flag,
    integer,
    items,
    name,
    number,
    one_of,
    optional,
    table_of,
    text,
    time_ns,
)
from cmfm_protocol.wire.record import Part, Table, decode, encode, nested
from cmfm_protocol.wire.verdict import FAULT_REASONS

WorkerPhase = Literal["starting", "ready", "draining", "stopped"]
"""`ready` only after warm-up; frames that arrive earlier wait in the sockets."""

COUNTS: Final = ("triggers", "pass", "fail", "undecided", "fault")
"""Keys of `WorkerState.counts`; triggers = pass + fail + undecided + fault + those still open."""


@dataclass(frozen=True, slots=True)
class CameraState:
    """A camera's heartbeat, sent on its frame socket.

    Every seq below `next_seq` has been sent, so a worker sees the loss of the last frames without a further
    one. `closing`: no more frames of this stream. `sent_ns` CLOCK_REALTIME; `pub_drops` frames the camera
    dropped itself.
    """

    stream_uuid: str
    next_seq: int
    closing: bool
    sent_ns: int
    pub_drops: int = 0


@dataclass(frozen=True, slots=True)
class SourceState:
    """One camera endpoint as the worker sees it. `last_seen_ns` CLOCK_REALTIME, 0 = never."""

    endpoint: str
    stream_uuid: str
    alive: bool
    last_seen_ns: int


@dataclass(frozen=True, slots=True)
class WorkerState:
    """The worker's heartbeat, sent on the results socket and as the answer to `status`.

    `counts` has the keys `COUNTS`; `faults_by_reason` those FAULT reasons that have occurred; both count
    since boot. `queue_free` free ring slots; `in_flight` triggers without a verdict; `device` what computes;
    `sent_ns` CLOCK_REALTIME; `part_ms` what a part costs at present (1000 / `part_ms` parts a second are the most that
    the line can inspect), None where that is not known yet.
    """

    boot_id: str
    phase: WorkerPhase
    uptime_s: float
    counts: dict[str, int]
    faults_by_reason: dict[str, int]
    sources: tuple[SourceState, ...]
    queue_free: int
    in_flight: int
    recipes: tuple[str, ...]
    device: str
    sent_ns: int
    part_ms: float | None = None


CAMERA_TABLE: Final[Table] = {
    "stream_uuid": text(empty=False),
    "next_seq": integer(),
    "closing": flag,
    "sent_ns": time_ns(),
    "pub_drops": integer(),
}
SOURCE_TABLE: Final[Table] = {
    "endpoint": text(),
    "stream_uuid": text(),
    "alive": flag,
    "last_seen_ns": time_ns(),
}
WORKER_TABLE: Final[Table] = {
    "boot_id": text(empty=False),
    "phase": one_of(get_args(WorkerPhase)),
    "uptime_s": number(0),
    "counts": table_of(COUNTS, integer(), complete=True),
    "faults_by_reason": table_of(sorted(FAULT_REASONS), integer(), complete=False),
    "sources": items(nested(SourceState, SOURCE_TABLE), most=limits.MAX_SOURCES),
    "queue_free": integer(),
    "in_flight": integer(),
    "recipes": items(name(), most=limits.MAX_RECIPES),
    "device": text(),
    "sent_ns": time_ns(),
    "part_ms": optional(number(0)),
}


def encode_camera_state(topic: bytes, state: CameraState) -> list[bytes]:
    """`[topic][map]`. Raises LocalProtocolError."""
    return encode(topic, "state", state, CAMERA_TABLE, max_bytes=limits.MAX_STATE_BYTES)


def decode_camera_state(parts: Sequence[Part]) -> CameraState:
    """A camera's heartbeat from `[topic][map]`. Raises RemoteProtocolError."""
    return decode(parts, CameraState, CAMERA_TABLE, max_bytes=limits.MAX_STATE_BYTES)


def encode_worker_state(topic: bytes, state: WorkerState) -> list[bytes]:
    """`[topic][map]`. Raises LocalProtocolError."""
    return encode(topic, "state", state, WORKER_TABLE, max_bytes=limits.MAX_STATE_BYTES)


def decode_worker_state(parts: Sequence[Part]) -> WorkerState:
    """A worker's heartbeat from `[topic][map]`. Raises RemoteProtocolError."""
    return decode(parts, WorkerState, WORKER_TABLE, max_bytes=limits.MAX_STATE_BYTES)
