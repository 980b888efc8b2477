"""Chaos plans drawn from a seed, and the time until dead peers are reported."""

import pytest

from cmfm_sim.chaos.connected import Span, connected_spans
from cmfm_sim.chaos.guests import healing_ms, not_healed
from cmfm_sim.chaos.peers import Report, reports
from cmfm_sim.chaos.plan import ActKind, ChaosPlan
from cmfm_sim.chaos.run import Done
from cmfm_sim.faults import FaultPlan

CAMERA = "tcp://camera"
S = 10**9


def test_the_seed_says_all() -> None:
    """The same seed draws the same plan, another seed another one."""
    assert ChaosPlan.draw(3, 60) == ChaosPlan.draw(3, 60)
    assert ChaosPlan.draw(3, 60) != ChaosPlan.draw(4, 60)
    assert str(ChaosPlan.draw(3, 60)) == str(ChaosPlan.draw(3, 60))


@pytest.mark.parametrize("seed", range(20))
def test_acts_leave_each_other_room(seed: int) -> None:
    """All within the time; nothing is done to a target that is still disturbed; every kind has its turn."""
    plan = ChaosPlan.draw(seed, 240)
    until_s: dict[str, float] = {}
    for act in plan.acts:
        assert all(act.at_s >= until_s.get(target, 0) for target in act.kind.holds)
        assert act.at_s + act.for_s <= 240
        until_s |= dict.fromkeys(act.kind.holds, act.at_s + act.for_s)
    assert {act.kind for act in plan.acts} == set(ActKind)


def test_rounds_disturb_each_process_in_turn() -> None:
    """Each of the three every 30 s, killed and stopped alternately."""
    plan = ChaosPlan.in_turn(0, 121, every_s=30)
    assert [act.kind.target for act in plan.acts[:4]] == ["camera", "worker", "subscriber", "camera"]
    assert {act.kind.verb for act in plan.acts} == {"kill", "stop"}
    assert plan.acts[3].at_s - plan.acts[0].at_s == 30


def test_frame_faults_of_the_kit_are_a_plan_for_its_deadline() -> None:
    """Late frames come after a deadline of 2 s."""
    FaultPlan.parse(ChaosPlan.draw(0, 10).frame_faults).check_deadline(2000)


def heard(*, camera_gone_ns: int, link_gone_ns: int) -> list[dict[str, object]]:
    return [
        {"at_ns": 1 * S, "event": "link", "alive": True},
        {"at_ns": 1 * S, "event": "state", "boot_id": "b", "alive": {CAMERA: True}},
        {"at_ns": camera_gone_ns, "event": "state", "boot_id": "b", "alive": {CAMERA: False}},
        {"at_ns": link_gone_ns, "event": "link", "alive": False},
    ]


def test_reports_say_how_soon() -> None:
    """A camera's death by the worker's state, a worker's by the connection."""
    events = heard(camera_gone_ns=10 * S + 700_000_000, link_gone_ns=20 * S + S // 2)
    done = [Done(ActKind.STOP_CAMERA, 10 * S, 12 * S), Done(ActKind.KILL_WORKER, 20 * S, 21 * S)]
    assert reports(done, events, CAMERA) == [
        Report(ActKind.STOP_CAMERA, 700.0),
        Report(ActKind.KILL_WORKER, 500.0),
    ]


def test_death_that_nobody_reports_is_told() -> None:
    """Silence is not a report."""
    events = heard(camera_gone_ns=60 * S, link_gone_ns=70 * S)
    assert reports([Done(ActKind.KILL_CAMERA, 10 * S, 12 * S)], events, CAMERA) == [
        Report(ActKind.KILL_CAMERA, None)
    ]


def test_death_without_a_witness_does_not_count() -> None:
    """Of a camera that dies while the worker or the subscriber is stopped nobody can tell in time."""
    events = heard(camera_gone_ns=13 * S, link_gone_ns=20 * S)
    death = Done(ActKind.KILL_CAMERA, 10 * S, 12 * S)
    assert reports([Done(ActKind.STOP_WORKER, 9 * S, 12 * S), death], events, CAMERA)[1:] == []
    assert reports([Done(ActKind.KILL_SUBSCRIBER, 5 * S, 6 * S), death], events, CAMERA) == []


def test_a_camera_is_connected_where_the_worker_said_so_and_nothing_was_disturbed() -> None:
    """Two seconds off each end of it, and off everything that was done meanwhile."""
    events = heard(camera_gone_ns=40 * S, link_gone_ns=50 * S)
    done = [Done(ActKind.SLOW_FRAMES, 10 * S, 20 * S), Done(ActKind.KILL_CAMERA, 40 * S, 41 * S)]
    assert connected_spans(done, events, CAMERA) == [Span(3 * S, 8 * S), Span(22 * S, 38 * S)]


def test_damaged_connection_must_be_made_again() -> None:
    """Within 15 s, as the worker's state says; a disturbance beside it, or the end of the run, excuses."""
    damage = Done(ActKind.FLAG_FRAMES, 10 * S, 10 * S)
    up = {"at_ns": 1 * S, "event": "state", "boot_id": "b", "alive": {CAMERA: True}}
    down = {"at_ns": 11 * S, "event": "state", "boot_id": "b", "alive": {CAMERA: False}}
    back = {"at_ns": 12 * S, "event": "state", "boot_id": "b", "alive": {CAMERA: True}}
    later = {"at_ns": 40 * S, "event": "link", "alive": False}
    assert not_healed([damage], [up, down, back, later], CAMERA) == []
    assert healing_ms([damage], [up, down, back, later], CAMERA) == [2000.0]
    assert healing_ms([damage], [up, down, later], CAMERA) == []
    assert (
        "flag-frames: the camera was not connected again"
        in not_healed([damage], [up, down, later], CAMERA)[0]
    )
    assert not_healed([damage], [up, down], CAMERA) == []
    killed = Done(ActKind.KILL_CAMERA, 12 * S, 14 * S)
    assert not_healed([damage, killed], [up, down, later], CAMERA) == []


def test_another_boot_of_the_worker_is_another_connection() -> None:
    """A state of the first worker says nothing about the second."""
    says = [
        {"event": "state", "alive": {CAMERA: True}, "at_ns": at * S, "boot_id": b}
        for at, b in ((0, "a"), (50, "b"))
    ]
    gone = {"event": "link", "alive": False, "at_ns": 90 * S}
    assert connected_spans([], [*says, gone], CAMERA) == [Span(2 * S, 48 * S), Span(52 * S, 88 * S)]
