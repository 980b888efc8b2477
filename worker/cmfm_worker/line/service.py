"""The life of the service, in the order in which it happens: serve → startup → main_loop → shutdown.

Signals only set flags. SIGTERM or SIGINT drains: no new frame is accepted, every accepted one gets its
verdict, then the process ends with 0. A second signal gives up on what is still open (each gets its FAULT)
and ends with 1, also while a computation hangs. SIGHUP loads the recipes again. A computation that hangs or a
device that is lost ends the process after everything open has its FAULT. What the line is made of stands in `assembly`.
"""

import math
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import structlog

from cmfm_protocol.wire.verdict import Reason
from cmfm_worker.clock import NS_PER_MS
from cmfm_worker.errors import ExitCode, HungDeviceError, LostDeviceError
from cmfm_worker.line.compute.loop import (
    AbandonedError,
    Flight,
    LoopContext,
    conclude,
    overlapped_turn,
    serial_turn,
)
from cmfm_worker.line.health.malloc import reserved
from cmfm_worker.line.messages import fault
from cmfm_worker.line.wiring import Assembly
from cmfm_worker.settings.model import Settings

DRAIN_LIMIT_S: Final = 60.0
"""A drain that takes longer than the longest deadline has gone wrong; what is open then gets its FAULT."""

Turn = Callable[[LoopContext, Flight | None], Flight | None]
"""`overlapped_turn` or its serial twin."""


@dataclass(slots=True)
class Flags:
    """What signals and the control socket set; the loop looks at them once a turn."""

    drain: bool = False
    force: bool = False
    reload: bool = False
    signals: int = 0

    def stop(self) -> None:
        """A signal: the first drains, the second forces."""
        self.signals += 1
        self.drain = True
        self.force = self.signals > 1

    def hang_up(self) -> None:
        """SIGHUP: load the recipes again."""
        self.reload = True

    def request_drain(self) -> None:
        """The control socket: drains, and neither asking twice nor the first signal after it forces."""
        self.drain = True


def serve(settings: Settings) -> ExitCode:
    """Run the line until it is told to stop."""
    return Service(settings).serve()


class Service:
    """A running line."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._flags = Flags()
        self._log = structlog.get_logger("service")
        self._give_up_s = math.inf  # time.monotonic() at which a drain has taken too long
        self._parts = Assembly(settings, self._flags.request_drain, self._gives_up)

    def serve(self) -> ExitCode:
        """startup → main_loop → shutdown.

        Raises StartupError, InputError, LostDeviceError, HungDeviceError for `app.main`.
        """
        signals = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
        previous = {number: signal.signal(number, self._on_signal) for number in signals}
        try:
            with self._parts.closing:
                self._live()
            self._parts.check_threads()
        finally:
            for number, handler in previous.items():
                signal.signal(number, handler)
        return self._ended()

    @property
    def left_computing(self) -> bool:
        """Whether a computation that was given up is still running; the end of the interpreter would wait for it."""
        return self._parts.left_computing

    def _on_signal(self, number: int, _frame: object) -> None:
        if number == signal.SIGHUP:
            self._flags.hang_up()
        else:
            self._flags.stop()

    def _live(self) -> None:
        ending = self._parts.ending
        try:
            self._startup()
            self._main_loop()
        except AbandonedError:
            ending.cut_short = True
            self._log.error("drain_cut_short", detail="what is open gets its FAULT")
        except (HungDeviceError, LostDeviceError) as error:
            ending.cut_short = isinstance(error, HungDeviceError)
            ending.open_parts = fault(Reason.WORKER_ERROR, f"{error}; the worker ends"[:200])
            self._log.error("device_given_up", detail=str(error))
            self._parts.supervisor.stopping(str(error))
            raise

    def _startup(self) -> None:
        parts = self._parts
        parts.open()
        with reserved(parts.backlog_bytes):
            parts.shelf.load_all()
            parts.warm_up.through(parts.loop, parts.shelf.models, lambda: self._flags.drain)
        if parts.graphs is not None:
            parts.graphs.close()  # recording would hold up parts that are due
        parts.garbage.settle()
        if self._flags.drain:  # told to stop before it was ready: no frame is accepted
            return
        if parts.ledger is not None:
            parts.ledger.begin(parts.boot_id)
        parts.intake.start()
        parts.state.phase = "ready"
        parts.vitals.ready()
        self._log.info(
            "ready",
            boot_id=parts.boot_id,
            device=str(parts.device),
            precision=parts.precision,
            recipes=parts.shelf.names,
            part_ms=None if parts.pace.part_ns is None else round(parts.pace.part_ns / NS_PER_MS, 1),
        )

    def _main_loop(self) -> None:
        parts = self._parts
        turn = overlapped_turn if self._settings.batch.overlapped else serial_turn
        flight: Flight | None = None
        parts.loop.turns.begin(parts.clock.monotonic_ns())
        while not self._flags.drain:
            flight = turn(parts.loop, flight)
            parts.vitals.turned(idle=flight is None and not parts.ring.waiting)
            parts.check_threads()
            self._reload_if_asked()
        self._drain(turn, flight)

    def _reload_if_asked(self) -> None:
        if self._flags.reload:
            self._flags.reload = False
            self._log.info("reloading")
            self._parts.supervisor.reloading()
            self._parts.shelf.reload_in_background(self._parts.vitals.ready)

    def _drain(self, turn: Turn, flight: Flight | None) -> None:
        parts = self._parts
        parts.state.phase = "draining"
        parts.vitals.stopping("draining")
        self._log.info("draining", waiting=parts.ring.waiting, in_flight=len(flight.slots) if flight else 0)
        parts.intake.stop()
        while parts.intake.running or parts.ring.waiting:
            if self._gives_up():
                raise AbandonedError
            flight = turn(parts.loop, flight)
            parts.vitals.turned(idle=False)
            parts.check_threads()
        if flight is not None:
            conclude(parts.loop, flight)
        parts.loop.turns.end()

    def _gives_up(self) -> bool:
        """Whether a drain has been forced or has taken too long; asked also while a computation is waited for."""
        if self._flags.drain and self._give_up_s == math.inf:
            self._give_up_s = time.monotonic() + DRAIN_LIMIT_S
        return self._flags.force or time.monotonic() >= self._give_up_s

    def _ended(self) -> ExitCode:
        counts = self._parts.book.totals
        holds = counts.triggers == counts.closed
        self._log.info(
            "stopped",
            triggers=counts.triggers,
            verdicts={str(verdict): count for verdict, count in counts.verdicts.items()},
            identity_holds=holds,
        )
        return ExitCode.OK if holds and not self._parts.ending.cut_short else ExitCode.BUG
