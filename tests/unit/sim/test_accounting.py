"""The account from outside the worker: each violation of the identity, and the figures."""

from collections.abc import Sequence

import pytest
from tests.unit.made.line_messages import received, worker_state

from cmfm_client.events import Received
from cmfm_protocol.wire.frame import UNATTRIBUTED_STREAM
from cmfm_protocol.wire.verdict import Reason, Verdict
from cmfm_sim.accounting import account, compare_with_worker
from cmfm_sim.faults import MUST_FAULT, FaultKind
from cmfm_sim.spread import Spread
from cmfm_sim.trigger_log import TriggerRecord

from .made_values import trigger

PASS, FAIL, UNDECIDED, FAULT = Verdict
STRAY = received(0, FAULT, result_id=99, stream_uuid=UNATTRIBUTED_STREAM, reason=Reason.CHECKSUM)


@pytest.mark.parametrize(
    ("triggers", "results"),
    [
        ([], []),
        ([trigger(0), trigger(1)], [received(0), received(1, FAIL)]),
        ([trigger(0), trigger(1)], [received(1), received(0)]),
        (
            [trigger(0)],
            [received(0), received(0, after_ms=None)],
        ),  # heard live, then recovered: the same result
        ([trigger(0, faults=(FaultKind.DROP,))], [received(0, FAULT)]),
        ([trigger(0, faults=(FaultKind.DUPLICATE,))], [received(0)]),
        ([trigger(0, faults=(FaultKind.STALL,))], [received(0, FAULT, reason=Reason.DEADLINE)]),
        ([trigger(0, sent=False)], [received(0, FAULT)]),
        ([trigger(0)], [received(0), STRAY]),
        ([trigger(0), trigger(0, stream_uuid="b")], [received(0), received(0, stream_uuid="b", result_id=2)]),
    ],
)
def test_identity_holds(triggers: Sequence[TriggerRecord], results: Sequence[Received]) -> None:
    """Every trigger has exactly one verdict, and a part that cannot have been inspected has a FAULT."""
    assert account(triggers, results).problems() == []
    assert account(triggers, results).holds


@pytest.mark.parametrize(
    ("triggers", "results", "problem"),
    [
        ([trigger(0), trigger(1)], [received(0)], "1 triggers without a verdict: stream/1"),
        ([trigger(0)], [], "1 triggers without a verdict"),
        (
            [trigger(0)],
            [received(0), received(0, result_id=2)],
            "1 triggers with more than one verdict: stream/0",
        ),
        ([trigger(0)], [received(0), received(0, FAIL)], "more than one verdict"),  # one id, two contents
        ([trigger(0)], [received(0), received(5)], "1 verdicts on parts that were never triggered: stream/5"),
        ([trigger(0)], [received(0, stream_uuid="other")], "1 verdicts on parts that were never triggered"),
        ([trigger(0, sent=False)], [received(0)], "cannot have been inspected: stream/0"),
        ([], [received(0, PASS, stream_uuid=UNATTRIBUTED_STREAM)], "cannot have been inspected"),
    ],
)
def test_violation_of_the_identity_is_named(
    triggers: Sequence[TriggerRecord], results: Sequence[Received], problem: str
) -> None:
    """With the trigger that it is about."""
    counted = account(triggers, results)
    assert not counted.holds
    assert problem in "; ".join(counted.problems())


@pytest.mark.parametrize("kind", sorted(MUST_FAULT))
@pytest.mark.parametrize("verdict", [PASS, FAIL, UNDECIDED])
def test_a_part_whose_frame_was_destroyed_can_only_be_a_fault(kind: FaultKind, verdict: Verdict) -> None:
    """Any other verdict on it is a violation."""
    counted = account([trigger(0, faults=(kind,))], [received(0, verdict)])
    assert counted.not_inspected == (("stream", 0),)


def test_wrong_verdicts_are_named_by_their_parts() -> None:
    """Escapes are defective parts that passed, false rejects good ones that failed; FAULT and UNDECIDED are neither."""
    triggers = [trigger(seq, label=int(seq >= 4), defect="hole" if seq >= 4 else "good") for seq in range(8)]
    verdicts = [PASS, FAIL, UNDECIDED, FAULT, PASS, FAIL, UNDECIDED, FAULT]
    counted = account(triggers, [received(seq, verdict) for seq, verdict in enumerate(verdicts)])
    assert (counted.good, counted.defective) == (4, 4)
    assert counted.escapes == ("part-4",)
    assert counted.false_rejects == ("part-1",)
    assert counted.verdicts == dict.fromkeys(Verdict, 2)
    assert counted.results == 8


def test_latency_runs_from_the_scheduled_trigger_to_the_arrival() -> None:
    """For inspected parts; a recovered verdict counts from `done_ns`, as its arrival says nothing."""
    results = [
        received(0, after_ms=30),
        received(1, after_ms=50),
        received(2, after_ms=None),
        received(3, FAULT),
    ]
    latency = account([trigger(seq) for seq in range(4)], results).latency_ms
    assert latency is not None
    assert (latency.p50, latency.most) == (30.0, 50.0)


def test_a_sender_that_was_late_is_part_of_the_latency() -> None:
    """The record has the time of the real trigger, whatever the header says."""
    latency = account(
        [trigger(0, trigger_ns=1_000_000_000 - 40_000_000)], [received(0, after_ms=30)]
    ).latency_ms
    assert latency == Spread(70.0, 70.0, 70.0, 70.0)


def test_verdicts_are_due_by_the_deadline_and_five_milliseconds() -> None:
    """A part without a verdict is not on time; a recovered one says nothing of its arrival."""
    due_ms = [1000.0, 15.0, 14.0, 1000.0, 1000.0]
    triggers = [trigger(seq, deadline_ms=deadline_ms) for seq, deadline_ms in enumerate(due_ms)]
    results = [
        received(0),
        received(1),
        received(2),
        received(3, after_ms=None),
    ]  # given after 20 ms, here after 30
    found = account(triggers, results).punctuality
    assert (found.parts, found.given, found.heard, found.arrived) == (5, 3, 3, 1)
    assert found.given_late_ms == Spread(0.0, 6.0, 6.0, 6.0)
    assert found.arrived_late_ms == Spread(15.0, 16.0, 16.0, 16.0)


def test_frames_per_second_runs_from_the_first_trigger_to_the_last_verdict() -> None:
    """Ten parts, 100 ms apart, the last one done after 20 ms."""
    counted = account([trigger(seq) for seq in range(10)], [received(seq) for seq in range(10)])
    assert counted.frames_per_second == pytest.approx(10 / 0.92)


def test_without_an_inspected_part_there_are_no_figures() -> None:
    """They are None, not zeros that would read as fast."""
    counted = account([trigger(0)], [received(0, FAULT)])
    assert counted.latency_ms is None
    assert counted.frames_per_second is None


def test_percentiles_are_values_that_occurred() -> None:
    """The nearest rank; p99 of a hundred is the second largest, p99.9 the largest."""
    assert Spread.of([float(value) for value in range(1, 101)]) == Spread(50.0, 99.0, 100.0, 100.0)
    assert Spread.of([float(value) for value in range(1, 10_001)]) == Spread(5000.0, 9900.0, 9990.0, 10_000.0)
    assert Spread.of([]) is None


def test_the_workers_own_count_must_be_the_one_outside() -> None:
    """The worker counts unattributed FAULTs as triggers."""
    outside = account([trigger(0), trigger(1)], [received(0), received(1, FAIL), STRAY])
    assert compare_with_worker(outside, worker_state({PASS: 1, FAIL: 1, FAULT: 1})) == []
    assert compare_with_worker(outside, worker_state({PASS: 2, FAULT: 1})) == [
        "PASS: 1 counted outside, 2 by the worker",
        "FAIL: 1 counted outside, 0 by the worker",
    ]
    assert compare_with_worker(outside, None) == ["the worker's own count was not received"]


def test_a_worker_whose_count_does_not_add_up_is_told_so() -> None:
    """Also if each figure is right by itself."""
    state = worker_state({PASS: 1})
    state.counts["triggers"] = 2
    problems = compare_with_worker(account([trigger(0)], [received(0)]), state)
    assert any("does not add up" in problem for problem in problems)
