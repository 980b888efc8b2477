"""A fault plan applied to messages, without sockets."""

from tests.unit.made.line_messages import message

from cmfm_sim.disturb import Departure, Disturber
from cmfm_sim.faults import Fault, FaultKind


def test_without_faults_every_message_leaves_unchanged() -> None:
    """An empty schedule changes nothing."""
    assert run({}, 3) == [0, 1, 2]


def test_a_dropped_message_does_not_leave() -> None:
    """The others do."""
    assert run({1: Fault(FaultKind.DROP)}, 3) == [0, 2]


def test_a_duplicate_leaves_twice() -> None:
    """In a row."""
    assert run({1: Fault(FaultKind.DUPLICATE)}, 3) == [0, 1, 1, 2]


def test_a_reordered_message_leaves_after_its_successor() -> None:
    """Without a successor it leaves at the end."""
    assert run({1: Fault(FaultKind.REORDER)}, 3) == [0, 2, 1]
    assert run({2: Fault(FaultKind.REORDER)}, 3) == [0, 1, 2]


def test_a_reordered_message_is_not_lost_with_its_successor() -> None:
    """It leaves when its successor is lost."""
    assert run({1: Fault(FaultKind.REORDER), 2: Fault(FaultKind.DROP)}, 4) == [0, 1, 3]


def test_a_late_message_leaves_after_its_delay() -> None:
    """The delay counts from its own trigger."""
    turn = Disturber({0: Fault(FaultKind.LATE, 2.5)}, 0).turn(0, message(0))
    assert [departure.delay_s for departure in turn.departures] == [2.5]


def test_a_stall_holds_up_the_sender() -> None:
    """The message itself is whole."""
    turn = Disturber({0: Fault(FaultKind.STALL, 0.5)}, 0).turn(0, message(0))
    assert turn.stall_s == 0.5
    assert [bytes(part) for part in turn.departures[0].message] == [bytes(part) for part in message(0)]


def test_damage_depends_on_seed_and_number_alone() -> None:
    """One message's damage can be made again without the messages before it."""
    schedule = {4: Fault(FaultKind.CORRUPT)}
    alone = Disturber(schedule, 7).turn(4, message(4)).departures[0]
    later = Disturber(schedule, 7)
    for seq in range(4):
        later.turn(seq, message(seq))
    assert _bytes(alone) == _bytes(later.turn(4, message(4)).departures[0])
    assert _bytes(alone) != _bytes(Disturber(schedule, 8).turn(4, message(4)).departures[0])


def test_the_planned_fault_can_be_asked_for() -> None:
    """The record of a trigger says what was done to it."""
    disturber = Disturber({1: Fault(FaultKind.DROP)}, 0)
    assert disturber.faults_of(0) == ()
    assert disturber.faults_of(1) == (FaultKind.DROP,)


def run(schedule: dict[int, Fault], triggers: int) -> list[int]:
    disturber = Disturber(schedule, 0)
    departures = [d for seq in range(triggers) for d in disturber.turn(seq, message(seq)).departures]
    return [departure.seq for departure in (*departures, *disturber.flush())]


def _bytes(departure: Departure) -> list[bytes]:
    return [bytes(part) for part in departure.message]
