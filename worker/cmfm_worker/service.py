"""The life of the service, in the order in which it happens: serve → startup → main_loop → shutdown.

Signals only set flags. SIGTERM or SIGINT drains: no new frame is accepted, every accepted one gets its
verdict, then the process ends with 0. A second signal gives up on what is still open (each gets its FAULT)
and ends with 1, also while a computation hangs. SIGHUP loads the recipes again. A computation that hangs or a
device that is lost ends the process after everything open has its FAULT. Whatever was opened is closed again,
however far the start came.
"""

import math
import os
import signal
import time
import uuid
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Final

import structlog
import torch
import zmq

from cmfm_protocol.state import WorkerState
from cmfm_protocol.trigger import TriggerMessage
from cmfm_protocol.verdict import Reason
from cmfm_worker.account import Account
from cmfm_worker.batcher import Batcher, BatchLimits
from cmfm_worker.cfm.graphs import graph_recorder_for
from cmfm_worker.clock import NS_PER_MS, SystemClock
from cmfm_worker.curve import read_keys
from cmfm_worker.desk import STOPPED, Desk, DeskOptions, ResultSink
from cmfm_worker.device import choose_device, choose_precision, seam_for
from cmfm_worker.errors import ExitCode, HungDeviceError, LostDeviceError
from cmfm_worker.garbage import Garbage
from cmfm_worker.gate import Gate
from cmfm_worker.inspecting import LineBench
from cmfm_worker.intake import Intake
from cmfm_worker.kept_parts import KeptParts, made_on
from cmfm_worker.ledger import Ledger
from cmfm_worker.ledger_retention import Retention
from cmfm_worker.loop import AbandonedError, Flight, Lane, LoopParts, conclude, overlapped_turn, serial_turn
from cmfm_worker.metrics import LineCollector, Metrics
from cmfm_worker.probes import application, serve_http
from cmfm_worker.progress import Progress
from cmfm_worker.publish import Publisher
from cmfm_worker.reception import Reception
from cmfm_worker.recorder import Recorder
from cmfm_worker.requests import ControlServer, RecoveryServer
from cmfm_worker.ring import Ring
from cmfm_worker.sequence import SequenceTracker
from cmfm_worker.settings import Settings
from cmfm_worker.shelf import Shelf
from cmfm_worker.state import LineState
from cmfm_worker.supervisor import Supervisor
from cmfm_worker.trigger import fault
from cmfm_worker.vitals import Vitals
from cmfm_worker.warmup import WarmUp

DRAIN_LIMIT_S: Final = 60.0
"""A drain that takes longer than the longest deadline has gone wrong; what is open then gets its FAULT."""

Turn = Callable[[LoopParts, Flight | None], Flight | None]
"""`overlapped_turn` or its serial twin."""

STOP_LIMIT_S: Final = 10.0
"""How long a thread may take to end."""


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
    """All parts of a running line."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._flags = Flags()
        self._log = structlog.get_logger("service")
        self._clock = SystemClock()
        self._account = Account()
        self._closing = ExitStack()  # what has been opened, closed in reverse order
        self._threads: list[Desk | Intake | Recorder | Ledger | Gate] = []
        self._cut_short = False
        self._give_up_s = math.inf  # time.monotonic() at which a drain has taken too long
        self._open_parts = STOPPED  # what becomes of parts that are open at the end
        self._supervisor = Supervisor.from_environment(os.environ, os.getpid())
        self._garbage = Garbage()

    def serve(self) -> ExitCode:
        """startup → main_loop → shutdown.

        Raises StartupError, InputError, LostDeviceError, HungDeviceError for `app.main`.
        """
        signals = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
        previous = {number: signal.signal(number, self._on_signal) for number in signals}
        try:
            with self._closing:
                self._live()
            self._check_threads()
        finally:
            for number, handler in previous.items():
                signal.signal(number, handler)
        return self._ended()

    @property
    def left_computing(self) -> bool:
        """Whether a computation that was given up is still running; the end of the interpreter would wait for it."""
        return hasattr(self, "_loop") and self._loop.lane.running

    def _on_signal(self, number: int, _frame: object) -> None:
        if number == signal.SIGHUP:
            self._flags.hang_up()
        else:
            self._flags.stop()

    def _live(self) -> None:
        try:
            self._startup()
            self._main_loop()
        except AbandonedError:
            self._cut_short = True
            self._log.error("drain_cut_short", detail="what is open gets its FAULT")
        except (HungDeviceError, LostDeviceError) as error:
            self._cut_short = isinstance(error, HungDeviceError)
            self._open_parts = fault(Reason.WORKER_ERROR, f"{error}; the worker ends"[:200])
            self._log.error("device_given_up", detail=str(error))
            self._supervisor.stopping(str(error))
            raise

    def _startup(self) -> None:
        settings = self._settings
        device = choose_device(settings.device.name)
        if settings.device.threads:
            torch.set_num_threads(settings.device.threads)
        precision = choose_precision(settings.device.precision, device)
        boot_id = uuid.uuid4().hex
        self._state = LineState(
            boot_id=boot_id, device=str(device), endpoints=settings.sockets.frames, clock=self._clock
        )
        self._ring = Ring(
            slots=settings.ring.slots,
            max_pixels=settings.ring.max_pixels,
            pinned=device.type == "cuda",
            expected_pixels=max((h * w for h, w in settings.device.warmup_shapes), default=0),
        )
        self._warm_up = WarmUp(settings.device.warmup_shapes, settings.batch.max_batch, device)
        graphs = graph_recorder_for(device) if settings.device.cuda_graphs else None
        self._shelf = Shelf(
            settings.recipes,
            weights=settings.weights.folder,
            device=device,
            precision=precision,
            graphs=graphs,
            warm_up=self._warm_up.beside,
        )
        self._context = zmq.Context()
        self._closing.callback(self._end_context)
        self._keys = read_keys(settings.curve)
        self._gate = self._open_gate()
        # Its sockets come first: a second worker fails here, before it touches the ledger of the first.
        self._publisher = Publisher(self._context, settings, self._keys)
        self._kept = self._open_kept(device)
        self._ledger = self._open_ledger()
        self._recorder = self._open_recorder()
        self._desk = self._make_desk(boot_id)
        self._closing.callback(self._stop_desk)
        self._loop = self._make_loop(device)
        self._closing.callback(self._stop_loop)
        self._intake = self._make_intake()
        self._closing.callback(self._stop_intake)
        self._threads += [self._desk, self._intake]
        self._vitals = self._make_vitals()
        self._vitals.begin(settings.device.hang_limit_s)
        self._closing.callback(self._vitals.end)
        self._desk.start()  # heartbeats say "starting" while recipes load
        self._serve_http()
        self._shelf.load_all()
        self._warm_up.through(self._loop, self._shelf.models, lambda: self._flags.drain)
        if graphs is not None:
            graphs.close()  # recording would hold up parts that are due
        self._garbage.settle()
        if self._flags.drain:  # told to stop before it was ready: no frame is accepted
            return
        if self._ledger is not None:
            self._ledger.begin(boot_id)
        self._intake.start()
        self._state.phase = "ready"
        self._vitals.ready()
        self._log.info(
            "ready", boot_id=boot_id, device=str(device), precision=precision, recipes=self._shelf.names
        )

    def _main_loop(self) -> None:
        turn = overlapped_turn if self._settings.batch.overlapped else serial_turn
        flight: Flight | None = None
        self._loop.turns.begin(self._clock.monotonic_ns())
        while not self._flags.drain:
            flight = turn(self._loop, flight)
            self._vitals.turned(idle=flight is None and not self._ring.waiting)
            self._check_threads()
            self._reload_if_asked()
        self._drain(turn, flight)

    def _reload_if_asked(self) -> None:
        if self._flags.reload:
            self._flags.reload = False
            self._log.info("reloading")
            self._supervisor.reloading()
            self._shelf.reload_in_background(self._vitals.ready)

    def _drain(self, turn: Turn, flight: Flight | None) -> None:
        self._state.phase = "draining"
        self._vitals.stopping("draining")
        self._log.info("draining", waiting=self._ring.waiting, in_flight=len(flight.slots) if flight else 0)
        self._intake.stop()
        while self._intake.running or self._ring.waiting:
            if self._gives_up():
                raise AbandonedError
            flight = turn(self._loop, flight)
            self._vitals.turned(idle=False)
            self._check_threads()
        if flight is not None:
            conclude(self._loop, flight)
        self._loop.turns.end()

    def _gives_up(self) -> bool:
        """Whether a drain has been forced or has taken too long; asked also while a computation is waited for."""
        if self._flags.drain and self._give_up_s == math.inf:
            self._give_up_s = time.monotonic() + DRAIN_LIMIT_S
        return self._flags.force or time.monotonic() >= self._give_up_s

    def _stop_intake(self) -> None:
        self._intake.stop()
        self._intake.join(STOP_LIMIT_S)

    def _stop_loop(self) -> None:
        self._ring.wake()
        self._loop.lane.close(timeout_s=0 if self._cut_short else STOP_LIMIT_S)

    def _stop_desk(self) -> None:
        self._state.phase = "stopped"
        self._desk.stop(timeout_s=STOP_LIMIT_S, open_parts=self._open_parts)

    def _end_context(self) -> None:
        """Sockets that a failed start or thread left open would hold this up for ever, so they are closed."""
        if not any(thread.running for thread in self._threads if isinstance(thread, Desk | Intake)):
            self._context.destroy()

    def _ended(self) -> ExitCode:
        counts = self._account.counts
        holds = counts.triggers == counts.closed
        self._log.info(
            "stopped",
            triggers=counts.triggers,
            verdicts={str(verdict): count for verdict, count in counts.verdicts.items()},
            identity_holds=holds,
        )
        return ExitCode.OK if holds and not self._cut_short else ExitCode.BUG

    def _open_gate(self) -> Gate | None:
        """Before any socket that it guards."""
        if self._keys.own is None:
            return None
        gate = Gate(self._context, self._keys)
        self._closing.callback(gate.close)
        self._threads.append(gate)
        gate.start()
        allowed = {str(door): len(keys) for door, keys in self._keys.allowed.items()}
        self._log.info("curve", public_key=self._keys.own.public.decode(), keys_allowed=allowed)
        return gate

    def _open_ledger(self) -> Ledger | None:
        path = self._settings.ledger.path
        kept = self._settings.ledger
        retention = Retention(kept.keep_days, kept.max_mb)
        if path is None:
            return None
        ledger = Ledger(path, flush_ms=kept.flush_ms, retention=retention)
        self._closing.callback(ledger.close)
        self._threads.append(ledger)
        return ledger

    def _open_kept(self, device: torch.device) -> KeptParts | None:
        kept = self._settings.kept
        if kept.which == "none":
            return None
        parts = KeptParts(kept.folder, max_mb=kept.max_mb, which=kept.which, made_on=made_on(device))
        self._closing.callback(parts.close)
        return parts

    def _open_recorder(self) -> Recorder:
        recorder = Recorder(ledger=self._ledger, keep=self._kept.keep if self._kept else None)
        self._closing.callback(recorder.close)  # before those that it hands over to
        self._threads.append(recorder)
        return recorder

    def _make_loop(self, device: torch.device) -> LoopParts:
        batch = self._settings.batch
        limits = BatchLimits(batch.max_batch, int(batch.max_wait_ms * NS_PER_MS))
        return LoopParts(
            ring=self._ring,
            batcher=Batcher(self._ring, limits, self._clock),
            lane=Lane(seam_for(device), LineBench()),
            close=self._desk.post,
            clock=self._clock,
            abandon=self._gives_up,
            hang_limit_s=self._settings.device.hang_limit_s,
        )

    def _make_desk(self, boot_id: str) -> Desk:
        settings, context = self._settings, self._context
        publisher = self._publisher
        # Kept here, so that it is closed with the context where the control socket cannot be bound.
        keys = self._keys
        self._recovery = RecoveryServer(
            context, settings.sockets.recovery, publisher.history, boot_id, keys.lock("recovery")
        )
        account = self._account
        line = LineCollector(account, self._gauges, self._state.sources_alive)
        self._metrics = Metrics(line, self._garbage)
        sinks: list[ResultSink] = [self._metrics.observe]

        def state() -> WorkerState:
            return self._state.message(account, queue_free=self._ring.free, recipes=self._shelf.names)

        return Desk(
            account=account,
            options=DeskOptions(boot_id, settings.results.state_ms, settings.maps.publish),
            publisher=publisher,
            recovery=self._recovery,
            control=ControlServer(
                context,
                settings.sockets.control,
                state=state,
                announce=self._announce,
                load_recipe=self._shelf.load_in_background,
                drain=self._flags.request_drain,
                lock=keys.lock("control"),
            ),
            sinks=sinks,
            queue_free=lambda: self._ring.free,
            state=state,
            on_source=self._state.source_changed,
            clock=self._clock,
            record=self._recorder.record,
            note=self._ledger.note if self._ledger else None,
            lateness=self._metrics.observe_lateness,
        )

    def _announce(self, message: TriggerMessage, done: Callable[[str | None], None]) -> None:
        self._intake.announce(message, done)  # made after the desk, which asks for it

    def _make_intake(self) -> Intake:
        settings, intake = self._settings, self._settings.intake
        tracker = SequenceTracker(
            max_gap=intake.max_gap,
            window_ns=int(intake.reorder_window_ms * NS_PER_MS),
            resume=self._ledger.answered(self._clock.realtime_ns(), intake.max_gap) if self._ledger else {},
        )
        reception = Reception(
            settings=intake,
            ring=self._ring,
            shelf=self._shelf,
            tracker=tracker,
            post=self._desk.post,
            done_ns=lambda now_ns: self._loop.batcher.pace.done_ns(1, now_ns),
            clock=self._clock,
        )
        return Intake(settings, self._context, reception, self._desk.post, self._keys)

    def _gauges(self) -> dict[str, float]:
        return {
            "ring_free": self._ring.free,
            "ring_waiting": self._ring.waiting,
            "ledger_rows_lost": self._ledger.rows_lost if self._ledger else 0,
            "ledger_rows_waiting": self._ledger.waiting if self._ledger else 0,
            "frames_unhashed": self._recorder.frames_unhashed,
            "kept_parts_dropped": self._kept.dropped if self._kept else 0,
            "clients_refused": self._gate.refused.total() if self._gate else 0,
        }

    def _make_vitals(self) -> Vitals:
        threads = {"loop": self._loop.turns, "desk": self._desk.rounds, "intake": self._intake.rounds}
        limit_s = self._settings.metrics.stalled_after_s
        return Vitals(
            account=self._account,
            state=self._state,
            progress=Progress(threads, limit_s=limit_s, clock=self._clock),
            supervisor=self._supervisor,
            garbage=self._garbage,
        )

    def _serve_http(self) -> None:
        http = self._settings.metrics
        if http.port:
            answers = application(self._metrics.page(), self._vitals.probes())
            self._closing.callback(serve_http(http.host, http.port, answers)[1])

    def _check_threads(self) -> None:
        for part in self._threads:
            if part.failure is not None:
                raise RuntimeError(f"the {type(part).__name__.lower()} thread failed") from part.failure
