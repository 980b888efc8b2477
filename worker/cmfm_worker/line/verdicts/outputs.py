"""Carries out the verdict book's actions: journal, sockets, metrics, recorder, log, worker state."""

from collections.abc import Callable, Iterable
from typing import Protocol, assert_never

import structlog

from cmfm_protocol.clock import Clock
from cmfm_protocol.wire.result import Result
from cmfm_protocol.wire.state import WorkerState
from cmfm_worker.line.messages import SourceChanged, SourceSeen
from cmfm_worker.line.records.recorder import Evidence
from cmfm_worker.line.verdicts.actions import (
    Action,
    LogDrift,
    LogError,
    LogResult,
    NoteResult,
    ObserveResult,
    RecordResult,
    SendMaps,
    SendResult,
    SendState,
    UpdateSource,
)
from cmfm_worker.line.verdicts.publisher import Publisher
from cmfm_worker.line.verdicts.result import log_drift, log_verdict


class Note(Protocol):
    """Writes a result into the journal before it is sent, for the worker that starts after a kill."""

    def __call__(self, result: Result, *, recipe_sha: str) -> None:
        """Write one result; must not wait for a disk."""
        ...


class Outputs:
    """Where the verdict book's actions go. None of them may block.

    `note` is None without a ledger. `observe(result, late_ns)` takes a result that was sent; `late_ns` is the send time
    minus the deadline.
    """

    def __init__(
        self,
        *,
        publisher: Publisher,
        worker_state: Callable[[], WorkerState],
        update_source: Callable[[SourceChanged | SourceSeen], None],
        clock: Clock,
        note: Note | None,
        observe: Callable[[Result, int], None],
        record: Callable[[Evidence], None],
    ) -> None:
        self._publisher = publisher
        self._worker_state = worker_state
        self._update_source = update_source
        self._clock = clock
        self._note = note
        self._observe = observe
        self._record = record
        self._log = structlog.get_logger("verdicts")

    def carry_out(self, actions: Iterable[Action]) -> None:
        """Carry out the actions in order."""
        for action in actions:
            self._carry_out(action)

    def send_state(self) -> None:
        """Send the worker state of now."""
        self._publisher.state(self._worker_state())

    def close(self) -> None:
        """Close the sockets; what is queued is still delivered within the linger time."""
        self._publisher.close()

    def _carry_out(self, action: Action) -> None:
        match action:
            case NoteResult(result, recipe_sha):
                if self._note is not None:
                    self._note(result, recipe_sha=recipe_sha)
            case SendResult(message):
                self._publisher.result(message)
            case ObserveResult(result, deadline_ns):
                self._observe(result, self._clock.monotonic_ns() - deadline_ns)
            case RecordResult(evidence):
                self._record(evidence)
            case LogResult(result):
                log_verdict(self._log, result)
            case LogError(event, facts):
                self._log.error(event, **facts)
            case LogDrift(recipe, state):
                log_drift(self._log, recipe, state)
            case SendMaps(message):
                self._publisher.maps(message)
            case UpdateSource(event):
                self._update_source(event)
            case SendState():
                self.send_state()
            case _:
                assert_never(action)
