"""The handshake of results, triggers and commands with a PLC. Pure: one `step` a change, inputs and times come in.

Results, buffered (control bit `buffer results`):

    valid   ____/~~~~~~~~~~\\____________/~~~
    ack     ________/~~~~~~~~~~~~\\___________
                    |            |
            confirmed, durable   the next one may be shown

1. A result is shown only while the acknowledge is low, so that no acknowledge is taken for a result that came after it.
2. Nothing is shown before the PLC has written its control word since the gateway's start: an acknowledge that it wrote
   to a gateway that was killed must not be taken for the next result.
3. An acknowledge confirms the shown result. With `ack_number` it confirms that number alone, also after a restart.
4. The queue holds at most `buffer` results. Beyond that the oldest that are not shown are dropped: counted, and a bit.
5. Not buffered, the newest result replaces the shown one. One that was not acknowledged is an overrun as well.
"""

from dataclasses import dataclass, field
from typing import Final, Literal

from cmfm_gateway.modbus.registers import Alarm, Control, ErrorCode, Status

ResultsMode = Literal["plc", "buffered", "newest"]

NO_NUMBER: Final = 0


@dataclass(frozen=True, slots=True)
class HandshakeLimits:
    """Limits of a handshake.

    `buffer`: results in the queue. `ack_s`: time for an acknowledge to rise, and to fall again. `watchdog_s`: time in
    which the PLC changes its heartbeat; 0: any. `mode`: who decides whether results are buffered.
    """

    buffer: int = 1_000
    ack_s: float = 1.0
    watchdog_s: float = 2.0
    mode: ResultsMode = "plc"


@dataclass(frozen=True, slots=True)
class Inputs:
    """Input of a step.

    `control` is None until the PLC has written it. `newest`: highest number in the store. `online`: verdicts may be
    acted on. `busy`: parts are being inspected. `lost`: results lost so far.
    """

    now_s: float
    control: Control | None = None
    ack_number: int = NO_NUMBER
    plc_heartbeat: int = 0
    newest: int = 0
    online: bool = False
    busy: bool = False
    lost: int = 0


@dataclass(frozen=True, slots=True)
class Outcome:
    """Requests of a step: `start_trigger` and `start_command` with the argument registers of this moment."""

    start_trigger: bool = False
    start_command: bool = False


@dataclass(slots=True)
class Counters:
    """Counters for PLC and operator; command 3 sets all to 0."""

    overruns: int = 0
    acks_late: int = 0
    triggers_missed: int = 0


@dataclass(slots=True)
class _Request:
    """A trigger or a command on its way: `held` while the PLC holds its bit."""

    held: bool = False
    running: bool = False
    done: bool = False
    failed: bool = False


@dataclass(slots=True)
class Handshake:
    """The state of one PLC's handshake. `confirmed`: results up to this number are confirmed.

    `shown` is the number of the result to show, 0 for none; `valid` whether it waits for its acknowledge. The caller
    stores `confirmed` durably before it sends `status`.
    """

    limits: HandshakeLimits
    confirmed: int = 0
    shown: int = NO_NUMBER
    valid: bool = False
    alarms: Alarm = field(default_factory=lambda: Alarm(0))
    error: ErrorCode = ErrorCode.NONE
    counters: Counters = field(default_factory=Counters)
    _inputs: Inputs = field(default_factory=lambda: Inputs(0.0))
    _dropped_to: int = 0
    _since_s: float = 0.0
    _is_late: bool = False
    _overrun: bool = False
    _missed: bool = False
    _acked: bool = False
    _trigger: _Request = field(default_factory=_Request)
    _command: _Request = field(default_factory=_Request)
    _heard_s: float | None = None
    _lost: int = 0

    def step(self, inputs: Inputs) -> Outcome:
        """Take new inputs; returns what is to be started."""
        former, self._inputs = self._inputs, inputs
        before, control = former.control or Control(0), inputs.control or Control(0)
        rising = control & ~before
        self._watch_plc(former, inputs)
        self._notice_losses(inputs)
        if Control.CLEAR_ERROR in rising:
            self.clear_error()
        self._results(control, inputs)
        return Outcome(self._triggers(control, rising), self._commands(control, rising))

    @property
    def status(self) -> Status:
        """The status word, without the offline reason."""
        inputs = self._inputs
        bits = {
            Status.TRIGGER_READY: self._trigger_ready(inputs.control or Control(0)),
            Status.TRIGGER_ACK: self._trigger.held and not self._missed,
            Status.MISSED: self._missed,
            Status.ONLINE: inputs.online and not self.is_offline,
            Status.BUSY: inputs.busy,
            Status.INSPECTION_COMPLETED: inputs.newest % 2 == 1,
            Status.BUFFER_OVERRUN: self._overrun,
            Status.RESULTS_VALID: self.valid,
            Status.COMMAND_EXECUTING: self._command.running,
            Status.COMMAND_COMPLETED: self._command.done,
            Status.COMMAND_FAILED: self._command.failed,
            Status.GENERAL_ERROR: bool(self.alarms),
        }
        status = Status(0)
        for bit, is_set in bits.items():
            status |= bit if is_set else Status(0)
        return status

    @property
    def is_offline(self) -> bool:
        """True while the PLC holds `set offline`."""
        return Control.SET_OFFLINE in (self._inputs.control or Control(0))

    @property
    def waiting(self) -> int:
        """Results that are not confirmed, without those that were dropped."""
        shown = 1 if self.valid else 0
        return max(self._inputs.newest - self._next() + 1, 0) + shown

    def clear_error(self) -> None:
        """Clear alarms, error and the overrun bit."""
        self.alarms, self.error, self._overrun = Alarm(0), ErrorCode.NONE, False

    def reset_counters(self) -> None:
        """Set all counters to 0, and clear what they tell."""
        self.counters = Counters()
        self.clear_error()

    def skip_shown(self) -> None:
        """Go on without the shown result, which is there no longer: an overrun."""
        self._count_overrun(1)
        self.confirmed, self.valid = max(self.shown, self._dropped_to), False

    def trigger_done(self, error: ErrorCode) -> None:
        """Note how an announced trigger ended."""
        self._trigger.running = False
        if error is not ErrorCode.NONE:
            self._miss(error)

    def command_done(self, error: ErrorCode) -> None:
        """Note how a command ended; nobody is told if the PLC has let go of it."""
        self._command.running = False
        self.error = error
        if self._command.held:
            self._command.done = error is ErrorCode.NONE
            self._command.failed = not self._command.done

    def _results(self, control: Control, inputs: Inputs) -> None:
        ack = Control.RESULTS_ACK in control
        if ack and not self._acked:
            self._acknowledge(inputs)
        if ack is not self._acked:
            self._acked, self._since_s, self._is_late = ack, inputs.now_s, False
        if self._is_buffered(control):
            self._bound_queue(inputs.newest)
            if not self.valid and not ack and self._may_show(control):
                self._show(self._next(), inputs)
        elif self._may_show(control) and not ack:
            self._show_newest(inputs)
        self._notice_late_ack(inputs)

    def _acknowledge(self, inputs: Inputs) -> None:
        number = inputs.ack_number
        if self.valid and number in (NO_NUMBER, self.shown % 2**32):
            self.confirmed = max(self.shown, self._dropped_to)
            self.valid = False
        elif not self.shown and number and number == self._next() % 2**32 and self._next() <= inputs.newest:
            self.confirmed = self._next()  # shown before a restart, which interrupted the acknowledge
        elif self.valid:
            self.alarms |= Alarm.WRONG_ACK

    def _show(self, number: int, inputs: Inputs) -> None:
        if number > inputs.newest:
            return
        self.shown, self.valid = number, True
        self._since_s, self._is_late = inputs.now_s, False

    def _show_newest(self, inputs: Inputs) -> None:
        newest = inputs.newest
        if newest <= max(self.confirmed, self.shown):
            return
        unread = newest - self._next() + (1 if self.valid else 0)
        if unread > 0:
            self._count_overrun(unread)
        self.confirmed = max(self.confirmed, newest - 1)
        self._show(newest, inputs)

    def _bound_queue(self, newest: int) -> None:
        excess = newest - self._next() + 1 + (1 if self.valid else 0) - self.limits.buffer
        if excess <= 0:
            return
        self._count_overrun(excess)
        self._dropped_to = self._next() + excess - 1
        if not self.valid:
            self.confirmed = self._dropped_to

    def _next(self) -> int:
        """The number of the next result to show."""
        return max(self.confirmed, self._dropped_to, self.shown if self.valid else 0) + 1

    def _may_show(self, control: Control) -> bool:
        wrote = self._inputs.control is not None or self.limits.mode == "newest"
        return wrote and Control.SET_OFFLINE not in control

    def _is_buffered(self, control: Control) -> bool:
        if self.limits.mode == "plc":
            return self._inputs.control is None or Control.BUFFER_RESULTS in control
        return self.limits.mode == "buffered"

    def _count_overrun(self, results: int) -> None:
        self.counters.overruns += results
        self._overrun = True
        self.alarms |= Alarm.OVERRUN

    def _notice_late_ack(self, inputs: Inputs) -> None:
        waits = self._acked or (self.valid and self._is_buffered(inputs.control or Control(0)))
        if waits and not self._is_late and inputs.now_s - self._since_s > self.limits.ack_s:
            self._is_late = True
            self.counters.acks_late += 1
            self.alarms |= Alarm.ACK_LATE

    def _triggers(self, control: Control, rising: Control) -> bool:
        self._trigger.held = Control.TRIGGER in control
        if Control.TRIGGER not in rising:
            return False
        if not self._trigger_ready(control):
            self._miss(ErrorCode.NOT_READY)
            return False
        self._missed, self._trigger.running = False, True
        return True

    def _trigger_ready(self, control: Control) -> bool:
        enabled = Control.TRIGGER_ENABLE in control and Control.SET_OFFLINE not in control
        return enabled and self._inputs.online and not self._trigger.running

    def _miss(self, error: ErrorCode) -> None:
        self._missed, self.error = True, error
        self.counters.triggers_missed += 1

    def _commands(self, control: Control, rising: Control) -> bool:
        command = self._command
        command.held = Control.EXECUTE_COMMAND in control
        if not command.held:
            command.done = command.failed = False
        if Control.EXECUTE_COMMAND not in rising:
            return False
        if command.running:
            command.failed, self.error = True, ErrorCode.NOT_READY
            return False
        command.running = True
        return True

    def _watch_plc(self, former: Inputs, inputs: Inputs) -> None:
        if inputs.plc_heartbeat != former.plc_heartbeat:
            self._heard_s = inputs.now_s
        limit_s = self.limits.watchdog_s
        if self._heard_s is not None and limit_s and inputs.now_s - self._heard_s > limit_s:
            self.alarms |= Alarm.PLC_SILENT

    def _notice_losses(self, inputs: Inputs) -> None:
        if inputs.lost > self._lost:
            self.alarms |= Alarm.RESULTS_LOST
        self._lost = inputs.lost
