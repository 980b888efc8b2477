"""The verdict book's input and output values: the time of a step, and the actions that the step asks for."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from cmfm_protocol.wire.result import Result
from cmfm_worker.line.messages import SourceChanged, SourceSeen
from cmfm_worker.line.records.recorder import Evidence
from cmfm_worker.recipes.drift import DriftState


class Now(NamedTuple):
    """The time of one step, and the free slots of the ring at that time."""

    monotonic_ns: int  # deadlines are kept by it
    realtime_ns: int  # written into results
    queue_free: int


@dataclass(frozen=True, slots=True)
class NoteResult:
    """Write a result into the journal. Always comes before its `SendResult`."""

    result: Result
    recipe_sha: str


@dataclass(frozen=True, slots=True)
class SendResult:
    """Send an encoded result (topic, payload)."""

    message: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class ObserveResult:
    """Add a result that was sent to the histograms of latency and lateness."""

    result: Result
    deadline_ns: int  # CLOCK_MONOTONIC


@dataclass(frozen=True, slots=True)
class RecordResult:
    """Hand a result over to the recorder, with the frame and the maps that it was found from."""

    evidence: Evidence


@dataclass(frozen=True, slots=True)
class LogResult:
    """Write the log line of a result."""

    result: Result


@dataclass(frozen=True, slots=True)
class LogError:
    """Log an error: a verdict or map that could not be sent, or a contradiction that came after the verdict."""

    event: str
    facts: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class LogDrift:
    """Log that the parts of a recipe have begun to drift, or do so no longer."""

    recipe: str
    state: DriftState


@dataclass(frozen=True, slots=True)
class SendMaps:
    """Send a part's encoded maps. The frames of the message are views of its arrays."""

    message: tuple[bytes | memoryview, ...]


@dataclass(frozen=True, slots=True)
class UpdateSource:
    """Enter a camera's connection or stream into the worker state."""

    event: SourceChanged | SourceSeen


@dataclass(frozen=True, slots=True)
class SendState:
    """Send the worker state now, not at the next heartbeat."""


Action = (
    NoteResult
    | SendResult
    | ObserveResult
    | RecordResult
    | LogResult
    | LogError
    | LogDrift
    | SendMaps
    | UpdateSource
    | SendState
)
