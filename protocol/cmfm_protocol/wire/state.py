"""Heartbeats of cameras and of the worker, on topics of kind `state` (WIRE.md, state)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Final, Literal, get_args

from cmfm_protocol.wire import limits
from cmfm_protocol.wire.encoding import MessageFrame, decode, encode
from cmfm_protocol.wire.fields import Meaning, Since, Unit, nested
from cmfm_protocol.wire.result import BootId
from cmfm_protocol.wire.verdict import FAULT_REASONS
from cmfm_protocol.wire.wire_types import (
    flag,
    integer,
    items,
    map_of,
    name,
    number,
    one_of,
    optional,
    text,
    time_ns,
)

WorkerPhase = Literal["starting", "ready", "draining", "stopped"]
"""`ready` only after warm-up; frames that arrive earlier wait in the sockets."""

COUNTS: Final = ("triggers", "pass", "fail", "undecided", "fault")
"""Keys of `WorkerState.counts`; triggers = pass + fail + undecided + fault + those still open."""

SentNs = Annotated[int, time_ns(), Unit("ns"), Meaning("CLOCK_REALTIME")]


@dataclass(frozen=True, slots=True)
class CameraState:
    """A camera's heartbeat, sent on its frame socket.

    The worker sees from `next_seq` that the last frames were lost, without a further frame.
    """

    stream_uuid: Annotated[str, text(empty=False), Meaning("as in the frames")]
    next_seq: Annotated[
        int, integer(), Meaning("every lower number has been sent (or given up, and counted in `pub_drops`)")
    ]
    closing: Annotated[bool, flag(), Meaning("no further frame of this stream will come")]
    sent_ns: SentNs
    pub_drops: Annotated[int, integer(), Unit("frames"), Meaning("as in the frame header")] = 0


@dataclass(frozen=True, slots=True)
class SourceState:
    """One camera endpoint as the worker sees it."""

    endpoint: Annotated[str, text(), Meaning("as configured")]
    stream_uuid: Annotated[str, text(), Meaning("newest stream seen there; empty before the first")]
    alive: Annotated[bool, flag(), Meaning("its messages' connection is up, and it replies to heartbeats")]
    last_seen_ns: Annotated[
        int, time_ns(), Unit("ns"), Meaning("CLOCK_REALTIME of the last sign of life; 0 for never")
    ]
    last_frame_ns: Annotated[
        int,
        time_ns(),
        Since(2),
        Unit("ns"),
        Meaning("CLOCK_REALTIME of the last readable frame, to 0.1 s; 0 for never"),
    ] = 0
    name: Annotated[
        str, text(max_bytes=limits.MAX_NAME_CHARS), Since(2), Meaning("the camera's name in `line.toml`")
    ] = ""


@dataclass(frozen=True, slots=True)
class CollectState:
    """The worker's newest `collect` request and what became of it."""

    product: Annotated[str, name(), Meaning("of the request")]
    wanted: Annotated[
        int, integer(), Unit("parts"), Meaning("of the request; once stopped, what was kept until then")
    ]
    collected: Annotated[
        int, integer(), Unit("parts"), Meaning("kept since the request; at `wanted` it ends")
    ]
    dropped: Annotated[
        int,
        integer(),
        Unit("parts"),
        Meaning("that should have been kept and were not; others take their place"),
    ]
    every: Annotated[int, integer(1), Unit("parts"), Meaning("of the request")] = 1
    frames_of: Annotated[str, text(max_bytes=limits.MAX_NAME_CHARS), Meaning("of the request")] = ""
    detail: Annotated[str, text(), Meaning("why the last one was dropped; empty if none was")] = ""


@dataclass(frozen=True, slots=True)
class WorkerState:
    """The worker's heartbeat, sent on the results socket, and its reply to `status`."""

    boot_id: Annotated[BootId, Meaning("as in the results")]
    phase: Annotated[WorkerPhase, one_of(get_args(WorkerPhase)), Meaning("`ready` only after warm-up")]
    uptime_s: Annotated[float, number(0), Unit("s"), Meaning("since the boot")]
    counts: Annotated[
        dict[str, int],
        map_of(COUNTS, integer(), complete=True),
        Unit("parts"),
        Meaning("`triggers`, `pass`, `fail`, `undecided`, `fault`, all five, since the boot"),
    ]
    faults_by_reason: Annotated[
        dict[str, int],
        map_of(sorted(FAULT_REASONS), integer(), complete=False),
        Unit("parts"),
        Meaning("FAULT reasons that have occurred, since the boot"),
    ]
    sources: Annotated[
        tuple[SourceState, ...],
        items(nested(SourceState), most=limits.MAX_SOURCES),
        Meaning("[Source](#source), one a camera endpoint"),
    ]
    queue_free: Annotated[int, integer(), Unit("slots"), Meaning("free frame buffers")]
    in_flight: Annotated[int, integer(), Unit("parts"), Meaning("triggers without a verdict")]
    recipes: Annotated[
        tuple[str, ...], items(name(), most=limits.MAX_RECIPES), Meaning("recipes that are loaded")
    ]
    device: Annotated[str, text(), Meaning("the device that computes")]
    sent_ns: SentNs
    part_ms: Annotated[
        float | None,
        optional(number(0)),
        Since(1),
        Unit("ms"),
        Meaning(
            "cost of one part at present, from the newest batches, before the first from the warm-up; "
            "nil: not known. More than 1000 / `part_ms` parts a second cannot be inspected"
        ),
    ] = None
    collecting: Annotated[
        CollectState | None,
        optional(nested(CollectState)),
        Since(3),
        Meaning("[Collecting](#collecting), the newest `collect` request; nil: none since the boot"),
    ] = None

    @property
    def published(self) -> int:
        """Results that the worker had published: the newest `result_id` of its boot."""
        return sum(count for name, count in self.counts.items() if name != "triggers")


def encode_camera_state(topic: bytes, state: CameraState) -> list[bytes]:
    """`[topic][map]`. Raises LocalProtocolError."""
    return encode(topic, "state", state, max_bytes=limits.MAX_STATE_BYTES)


def decode_camera_state(message: Sequence[MessageFrame]) -> CameraState:
    """A camera's heartbeat from `[topic][map]`. Raises RemoteProtocolError."""
    return decode(message, CameraState, max_bytes=limits.MAX_STATE_BYTES)


def encode_worker_state(topic: bytes, state: WorkerState) -> list[bytes]:
    """`[topic][map]`. Raises LocalProtocolError."""
    return encode(topic, "state", state, max_bytes=limits.MAX_STATE_BYTES)


def decode_worker_state(message: Sequence[MessageFrame]) -> WorkerState:
    """A worker's heartbeat from `[topic][map]`. Raises RemoteProtocolError."""
    return decode(message, WorkerState, max_bytes=limits.MAX_STATE_BYTES)
