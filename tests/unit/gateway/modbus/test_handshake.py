"""The handshake as tables of (what the PLC and the line do, what the PLC then sees), and under random steps."""

from dataclasses import dataclass, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cmfm_gateway.modbus.handshake import Handshake, HandshakeLimits, Inputs
from cmfm_gateway.modbus.registers import Alarm, Control, ErrorCode, Status

BUFFER, ACK = Control.BUFFER_RESULTS, Control.BUFFER_RESULTS | Control.RESULTS_ACK
VALID, OVERRUN = Status.RESULTS_VALID, Status.BUFFER_OVERRUN


class Plc:
    """Steps a handshake with the inputs that changed."""

    def __init__(self, **limits: object) -> None:
        self.handshake = Handshake(replace(HandshakeLimits(), **limits))  # type: ignore[arg-type]
        self.inputs = Inputs(now_s=0.0, online=True)

    def step(self, **changes: object) -> "Plc":
        self.inputs = replace(self.inputs, **changes)  # type: ignore[arg-type]
        self.outcome = self.handshake.step(self.inputs)
        return self

    @property
    def seen(self) -> tuple[int, int]:
        """(shown number or 0, confirmed number)."""
        return (self.handshake.shown if self.handshake.valid else 0), self.handshake.confirmed


@dataclass
class Case:
    name: str
    steps: list[tuple[dict[str, object], tuple[int, int]]]


CASES = [
    Case(
        "one result after another",
        [
            ({"control": BUFFER}, (0, 0)),
            ({"newest": 2}, (1, 0)),
            ({"control": ACK}, (0, 1)),
            ({"control": BUFFER}, (2, 1)),
            ({"control": ACK}, (0, 2)),
            ({"control": BUFFER}, (0, 2)),
        ],
    ),
    Case(
        "nothing is shown before the PLC has written its control word",
        [({"newest": 1}, (0, 0)), ({"control": BUFFER}, (1, 0))],
    ),
    Case(
        "an acknowledge that is high when a result comes does not confirm it",
        [
            ({"control": ACK}, (0, 0)),
            ({"newest": 1}, (0, 0)),
            ({"control": BUFFER}, (1, 0)),
        ],
    ),
    Case(
        "acknowledging twice confirms once",
        [
            ({"control": BUFFER, "newest": 2}, (1, 0)),
            ({"control": ACK}, (0, 1)),
            ({"control": ACK}, (0, 1)),
            ({"control": BUFFER}, (2, 1)),
        ],
    ),
    Case(
        "an acknowledge of another number confirms nothing",
        [
            ({"control": BUFFER, "newest": 2}, (1, 0)),
            ({"control": ACK, "ack_number": 7}, (1, 0)),
            ({"control": BUFFER}, (1, 0)),
            ({"control": ACK, "ack_number": 1}, (0, 1)),
        ],
    ),
    Case(
        "the number corrected while the acknowledge is held confirms nothing either",
        [
            ({"control": BUFFER, "newest": 1}, (1, 0)),
            ({"control": ACK, "ack_number": 7}, (1, 0)),
            ({"ack_number": 1}, (1, 0)),
        ],
    ),
    Case(
        "after a restart an acknowledge of the shown number confirms it, without a number it confirms nothing",
        [
            ({"newest": 2}, (0, 0)),
            ({"control": ACK}, (0, 0)),
            ({"control": BUFFER}, (1, 0)),
        ],
    ),
    Case(
        "after a restart the acknowledge that was interrupted is taken by its number",
        [
            ({"newest": 2}, (0, 0)),
            ({"control": ACK, "ack_number": 1}, (0, 1)),
            ({"control": BUFFER}, (2, 1)),
        ],
    ),
    Case(
        "offline nothing further is shown",
        [
            ({"control": BUFFER | Control.SET_OFFLINE, "newest": 1}, (0, 0)),
            ({"control": BUFFER}, (1, 0)),
        ],
    ),
    Case(
        "not buffered, the newest result replaces the shown one",
        [
            ({"control": Control(0), "newest": 1}, (1, 0)),
            ({"newest": 2}, (2, 1)),
            ({"newest": 5}, (5, 4)),
            ({"control": Control.RESULTS_ACK}, (0, 5)),
            ({"control": Control(0)}, (0, 5)),
            ({"newest": 6}, (6, 5)),
        ],
    ),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_results(case: Case) -> None:
    """Each step shows and confirms what the table says."""
    plc = Plc()
    for number, (changes, expected) in enumerate(case.steps):
        assert plc.step(**changes).seen == expected, f"step {number}: {changes}"


def test_a_full_queue_drops_the_oldest_and_says_so() -> None:
    """The shown result stays; those behind it go, oldest first; bit, alarm and counter tell how many."""
    plc = Plc(buffer=3).step(control=BUFFER, newest=3)
    assert plc.seen == (1, 0)
    assert plc.handshake.waiting == 3
    plc.step(newest=5)
    assert plc.handshake.waiting == 3
    assert plc.handshake.counters.overruns == 2
    assert OVERRUN in plc.handshake.status
    assert Alarm.OVERRUN in plc.handshake.alarms
    assert plc.step(control=ACK).step(control=BUFFER).seen == (4, 3)
    plc.step(control=BUFFER | Control.CLEAR_ERROR)
    assert OVERRUN not in plc.handshake.status
    assert plc.handshake.counters.overruns == 2


def test_results_replaced_unread_are_an_overrun() -> None:
    """Without the buffer, an acknowledged result is shown no longer."""
    plc = Plc().step(control=Control(0), newest=1).step(control=Control.RESULTS_ACK).step(control=Control(0))
    plc.step(newest=2)
    assert plc.handshake.counters.overruns == 0
    plc.step(newest=4)
    assert plc.handshake.counters.overruns == 2


def test_a_late_acknowledge_is_an_alarm_once_a_result() -> None:
    """So is one that is not taken back."""
    plc = Plc(ack_s=1.0).step(control=BUFFER, newest=1)
    plc.step(now_s=0.9)
    assert Alarm.ACK_LATE not in plc.handshake.alarms
    plc.step(now_s=1.1).step(now_s=2.5)
    assert Alarm.ACK_LATE in plc.handshake.alarms
    assert Status.GENERAL_ERROR in plc.handshake.status
    assert plc.handshake.counters.acks_late == 1
    plc.step(control=ACK, now_s=3.0)
    assert plc.seen == (0, 1)
    plc.step(now_s=4.1)
    assert plc.handshake.counters.acks_late == 2


def test_a_plc_that_stops_its_heartbeat_is_reported() -> None:
    """From its first change on; `clear error` does not help while it is silent."""
    plc = Plc(watchdog_s=2.0).step(control=BUFFER, now_s=10.0)
    assert plc.handshake.alarms == Alarm(0)
    plc.step(plc_heartbeat=1, now_s=11.0).step(now_s=12.5)
    assert plc.handshake.alarms == Alarm(0)
    plc.step(now_s=13.1)
    assert Alarm.PLC_SILENT in plc.handshake.alarms
    plc.step(plc_heartbeat=2, control=BUFFER | Control.CLEAR_ERROR, now_s=13.2)
    assert plc.handshake.alarms == Alarm(0)


def test_lost_results_are_an_alarm() -> None:
    """Each further loss sets it again."""
    plc = Plc().step(control=BUFFER, lost=1)
    assert Alarm.RESULTS_LOST in plc.handshake.alarms
    plc.step(control=BUFFER | Control.CLEAR_ERROR)
    assert plc.handshake.alarms == Alarm(0)
    plc.step(control=BUFFER, lost=2)
    assert Alarm.RESULTS_LOST in plc.handshake.alarms


ENABLED = Control.TRIGGER_ENABLE


def test_triggers() -> None:
    """Ready while enabled and online; taken at the rising edge; missed while one is under way or offline."""
    plc = Plc().step(control=Control(0))
    assert Status.TRIGGER_READY not in plc.handshake.status
    assert Status.TRIGGER_READY in plc.step(control=ENABLED).handshake.status
    assert plc.step(control=ENABLED | Control.TRIGGER).outcome.start_trigger
    assert Status.TRIGGER_ACK in plc.handshake.status
    assert not plc.step(control=ENABLED | Control.TRIGGER).outcome.start_trigger
    plc.step(control=ENABLED)
    assert Status.TRIGGER_ACK not in plc.handshake.status
    assert not plc.step(control=ENABLED | Control.TRIGGER).outcome.start_trigger  # the first is not done
    assert Status.MISSED in plc.handshake.status
    assert plc.handshake.error is ErrorCode.NOT_READY
    plc.handshake.trigger_done(ErrorCode.NONE)
    plc.step(control=ENABLED)
    assert plc.step(control=ENABLED | Control.TRIGGER).outcome.start_trigger
    assert Status.MISSED not in plc.handshake.status
    plc.handshake.trigger_done(ErrorCode.REFUSED)
    assert plc.handshake.counters.triggers_missed == 2
    assert Status.TRIGGER_ACK not in plc.handshake.status
    plc.step(control=ENABLED, online=False)
    assert not plc.step(control=ENABLED | Control.TRIGGER).outcome.start_trigger


EXECUTE = Control.EXECUTE_COMMAND


def test_commands() -> None:
    """Executing, then completed or failed until the PLC lets go; a second one meanwhile fails."""
    plc = Plc().step(control=Control(0))
    assert plc.step(control=EXECUTE).outcome.start_command
    assert Status.COMMAND_EXECUTING in plc.handshake.status
    plc.step(control=Control(0))
    assert not plc.step(control=EXECUTE).outcome.start_command
    assert Status.COMMAND_FAILED in plc.handshake.status
    plc.step(control=Control(0))
    plc.handshake.command_done(ErrorCode.NONE)
    assert plc.step(control=EXECUTE).outcome.start_command
    plc.handshake.command_done(ErrorCode.UNKNOWN_RECIPE)
    assert Status.COMMAND_FAILED in plc.handshake.status
    assert plc.handshake.error is ErrorCode.UNKNOWN_RECIPE
    plc.step(control=Control(0))
    assert Status.COMMAND_FAILED not in plc.handshake.status
    assert plc.step(control=EXECUTE).outcome.start_command
    plc.handshake.command_done(ErrorCode.NONE)
    assert Status.COMMAND_COMPLETED in plc.handshake.status
    assert plc.handshake.error.number == 0


@settings(max_examples=300, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from([BUFFER, ACK]), st.integers(0, 3), st.floats(0, 2), st.booleans()),
        max_size=60,
    ),
    st.integers(2, 6),
)
def test_every_result_is_read_once_in_order_or_counted(
    actions: list[tuple[Control, int, float, bool]], buffer: int
) -> None:
    """Whatever the PLC does, and however often the gateway is killed: a result is confirmed once, in order, and only
    while it was shown, unless it was dropped from a full queue."""
    plc = Plc(buffer=buffer).step(control=BUFFER)
    confirmed: list[int] = []
    for control, more, seconds, killed in actions:
        if killed:
            inputs, durable = replace(plc.inputs, control=None), plc.handshake.confirmed
            plc = Plc(buffer=buffer)
            plc.inputs, plc.handshake.confirmed = inputs, durable
            plc.step()
        before, shown = plc.handshake.confirmed, plc.seen[0]
        plc.step(control=control, newest=plc.inputs.newest + more, now_s=plc.inputs.now_s + seconds)
        if shown and plc.handshake.confirmed >= shown > before:
            confirmed.append(shown)
            assert control is ACK
        elif plc.handshake.confirmed > before:
            assert plc.handshake.counters.overruns > 0
        assert plc.handshake.waiting <= buffer
        assert plc.handshake.valid <= (plc.handshake.shown <= plc.inputs.newest)
        assert not (
            plc.handshake.valid and control is ACK and shown == 0
        )  # never raised under an acknowledge
    assert confirmed == sorted(set(confirmed))
