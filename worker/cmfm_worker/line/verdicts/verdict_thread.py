"""The desk: every trigger is entered here, every verdict leaves from here, exactly once.

One thread owns the account of triggers, the outgoing sockets and the ledger's intake. It also keeps the
deadlines: a trigger whose deadline passes is answered with a FAULT then and there, and a decision that
comes later is only counted. Between two looks at the deadlines it does one small thing: a verdict, a map, a
request. Whatever else waits, however much of it, holds no verdict up for longer.
"""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

import structlog
import zmq

from cmfm_protocol.wire.errors import LocalProtocolError
from cmfm_protocol.wire.result import Result
from cmfm_protocol.wire.verdict import Reason, Verdict
from cmfm_worker.clock import NS_PER_MS, Clock
from cmfm_worker.line.health.liveness import CompletedTurns
from cmfm_worker.line.messages import (
    Arrived,
    BookEvent,
    Closed,
    Decision,
    Noticed,
    Opened,
    SourceChanged,
    SourceSeen,
    Trigger,
    TriggerKey,
    fault,
)
from cmfm_worker.line.net.wakeable_queue import WakeableQueue
from cmfm_worker.line.records.recorder import Evidence
from cmfm_worker.line.verdicts.account import Account
from cmfm_worker.line.verdicts.map_queue import MapQueue
from cmfm_worker.line.verdicts.publisher import Publisher
from cmfm_worker.line.verdicts.requests import ControlServer, RecoveryServer
from cmfm_worker.line.verdicts.result import log_verdict, result_of
from cmfm_worker.line.verdicts.worker_state import StateMessage
from cmfm_worker.settings.sections.records import PublishedMaps

MAX_POLL_MS: Final = 50
"""Longest wait of the desk: a stop is noticed within it."""

STOPPED: Final = fault(Reason.DRAINING, "the worker stopped before this part was decided")
"""What becomes of a part that is open when the desk stops, unless there is more to say."""


class ResultSink(Protocol):
    """Where results go besides the wire (the ledger, the metrics)."""

    def __call__(self, result: Result) -> None:
        """Take a result; must not block."""
        ...


class Note(Protocol):
    """Where a verdict is noted before it is sent, so that the worker after a killed one knows of it."""

    def __call__(self, result: Result, *, recipe_sha: str) -> None:
        """Take note; must not wait for a disk."""
        ...


@dataclass(frozen=True, slots=True)
class BookOptions:
    """How results are made."""

    boot_id: str
    state_ms: float
    maps: PublishedMaps


class VerdictThread:
    """The thread that gives the verdicts out."""

    def __init__(
        self,
        *,
        account: Account,
        options: BookOptions,
        publisher: Publisher,
        recovery: RecoveryServer,
        control: ControlServer,
        sinks: Sequence[ResultSink],
        queue_free: Callable[[], int],
        state: StateMessage,
        on_source: Callable[[SourceChanged | SourceSeen], None],
        clock: Clock,
        record: Callable[[Evidence], None] | None = None,
        lateness: Callable[[int], None] = lambda _late_ns: None,
        note: Note | None = None,
        events: WakeableQueue[BookEvent] | None = None,
    ) -> None:
        self._record = record
        self._lateness = lateness
        self._note = note
        self._account = account
        self._options = options
        self._publisher = publisher
        self._recovery = recovery
        self._control = control
        self._sinks = sinks
        self._queue_free = queue_free
        self._state = state
        self._on_source = on_source
        self._clock = clock
        self._mailbox: WakeableQueue[BookEvent] = events or WakeableQueue()
        self._maps = MapQueue(publisher, lambda what: self._notice(Noticed(what)))
        self._result_id = 0
        self._stop = threading.Event()
        self._open_parts = STOPPED
        self.rounds = CompletedTurns()
        self._log = structlog.get_logger("desk")
        self._thread = threading.Thread(target=self._run, name="desk", daemon=True)
        self.failure: BaseException | None = None

    def start(self) -> None:
        """Begin answering."""
        self._thread.start()

    def post(self, event: BookEvent) -> None:
        """Report something to the desk, from any thread. Order is kept for each thread."""
        self._mailbox.post(event)

    def stop(self, *, timeout_s: float, open_parts: Decision = STOPPED) -> None:
        """Answer what is open with this FAULT, send a last state, close the sockets and end."""
        self._open_parts = open_parts
        self._stop.set()
        if self._thread.ident is None:  # never started
            self._release()
        else:
            self._thread.join(timeout_s)

    @property
    def running(self) -> bool:
        """Whether verdicts are being given out."""
        return self._thread.is_alive()

    def _run(self) -> None:
        try:
            self._serve()
        except BaseException as error:  # the service must hear of it: without the desk there are no verdicts
            self.failure = error
            raise
        finally:
            self._release()

    def _serve(self) -> None:
        poller = zmq.Poller()
        for readable in (
            self._mailbox.fileno(),
            self._control.fileno(),
            self._control.socket,
            self._recovery.socket,
        ):
            poller.register(readable, zmq.POLLIN)
        next_state_ns = 0
        self.rounds.begin(self._clock.monotonic_ns())
        while not self._stop.is_set():
            poller.poll(self._wait_ms(next_state_ns))
            self._settle()
            for work in (
                self._send_one_map,
                self._control.serve,
                self._control.serve_done,
                self._recovery.serve,
            ):
                work()
                self._keep_deadlines()
            if self._clock.monotonic_ns() >= next_state_ns:
                self._publisher.state(self._state())
                next_state_ns = self._clock.monotonic_ns() + int(self._options.state_ms * NS_PER_MS)
            self.rounds.complete(self._clock.monotonic_ns())
        self._end()

    def _end(self) -> None:
        self._settle()
        for key in self._account.open_keys():
            self._close(key, self._open_parts)
        while self._maps:  # no deadline is left
            self._maps.send_one()
        self._publisher.state(self._state())

    def _release(self) -> None:
        self._control.close()
        self._recovery.close()
        self._publisher.close()
        self._mailbox.close()

    def _settle(self) -> None:
        """Everything that is known now, in the order in which it was posted, and the deadlines all the while."""
        for event in self._mailbox.collect():
            self._take(event)
            self._keep_deadlines()
        self._keep_deadlines()

    def _keep_deadlines(self) -> None:
        for key in self._account.overdue(self._clock.monotonic_ns()):
            self._close(key, self._overdue(key))

    def _overdue(self, key: TriggerKey) -> Decision:
        if self._account.has_frame(key):
            return fault(Reason.DEADLINE, "no decision by the deadline")
        return fault(Reason.LOST, "announced, but no frame came by the deadline")

    def _take(self, event: BookEvent) -> None:
        if isinstance(event, Opened):
            if not self._account.open(event.trigger):
                self._notice(Noticed("opened_twice"))
            elif event.decision is not None:
                self._close(event.trigger.key, event.decision)
        elif isinstance(event, Arrived):
            if not self._account.replace(event.trigger):
                self._notice(Noticed("frame_after_verdict"))
            elif event.decision is not None:
                self._close(event.trigger.key, event.decision)
        elif isinstance(event, Closed):
            if self._close(event.key, event.decision) and event.noticed:
                self._notice(Noticed(event.noticed))
        elif isinstance(event, Noticed):
            self._notice(event)
        else:
            self._on_source(event)
            if isinstance(event, SourceChanged):  # reported at once, not at the next heartbeat
                self._publisher.state(self._state())

    def _notice(self, event: Noticed) -> None:
        self._account.counts.noticed[event.what] += event.count

    def _close(self, key: TriggerKey, decision: Decision) -> bool:
        """Give a trigger its verdict. False if it has had one."""
        trigger = self._account.close(key)
        if trigger is None:
            self._notice(Noticed("decision_after_verdict"))
            return False
        now_ns = self._clock.monotonic_ns()
        met = now_ns <= trigger.deadline_ns
        recipe_sha = decision.recipe_sha  # also where its verdict comes too late
        if not met and decision.verdict is not Verdict.FAULT:
            decision = fault(Reason.DEADLINE, "decided too late", model_sha=decision.model_sha)
        result = self._send(trigger, decision, recipe_sha, deadline_met=met)
        self._lateness(self._clock.monotonic_ns() - trigger.deadline_ns)
        self._account.book(result.verdict, result.reason)
        for sink in self._sinks:
            sink(result)
        if self._record is not None:
            self._record(Evidence(result, trigger.frame, decision.maps, recipe_sha, decision.batch))
        if result.map_ref and decision.maps is not None:
            self._maps.keep(result, decision.maps)
        log_verdict(self._log, result)
        return True

    def _send(self, trigger: Trigger, decision: Decision, recipe_sha: str, *, deadline_met: bool) -> Result:
        """Publish a decision. One that the wire forbids is a bug of ours and costs its part a FAULT, not the line."""
        self._result_id += 1
        result = self._result(trigger, decision, deadline_met=deadline_met)
        try:
            self._say(result, recipe_sha)
        except LocalProtocolError as error:
            self._log.error("decision_not_sendable", seq=trigger.key.seq, detail=str(error))
            decision = fault(
                Reason.WORKER_ERROR, f"unsendable decision: {error}", model_sha=decision.model_sha
            )
            result = self._result(trigger, decision, deadline_met=deadline_met)
            self._say(result, recipe_sha)
        return result

    def _say(self, result: Result, recipe_sha: str) -> None:
        if self._note is not None:  # first: what was sent must be known after a kill, also if it was not sent
            self._note(result, recipe_sha=recipe_sha)
        self._publisher.result(result)

    def _send_one_map(self) -> None:
        if self._has_time_for_a_map():
            self._maps.send_one()

    def _has_time_for_a_map(self) -> bool:
        return self._maps.has_time(self._clock.monotonic_ns(), self._account.next_deadline_ns())

    def _result(self, trigger: Trigger, decision: Decision, *, deadline_met: bool) -> Result:
        return result_of(
            trigger,
            decision,
            result_id=self._result_id,
            boot_id=self._options.boot_id,
            done_ns=self._clock.realtime_ns(),
            deadline_met=deadline_met,
            queue_free=self._queue_free(),
            drops_total=self._account.counts.faults + (decision.verdict is Verdict.FAULT),
            maps=self._options.maps,
        )

    def _wait_ms(self, next_state_ns: int) -> int:
        if self._has_time_for_a_map():
            return 0
        now_ns = self._clock.monotonic_ns()
        due_ns = min(next_state_ns, self._account.next_deadline_ns() or next_state_ns)
        return min(max(-((now_ns - due_ns) // NS_PER_MS), 0), MAX_POLL_MS)  # rounded up
