"""The rules of the verdict book, as events and times in and actions out: no sockets, no threads, no waiting."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import pytest
from tests.unit.made.book import at, closed, due, new_book, of_type, sent, sent_maps
from tests.unit.made.verdicts import BASE_NS, FAIL, PASS, UNDECIDED, frame, maps

from cmfm_protocol.clock import NS_PER_MS
from cmfm_protocol.wire.result import Region
from cmfm_protocol.wire.verdict import Reason, Verdict
from cmfm_worker.line.messages import (
    Arrived,
    BookEvent,
    Decision,
    Noticed,
    Opened,
    SourceChanged,
    SourceSeen,
    fault,
)
from cmfm_worker.line.verdicts.actions import (
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

# One row a rule: steps (milliseconds, event; None checks the deadlines), the verdicts that come out with the step's
# time, and what is counted beside them.
Step = tuple[float, BookEvent | None]
Given = tuple[float, int, Reason]


@dataclass
class Rule:
    """A sequence of steps, and what it must lead to."""

    name: str
    steps: Sequence[Step]
    verdicts: Sequence[Given]
    noticed: dict[str, int]


def announced(seq: int, ms: float) -> Opened:
    """A trigger of whose frame nothing has arrived."""
    return Opened(due(seq, ms, received_ns=None))


RULES = [
    Rule(
        "a decision in time stands",
        [(0, Opened(due(1, 10))), (10, closed(1, PASS))],
        [(10, 1, Reason.BELOW_THRESHOLD)],
        {},
    ),
    Rule(
        "a trigger may come with its decision",
        [(0, Opened(due(1, 10), fault(Reason.MALFORMED)))],
        [(0, 1, Reason.MALFORMED)],
        {},
    ),
    Rule(
        "the first decision counts",
        [(0, Opened(due(1, 10))), (1, closed(1, FAIL)), (2, closed(1, PASS)), (20, None)],
        [(1, 1, Reason.ABOVE_THRESHOLD)],
        {"decision_after_verdict": 1},
    ),
    Rule(
        "opening again changes nothing",
        [(0, Opened(due(1, 10))), (1, Opened(due(1, 99), PASS)), (10, None)],
        [(10, 1, Reason.DEADLINE)],
        {"opened_twice": 1},
    ),
    Rule(
        "a decision after the deadline's FAULT is only counted",
        [(0, Opened(due(1, 10))), (9.9, None), (10, None), (11, closed(1, PASS))],
        [(10, 1, Reason.DEADLINE)],
        {"decision_after_verdict": 1},
    ),
    Rule(
        "a part that was announced and never arrived is lost at its deadline",
        [(0, announced(1, 10)), (10, None), (11, Arrived(due(1, 10))), (12, closed(1, PASS))],
        [(10, 1, Reason.LOST)],
        {"frame_after_verdict": 1, "decision_after_verdict": 1},
    ),
    Rule(
        "an announced part whose frame arrived is not lost",
        [(0, announced(1, 10)), (5, Arrived(due(1, 10))), (10, None)],
        [(10, 1, Reason.DEADLINE)],
        {},
    ),
    Rule(
        "a frame may move the deadline forward",
        [(0, announced(1, 100)), (5, Arrived(due(1, 10))), (10, None)],
        [(10, 1, Reason.DEADLINE)],
        {},
    ),
    Rule(
        "a frame cannot move the deadline back",
        [(0, announced(1, 10)), (5, Arrived(due(1, 100))), (10, None)],
        [(10, 1, Reason.DEADLINE)],
        {},
    ),
    Rule(
        "a refused frame closes its announced part",
        [(0, announced(1, 10)), (5, Arrived(due(1, 10), fault(Reason.CHECKSUM)))],
        [(5, 1, Reason.CHECKSUM)],
        {},
    ),
    Rule(
        "deadlines are checked after every event, whatever the event",
        [
            (0, Opened(due(1, 10))),
            (0, Opened(due(2, 20))),
            (0, Opened(due(3, 30))),
            (10, Noticed("duplicate")),
            (20, Opened(due(4, 99))),
            (30, closed(4, PASS)),
        ],
        [
            (10, 1, Reason.DEADLINE),
            (20, 2, Reason.DEADLINE),
            (30, 4, Reason.BELOW_THRESHOLD),
            (30, 3, Reason.DEADLINE),
        ],
        {"duplicate": 1},
    ),
    Rule(
        "the earliest deadline comes first",
        [(0, Opened(due(1, 30))), (0, Opened(due(2, 10))), (0, Opened(due(3, 20))), (50, None)],
        [(50, 2, Reason.DEADLINE), (50, 3, Reason.DEADLINE), (50, 1, Reason.DEADLINE)],
        {},
    ),
    Rule(
        "an oddity beside a decision is counted if the decision counts",
        [
            (0, Opened(due(1, 10))),
            (1, closed(1, fault(Reason.RING_FULL), "shed")),
            (2, closed(1, fault(Reason.RING_FULL), "shed")),
            (3, Noticed("clock_skew", 4)),
        ],
        [(1, 1, Reason.RING_FULL)],
        {"shed": 1, "decision_after_verdict": 1, "clock_skew": 4},
    ),
    Rule(
        "a decision on an unknown trigger is only counted",
        [(0, closed(1, PASS))],
        [],
        {"decision_after_verdict": 1},
    ),
]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name.replace(" ", "-"))
def test_rule(rule: Rule) -> None:
    """Each row of the table: which verdicts leave, when, and what is counted."""
    book, verdicts = new_book(), list[Given]()
    for ms, event in rule.steps:
        actions = book.check_deadlines(at(ms)) if event is None else book.handle(event, at(ms))
        verdicts += [(ms, result.seq, result.reason) for result in sent(actions)]
    assert verdicts == rule.verdicts
    assert dict(book.totals.noticed) == rule.noticed
    assert book.totals.open == book.totals.triggers - len(verdicts)


@pytest.mark.parametrize("decision", [PASS, FAIL, UNDECIDED], ids=lambda decision: str(decision.verdict))
def test_late_decision_is_a_fault(decision: Decision) -> None:
    """No PASS, no FAIL and no UNDECIDED leaves after its deadline, and no region of a defect with it."""
    region = Region((10, 20, 30, 40), 400, 12.5, 2.0, (15, 25), "3d")
    (result,) = sent(new_book().handle(Opened(due(1, 10), replace(decision, regions=(region,))), at(10.001)))
    assert (result.verdict, result.reason, result.deadline_met) == (Verdict.FAULT, Reason.DEADLINE, False)
    assert (result.detail, result.model_sha, result.regions) == ("decided too late", "m", ())


def test_late_fault_keeps_its_reason() -> None:
    """A FAULT that comes after the deadline says why the part was not inspected, and that it is late."""
    (result,) = sent(new_book().handle(Opened(due(1, 10), fault(Reason.CHECKSUM)), at(11)))
    assert (result.reason, result.deadline_met) == (Reason.CHECKSUM, False)


def test_result_tells_trigger_decision_and_time() -> None:
    """Ids, counts and times of a result: those of its trigger, its decision and its step."""
    region = Region((10, 20, 30, 40), 400, 12.5, 2.0, (15, 25), "3d")
    book = new_book()
    book.handle(Opened(due(4, 10, calib_id="c")), at(0))
    (result,) = sent(book.handle(closed(4, replace(FAIL, regions=(region,))), at(5)))
    assert (result.result_id, result.boot_id, result.seq, result.part_id) == (1, "boot", 4, "p4")
    assert (result.verdict, result.score, result.threshold) == (Verdict.FAIL, 2.0, 1.0)
    assert (result.regions, result.calib_id) == ((region,), "c")
    assert (result.done_ns, result.latency_us) == (BASE_NS + 5 * NS_PER_MS, 5000)
    assert (result.deadline_met, result.queue_free) == (True, 3)


@pytest.mark.parametrize("decision", [PASS, fault(Reason.LOST), replace(PASS, score=float("nan"))])
def test_result_is_noted_before_it_is_sent(decision: Decision) -> None:
    """A worker that is killed after it sent a verdict finds it in the journal: noted, sent, and only then the rest."""
    actions = new_book().handle(Opened(due(1, 10), replace(decision, recipe_sha="c" * 64)), at(0))
    kinds = [type(action) for action in actions if not isinstance(action, LogError)]
    assert kinds == [NoteResult, SendResult, ObserveResult, RecordResult, LogResult]
    (noted,) = of_type(NoteResult, actions)
    assert [noted.result] == sent(actions)
    assert noted.recipe_sha == "c" * 64


def test_result_is_observed_with_its_deadline() -> None:
    """Lateness is measured from the trigger's deadline."""
    actions = new_book().handle(Opened(due(1, 10), PASS), at(0))
    (observed,) = of_type(ObserveResult, actions)
    assert ([observed.result], observed.deadline_ns) == (sent(actions), 10 * NS_PER_MS)


@pytest.mark.parametrize("ms", [5, 15], ids=["in-time", "late"])
def test_result_is_recorded_with_its_evidence(ms: float) -> None:
    """The record gets the result as sent, the frame as received and the recipe; maps only if it was in time."""
    received, decision = frame(1), replace(PASS, maps=maps(), recipe_sha="c" * 64, batch=3)
    book = new_book()
    actions = book.handle(Opened(due(1, 10, frame=received), decision), at(ms))
    (recorded,) = of_type(RecordResult, actions)
    evidence = recorded.evidence
    assert [evidence.result] == sent(actions)
    assert evidence.frame is received
    assert evidence.recipe_sha == "c" * 64
    assert evidence.maps is (decision.maps if ms < 10 else None)


def test_drops_total_includes_the_present_fault() -> None:
    """Every result says how many FAULTs there were since boot, a FAULT counting itself."""
    book, drops = new_book(), []
    unsendable = replace(PASS, score=float("inf"))
    for seq, decision in enumerate([PASS, fault(Reason.LOST), PASS, unsendable, FAIL, fault(Reason.LOST)]):
        drops += [result.drops_total for result in sent(book.handle(Opened(due(seq, 10), decision), at(0)))]
    drops += [
        result.drops_total for result in sent(book.handle(Opened(due(9, 10), PASS), at(11)))
    ]  # too late
    assert drops == [0, 1, 1, 2, 2, 3, 4]
    assert book.totals.faults == 4


def test_decision_that_the_wire_forbids_is_a_fault() -> None:
    """A bug that makes a decision unsendable costs that part a FAULT. The invalid result is noted nowhere."""
    book = new_book()
    actions = book.handle(Opened(due(1, 10), replace(PASS, score=float("inf"))), at(0))
    (first,) = sent(actions)
    (error,) = of_type(LogError, actions)
    assert (first.result_id, first.verdict, first.reason) == (1, Verdict.FAULT, Reason.WORKER_ERROR)
    assert [noted.result.verdict for noted in of_type(NoteResult, actions)] == [Verdict.FAULT]
    assert (error.event, error.facts["seq"]) == ("decision_not_sendable", 1)
    assert (book.totals.verdicts[Verdict.PASS], book.totals.faults) == (0, 1)
    (second,) = sent(book.handle(Opened(due(2, 10), PASS), at(0)))
    assert (second.result_id, second.verdict) == (2, Verdict.PASS)


def test_camera_that_connects_or_goes_is_reported_at_once() -> None:
    """A changed connection sends the worker state; a message from a camera waits for the next heartbeat."""
    book = new_book()
    gone, seen = SourceChanged("tcp://c", alive=False), SourceSeen("tcp://c", "u")
    assert book.handle(gone, at(0)) == [UpdateSource(gone), SendState()]
    assert book.handle(seen, at(0)) == [UpdateSource(seen)]


def test_end_closes_what_is_open_and_sends_all_maps() -> None:
    """After the end no trigger is without a verdict and no map is left, however near the deadlines were."""
    book = new_book()
    for seq in range(3):
        book.handle(Opened(due(seq, 10), replace(PASS, maps=maps())), at(0))
    book.handle(Opened(due(7, 10)), at(9))
    book.handle(Opened(due(8, 11)), at(9))
    actions = book.end(fault(Reason.DRAINING, "stopped"), at(9.5))
    assert [(result.seq, result.reason, result.detail) for result in sent(actions)] == [
        (7, Reason.DRAINING, "stopped"),
        (8, Reason.DRAINING, "stopped"),
    ]
    assert sent_maps(actions) == [0, 1, 2]
    kinds = [type(action) for action in actions]
    assert kinds.index(SendMaps) > max(i for i, kind in enumerate(kinds) if kind is SendResult)
    assert (book.totals.open, book.totals.closed) == (0, 5)
    assert book.end(fault(Reason.DRAINING), at(99)) == []
