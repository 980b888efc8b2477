"""The verdict book: the rules by which every trigger gets exactly one verdict.

The rules:

1. A trigger is opened once. Opening it again is counted (`opened_twice`) and changes nothing.
2. The first decision counts. Later decisions are counted (`decision_after_verdict`), later frames too
   (`frame_after_verdict`).
3. No PASS, FAIL or UNDECIDED after the deadline: a decision that comes later becomes FAULT `deadline`.
4. A deadline that passes without a decision gives FAULT `deadline`, or FAULT `lost` if nothing of the frame arrived.
   Deadlines are checked after every event; the caller checks them between other pieces of work (`check_deadlines`).
5. A result is noted in the journal before it is sent. Then it is observed, recorded and logged, in this order.
6. A decision that the wire forbids becomes FAULT `worker_error`. It costs one part, not the line.
7. `drops_total` of a result counts all FAULTs since boot, the result itself included.
8. Maps wait in a queue until no deadline is near (`map_queue`). At the end all of them are sent.
   Maps that are dropped or that the wire forbids are counted and cost no verdict.
9. A camera that connects or goes is reported at once.
10. At the end every open trigger gets the FAULT that the caller names.
11. A message that contradicts what an open trigger was inspected by closes it with a FAULT (`contradiction`). If the
    verdict is out it stands; that is counted (`contradiction_after_verdict`) and logged as an error. A further message
    that agrees can fill what is empty and bring the deadline forward. What it fills counts for the decision too.
12. A part with a score joins the window of its recipe, also if it is late. While the recipe's parts have drifted, and
    its `[drift] act` is undecided, a part that would PASS is UNDECIDED `drift` (`recipes.drift`).
13. `triggers = pass + fail + undecided + fault + open` holds after every step, for readers in other threads too.

The book does no I/O: events and time go in, actions come out, to be carried out in order. One thread steps it.
Any thread may read `totals`.
"""

from dataclasses import replace

from cmfm_protocol.wire.anomaly_map import encode_maps
from cmfm_protocol.wire.errors import LocalProtocolError
from cmfm_protocol.wire.result import Result, encode_result
from cmfm_protocol.wire.verdict import Reason, Verdict
from cmfm_worker.line.health.totals import Totals
from cmfm_worker.line.messages import (
    Amended,
    Arrived,
    BookEvent,
    Closed,
    Contradicted,
    Decision,
    Noticed,
    Opened,
    SourceChanged,
    SourceSeen,
    Trigger,
    TriggerKey,
    fault,
)
from cmfm_worker.line.records.recorder import Evidence
from cmfm_worker.line.verdicts.account import Account
from cmfm_worker.line.verdicts.actions import (
    Action,
    LogDrift,
    LogError,
    LogResult,
    NoteResult,
    Now,
    ObserveResult,
    RecordResult,
    SendMaps,
    SendResult,
    SendState,
    UpdateSource,
)
from cmfm_worker.line.verdicts.map_queue import MapQueue
from cmfm_worker.line.verdicts.result import maps_of, result_of
from cmfm_worker.settings.sections.records import PublishedMaps


class VerdictBook:
    """The triggers of one boot, from opening to verdict. `maps`: the verdicts whose maps are sent."""

    def __init__(self, *, boot_id: str, result_topic: bytes, map_topic: bytes, maps: PublishedMaps) -> None:
        self._boot_id = boot_id
        self._result_topic = result_topic
        self._map_topic = map_topic
        self._maps = maps
        self._account = Account()
        self._map_queue = MapQueue()
        self._result_id = 0

    @property
    def totals(self) -> Totals:
        """Totals after the last step."""
        return self._account.totals

    def handle(self, event: BookEvent, now: Now) -> list[Action]:
        """Apply one event, then check the deadlines."""
        return [*self._apply(event, now), *self.check_deadlines(now)]

    def check_deadlines(self, now: Now) -> list[Action]:
        """Give every trigger whose deadline has passed its FAULT, earliest first."""
        actions: list[Action] = []
        for trigger in self._account.overdue(now.monotonic_ns):
            actions += self._decide(trigger.key, _decision_when_overdue(trigger), now)
        return actions

    def send_map(self, now: Now) -> list[Action]:
        """Send one map, if one waits and the next deadline leaves time for it."""
        return [self._next_map()] if self._has_time_for_map(now.monotonic_ns) else []

    def end(self, open_triggers: Decision, now: Now) -> list[Action]:
        """Give every open trigger this decision, a FAULT, and send all maps that wait."""
        actions: list[Action] = []
        for key in self._account.open_keys():
            actions += self._decide(key, open_triggers, now)
        while self._map_queue:
            actions.append(self._next_map())
        return actions

    def due_ns(self, now_ns: int) -> int | None:
        """Return when the book has to be stepped although no event comes (CLOCK_MONOTONIC), None if never.

        That is now if a map can be sent, else the next deadline.
        """
        return now_ns if self._has_time_for_map(now_ns) else self._account.next_deadline_ns()

    def _apply(self, event: BookEvent, now: Now) -> list[Action]:
        match event:
            case Opened(trigger, decision):
                if self._account.open(trigger):
                    return [] if decision is None else self._decide(trigger.key, decision, now)
                self._account.notice("opened_twice")
            case Arrived(trigger, decision):
                if self._account.update(trigger):
                    return [] if decision is None else self._decide(trigger.key, decision, now)
                self._account.notice("frame_after_verdict")
            case Amended(trigger):
                self._amend(trigger)
            case Contradicted(key, decision):
                return self._contradict(key, decision, now)
            case Closed(key, decision, noticed):
                actions = self._decide(key, decision, now)
                if actions and noticed:
                    self._account.notice(noticed)
                return actions
            case Noticed(what, count):
                self._account.notice(what, count)
            case SourceSeen():
                return [UpdateSource(event)]
            case SourceChanged():
                return [UpdateSource(event), SendState()]
        return []

    def _amend(self, trigger: Trigger) -> None:
        known = self._account.find(trigger.key)
        if known is not None:  # else its verdict is out, and the message agrees with what was inspected
            self._account.update(replace(trigger, frame=known.frame, camera=known.camera))

    def _contradict(self, key: TriggerKey, decision: Decision, now: Now) -> list[Action]:
        if self._account.find(key) is not None:
            self._account.notice("contradiction")
            return self._decide(key, decision, now)
        self._account.notice("contradiction_after_verdict")
        facts = {"stream_uuid": key.stream_uuid, "seq": key.seq, "detail": decision.detail}
        return [LogError("contradiction_after_verdict", facts)]

    def _decide(self, key: TriggerKey, decision: Decision, now: Now) -> list[Action]:
        """Close a trigger with its verdict. Returns no action if it is not open."""
        trigger = self._account.find(key)
        if trigger is None:
            self._account.notice("decision_after_verdict")
            return []
        decision = decision.for_calibration(trigger.calib_id)
        decision, noted = _compared(decision)
        recipe_sha = decision.recipe_sha  # recorded also if the decision comes too late
        in_time = now.monotonic_ns <= trigger.deadline_ns
        if not in_time and decision.verdict is not Verdict.FAULT:
            decision = fault(Reason.DEADLINE, "decided too late", model_sha=decision.model_sha)
        result, message, errors = self._sendable(trigger, decision, now, in_time=in_time)
        self._account.close(key, result.verdict, result.reason)
        if result.map_ref and decision.maps is not None and not self._map_queue.put(result, decision.maps):
            self._account.notice("map_dropped")
        return [
            *errors,
            NoteResult(result, recipe_sha),
            SendResult(message),
            ObserveResult(result, trigger.deadline_ns),
            RecordResult(Evidence(result, trigger.frame, decision.maps, recipe_sha, decision.batch)),
            LogResult(result),
            *noted,
        ]

    def _sendable(
        self, trigger: Trigger, decision: Decision, now: Now, *, in_time: bool
    ) -> tuple[Result, tuple[bytes, ...], list[Action]]:
        """Make and encode the next result. A decision that the wire forbids becomes a FAULT and is logged."""
        self._result_id += 1
        try:
            return *self._encoded(trigger, decision, now, in_time=in_time), []
        except LocalProtocolError as error:
            replacement = fault(
                Reason.WORKER_ERROR, f"unsendable decision: {error}", model_sha=decision.model_sha
            )
            logged = LogError("decision_not_sendable", {"seq": trigger.key.seq, "detail": str(error)})
            return *self._encoded(trigger, replacement, now, in_time=in_time), [logged]

    def _encoded(
        self, trigger: Trigger, decision: Decision, now: Now, *, in_time: bool
    ) -> tuple[Result, tuple[bytes, ...]]:
        result = result_of(
            trigger,
            decision,
            result_id=self._result_id,
            boot_id=self._boot_id,
            done_ns=now.realtime_ns,
            deadline_met=in_time,
            queue_free=now.queue_free,
            drops_total=self.totals.faults + (decision.verdict is Verdict.FAULT),
            maps=self._maps,
        )
        return result, tuple(encode_result(self._result_topic, result))

    def _next_map(self) -> Action:
        result, maps = self._map_queue.take()
        try:
            return SendMaps(tuple(encode_maps(self._map_topic, maps_of(result, maps))))
        except LocalProtocolError as error:
            self._account.notice("map_not_sendable")
            return LogError("map_not_sendable", {"map_ref": result.map_ref, "detail": str(error)})

    def _has_time_for_map(self, now_ns: int) -> bool:
        return self._map_queue.has_time(now_ns, self._account.next_deadline_ns())


def _decision_when_overdue(trigger: Trigger) -> Decision:
    if trigger.received_ns is not None:
        return fault(Reason.DEADLINE, "no decision by the deadline")
    return fault(Reason.LOST, "announced, but no frame came by the deadline")


def _compared(decision: Decision) -> tuple[Decision, list[Action]]:
    """Compare a part with the nominal parts of its recipe. Return the decision on it, and what is to be logged."""
    monitor = decision.drift
    if monitor is None or decision.score is None:
        return decision, []
    changed = monitor.add(decision.score, decision.coverage)
    logged: list[Action] = [LogDrift(monitor.name, monitor.state)] if changed else []
    return (decision.as_drifted() if monitor.calls_undecided else decision), logged
