"""The life of the service, in this order: serve → startup → main_loop → shutdown.

Signal handlers only set flags. SIGTERM or SIGINT drains: no new frame is accepted, every accepted frame gets its
verdict, and the process ends with 0. A second signal gives up on parts that are still open (each gets its FAULT) and
ends the process with 1, also while a computation hangs. SIGHUP loads the recipes again. If a computation hangs or the
device is lost, all open parts get their FAULT and the process ends with 5 or 4. `wiring` says what a line consists of.
"""

import math
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Final, NamedTuple

import structlog

from cmfm_protocol.clock import NS_PER_MS
from cmfm_protocol.wire.verdict import Reason
from cmfm_worker.errors import ExitCode, HungDeviceError, LostDeviceError
from cmfm_worker.line.builders import STOP_LIMIT_S, stop_intake, stop_verdicts
from cmfm_worker.line.compute.lane import Flight
from cmfm_worker.line.compute.loop import (
    AbandonedError,
    LoopContext,
    conclude,
    overlapped_turn,
    serial_turn,
)
from cmfm_worker.line.health.malloc import reserved
from cmfm_worker.line.intake.ring import heap_bytes
from cmfm_worker.line.messages import Decision, fault
from cmfm_worker.line.records.archive import MAPS_BYTES
from cmfm_worker.line.verdicts.map_queue import MAPS_WAITING
from cmfm_worker.line.verdicts.verdict_thread import STOPPED
from cmfm_worker.line.wiring import Factories, Line, open_line
from cmfm_worker.settings.model import Settings

DRAIN_LIMIT_S: Final = 60.0
"""A drain without a verdict for longer than the longest deadline has gone wrong; open parts then get their FAULT."""

Turn = Callable[[LoopContext, Flight | None], Flight | None]
"""`overlapped_turn` or its serial twin."""


class Ended(NamedTuple):
    """How a line ended: the exit code, and for a device failure its message.

    `left_computing`: a computation that was given up is still running. The end of the interpreter would wait for it.
    """

    code: ExitCode
    message: str = ""
    left_computing: bool = False


@dataclass(frozen=True, slots=True)
class Ending:
    """Why the main loop ended, and how the line is to be shut down."""

    failure: AbandonedError | HungDeviceError | LostDeviceError | None = None
    open_triggers: Decision = STOPPED  # the verdict on triggers that are still open
    waits_for_lane: bool = True  # False if a computation may hang


def serve(settings: Settings, factories: Factories = Factories()) -> Ended:
    """Run a line until it is told to stop. Call it from the main thread.

    Raises InputError, StartupError if the line cannot start, and RuntimeError if one of its threads failed.
    """
    flags = Flags()
    with signals_set(flags), ExitStack() as stack:
        line = open_line(
            settings,
            stack,
            request_drain=flags.request_drain,
            gives_up=flags.gives_up,
            factories=factories,
        )
        ending = Ending()
        try:
            startup(line, flags)
            main_loop(line, flags)
        except (AbandonedError, HungDeviceError, LostDeviceError) as error:
            ending = ending_after(error, line)
        finally:
            shutdown(line, ending, stack)
    return ended(line, ending)


def startup(line: Line, flags: "Flags") -> None:
    """Load the recipes, warm up, and accept frames, unless told to stop meanwhile."""
    core, recipes = line.core, line.recipes
    with reserved(backlog_bytes(core.settings)):
        recipes.registry.load_all()
        recipes.warm_up.through_lane(line.loop, recipes.registry.models, lambda: flags.drain)
    if recipes.graphs is not None:
        recipes.graphs.close()  # recording would delay parts that are due
    line.health.steady()
    if flags.drain:
        return
    if line.records.ledger is not None:
        line.records.ledger.begin(core.boot_id)
    line.intake.start()
    core.state.phase = "ready"
    line.health.ready()
    part_ns = core.timing.part_ns
    _log().info(
        "ready",
        boot_id=core.boot_id,
        device=str(core.device),
        precision=recipes.precision,
        recipes=recipes.registry.names,
        part_ms=None if part_ns is None else round(part_ns / NS_PER_MS, 1),
    )


def main_loop(line: Line, flags: "Flags") -> None:
    """Inspect until told to stop, then drain.

    Raises AbandonedError if the drain is forced or takes too long, HungDeviceError, LostDeviceError, and RuntimeError
    if a thread failed.
    """
    turn: Turn = overlapped_turn if line.core.settings.batch.overlapped else serial_turn
    flight: Flight | None = None
    line.loop.turns.begin(line.core.clock.monotonic_ns())
    while not flags.drain:
        flight = turn(line.loop, flight)
        line.health.turned(idle=flight is None and not line.core.ring.waiting)
        line.core.threads.check()
        if flags.take_reload():
            _log().info("reloading")
            line.health.reloading()
            line.recipes.registry.reload_in_background(line.health.ready)
    drain(line, flags, turn, flight)


def drain(line: Line, flags: "Flags", turn: Turn, flight: Flight | None) -> None:
    """Accept no more frames, and decide every frame that was accepted."""
    ring = line.core.ring
    line.core.state.phase = "draining"
    line.health.stopping("draining")
    _log().info("draining", waiting=ring.waiting, in_flight=len(flight.slots) if flight else 0)
    line.intake.stop()
    given = -1
    while line.intake.running or ring.waiting or len(line.core.events):
        if given != (given := line.core.book.totals.closed):
            flags.progressed()
        if flags.gives_up():
            raise AbandonedError
        flight = turn(line.loop, flight)
        line.health.turned(idle=False)
        line.core.threads.check()
    if flight is not None:
        conclude(line.loop, flight)
    line.loop.turns.end()


def shutdown(line: Line, ending: Ending, stack: ExitStack) -> None:
    """Stop the threads in the order in which a part passes through them, then close everything else."""
    stop_intake(line.intake)  # no new triggers
    line.core.ring.wake()
    line.loop.lane.close(timeout_s=STOP_LIMIT_S if ending.waits_for_lane else 0)  # no new decisions
    stop_verdicts(line.core.state, line.verdicts, ending.open_triggers)  # a verdict on every open trigger
    # In reverse order of opening: HTTP, recorder, ledger and archive with their rows written, ZAP, ZeroMQ context.
    stack.close()


def ending_after(error: AbandonedError | HungDeviceError | LostDeviceError, line: Line) -> Ending:
    """Log why the main loop ended, tell systemd of a device failure, and return how to shut down."""
    if isinstance(error, AbandonedError):
        _log().error("drain_cut_short", detail="what is open gets its FAULT")
        return Ending(error, waits_for_lane=False)
    _log().error("device_given_up", detail=str(error))
    line.health.stopping(str(error))
    open_triggers = fault(Reason.WORKER_ERROR, f"{error}; the worker ends"[:200])
    return Ending(error, open_triggers, waits_for_lane=isinstance(error, LostDeviceError))


def ended(line: Line, ending: Ending) -> Ended:
    """Return how the line ended, after everything is closed. Raises RuntimeError if one of its threads failed."""
    left_computing = line.loop.lane.running
    if isinstance(ending.failure, HungDeviceError | LostDeviceError):
        hung = isinstance(ending.failure, HungDeviceError)
        code = ExitCode.HUNG_DEVICE if hung else ExitCode.LOST_DEVICE
        return Ended(code, str(ending.failure), left_computing)
    line.core.threads.check()
    totals = line.core.book.totals
    holds = totals.triggers == totals.closed
    _log().info(
        "stopped",
        triggers=totals.triggers,
        verdicts={str(verdict): count for verdict, count in totals.verdicts.items()},
        identity_holds=holds,
    )
    code = ExitCode.OK if holds and ending.failure is None else ExitCode.BUG
    return Ended(code, left_computing=left_computing)


@dataclass(slots=True)
class Flags:
    """Set by signals and by the control socket; the main thread looks at them once a turn."""

    drain: bool = False
    force: bool = False
    reload: bool = False
    signals: int = 0
    _give_up_s: float = math.inf  # time.monotonic() at which a drain has taken too long

    def on_signal(self, number: int, _frame: object) -> None:
        """Take a signal: SIGHUP reloads; of the others the first drains and the second forces."""
        if number == signal.SIGHUP:
            self.reload = True
            return
        self.signals += 1
        self.drain = True
        self.force = self.signals > 1

    def request_drain(self) -> None:
        """Drain, for the control socket: neither a repeated request nor the first signal after it forces."""
        self.drain = True

    def take_reload(self) -> bool:
        """Whether a reload was asked for since the last call."""
        asked, self.reload = self.reload, False
        return asked

    def gives_up(self) -> bool:
        """Whether a drain was forced or gave no verdict for DRAIN_LIMIT_S, counted from the first call during it."""
        if self.drain and self._give_up_s == math.inf:
            self._give_up_s = time.monotonic() + DRAIN_LIMIT_S
        return self.force or time.monotonic() >= self._give_up_s

    def progressed(self) -> None:
        """Note that a drain has given verdicts: its time starts anew."""
        self._give_up_s = math.inf


@contextmanager
def signals_set(flags: Flags) -> Iterator[None]:
    """Let SIGTERM, SIGINT and SIGHUP set the flags; afterwards the handlers are as before."""
    numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
    previous = {number: signal.signal(number, flags.on_signal) for number in numbers}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def backlog_bytes(settings: Settings) -> int:
    """Return what a full backlog holds beside the ring: received frames that are not hashed yet, and maps."""
    frames = settings.ring.slots + len(settings.camera_names) * settings.intake.receive_hwm
    return frames * heap_bytes(settings.device.expected_pixels) + MAPS_WAITING * MAPS_BYTES


def _log() -> structlog.typing.FilteringBoundLogger:
    logger: structlog.typing.FilteringBoundLogger = structlog.get_logger("service")
    return logger
