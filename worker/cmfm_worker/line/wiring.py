"""The parts of a line: what is opened at the start, in which order, and how it hangs together.

Whatever was opened is closed again in reverse order, however far the start came.
"""

import math
import os
import uuid
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Final

import structlog
import torch
import zmq

from cmfm_protocol.wire.trigger import TriggerMessage
from cmfm_worker.cfm.fast.graphs import graph_recorder_for
from cmfm_worker.clock import NS_PER_MS, NS_PER_S, SystemClock
from cmfm_worker.inspection.inspector import inspector_maker
from cmfm_worker.line.compute.batch_timing import BatchTiming
from cmfm_worker.line.compute.batcher import Batcher, BatchLimits
from cmfm_worker.line.compute.device import choose_device, choose_precision, seam_for
from cmfm_worker.line.compute.line_inspector import LineInspector
from cmfm_worker.line.compute.loop import Lane, LoopContext
from cmfm_worker.line.compute.warm_up import WarmUp
from cmfm_worker.line.health.gc_control import GcControl
from cmfm_worker.line.health.http import application, serve_http
from cmfm_worker.line.health.liveness import LivenessMonitor
from cmfm_worker.line.health.metrics import LineCollector, Metrics
from cmfm_worker.line.health.reporter import HealthReporter
from cmfm_worker.line.health.systemd import Supervisor
from cmfm_worker.line.health.threads import computing_threads
from cmfm_worker.line.intake.admission import Admission
from cmfm_worker.line.intake.receiver import Receiver
from cmfm_worker.line.intake.ring import Ring, heap_bytes
from cmfm_worker.line.intake.sequence import SequenceTracker
from cmfm_worker.line.messages import Decision
from cmfm_worker.line.net.curve import read_keys
from cmfm_worker.line.net.zap import ZapHandler
from cmfm_worker.line.records.archive import MAPS_BYTES, Archive, made_on
from cmfm_worker.line.records.ledger.retention import Retention
from cmfm_worker.line.records.ledger.writer import Ledger
from cmfm_worker.line.records.recorder import Recorder
from cmfm_worker.line.verdicts.builder import ControlActions, new_book, open_verdict_thread
from cmfm_worker.line.verdicts.map_queue import MAPS_WAITING
from cmfm_worker.line.verdicts.outputs import Outputs
from cmfm_worker.line.verdicts.publisher import Publisher
from cmfm_worker.line.verdicts.verdict_thread import STOPPED, VerdictThread
from cmfm_worker.line.verdicts.worker_state import StateReporter
from cmfm_worker.recipes.registry import RecipeRegistry
from cmfm_worker.settings.model import Settings

STOP_LIMIT_S: Final = 10.0
"""How long a thread may take to end."""


@dataclass(slots=True)
class Ending:
    """How a line ends: whether a computation is left behind, and what becomes of parts that are still open."""

    cut_short: bool = False
    open_parts: Decision = STOPPED


class Assembly:
    """All parts of a line. Enter `closing`, then `open`; what was opened is closed on leaving it, as `ending` says.

    `drain` is what the control socket calls; `gives_up` says whether the loop is to wait no longer for a computation.
    """

    def __init__(self, settings: Settings, drain: Callable[[], None], gives_up: Callable[[], bool]) -> None:
        self._settings = settings
        self._request_drain = drain
        self._gives_up = gives_up
        self._threads: list[VerdictThread | Receiver | Recorder | Ledger | ZapHandler] = []
        self.closing = ExitStack()
        self.ending = Ending()
        self.clock = SystemClock()
        self.pace = BatchTiming()
        self.supervisor = Supervisor.from_environment(os.environ, os.getpid())
        self.garbage = GcControl()
        self.boot_id = uuid.uuid4().hex
        self.book = new_book(settings, self.boot_id)

    @property
    def backlog_bytes(self) -> int:
        """What a full backlog holds beside the ring: frames as received, until they are hashed, and maps."""
        settings = self._settings
        frames = settings.ring.slots + len(settings.sockets.frames) * settings.intake.receive_hwm
        return frames * heap_bytes(settings.device.expected_pixels) + MAPS_WAITING * MAPS_BYTES

    @property
    def left_computing(self) -> bool:
        """Whether a computation that was given up is still running; the end of the interpreter would wait for it."""
        return hasattr(self, "loop") and self.loop.lane.running

    def open(self) -> None:
        """Open and connect everything, start what says that the line is starting. No frame is accepted yet.

        Raises StartupError, InputError, LostDeviceError.
        """
        settings = self._settings
        self.device = choose_device(settings.device.name)
        self._cpu_threads = computing_threads(settings.device.threads)
        self.closing.callback(torch.set_num_threads, torch.get_num_threads())
        torch.set_num_threads(1)  # but for the lane's (see there)
        self.ring = Ring(
            slots=settings.ring.slots,
            max_pixels=settings.ring.max_pixels,
            pinned=self.device.type == "cuda",
            expected_pixels=settings.device.expected_pixels,
        )
        self._open_shelf()
        self.state = StateReporter(
            boot_id=self.boot_id,
            device=str(self.device),
            endpoints=settings.sockets.frames,
            clock=self.clock,
            totals=lambda: self.book.totals,
            queue_free=lambda: self.ring.free,
            recipes=lambda: self.shelf.names,
            part_ns=lambda: self.pace.part_ns,
        )
        self._context = zmq.Context()
        self.closing.callback(self._end_context)
        self._keys = read_keys(settings.curve)
        self._gate = self._open_gate()
        # Its sockets come first: a second worker fails here, before it touches the ledger of the first.
        self._publisher = Publisher(self._context, settings, self._keys)
        self._kept = self._open_kept()
        self.ledger = self._open_ledger()
        self._recorder = self._open_recorder()
        self._verdicts = self._make_verdicts()
        self.closing.callback(self._stop_verdicts)
        self.loop = self._make_loop()
        self.closing.callback(self._stop_loop)
        self.intake = self._make_intake()
        self.closing.callback(self._stop_intake)
        self._threads += [self._verdicts, self.intake]
        self.vitals = self._make_vitals()
        self.vitals.begin(settings.device.hang_limit_s)
        self.closing.callback(self.vitals.end)
        self._verdicts.start()  # heartbeats say "starting" while recipes load
        self._serve_http()

    def check_threads(self) -> None:
        """Raises RuntimeError where a thread of ours has failed."""
        for part in self._threads:
            if part.failure is not None:
                raise RuntimeError(f"the {type(part).__name__.lower()} thread failed") from part.failure

    def _open_shelf(self) -> None:
        settings = self._settings
        self.precision = choose_precision(settings.device.precision, self.device)
        self.warm_up = WarmUp(settings.device.warmup_shapes, settings.batch.max_batch, self.device)
        self.graphs = graph_recorder_for(self.device) if settings.device.cuda_graphs else None
        self.shelf = RecipeRegistry(
            settings.recipes,
            make_inspector=inspector_maker(settings.weights.folder, self.device, self.precision, self.graphs),
            device=self.device,
            precision=self.precision,
            warm_up=self.warm_up.beside,
        )

    def _open_gate(self) -> ZapHandler | None:
        """Before any socket that it guards."""
        if self._keys.own is None:
            return None
        gate = ZapHandler(self._context, self._keys)
        self.closing.callback(gate.close)
        self._threads.append(gate)
        gate.start()
        allowed = {str(door): len(keys) for door, keys in self._keys.allowed.items()}
        structlog.get_logger("service").info(
            "curve", public_key=self._keys.own.public.decode(), keys_allowed=allowed
        )
        return gate

    def _open_ledger(self) -> Ledger | None:
        kept = self._settings.ledger
        if kept.path is None:
            return None
        retention = Retention(kept.keep_days, kept.max_mb)
        ledger = Ledger(kept.path, flush_ms=kept.flush_ms, retention=retention)
        self.closing.callback(ledger.close)
        self._threads.append(ledger)
        return ledger

    def _open_kept(self) -> Archive | None:
        kept = self._settings.kept
        if kept.which == "none":
            return None
        origin = made_on(self.device, self._cpu_threads)
        parts = Archive(kept.folder, max_mb=kept.max_mb, which=kept.which, made_on=origin)
        self.closing.callback(parts.close)
        return parts

    def _open_recorder(self) -> Recorder:
        recorder = Recorder(ledger=self.ledger, keep=self._kept.keep if self._kept else None)
        self.closing.callback(recorder.close)  # before those that it hands over to
        self._threads.append(recorder)
        return recorder

    def _make_loop(self) -> LoopContext:
        batch = self._settings.batch
        limits = BatchLimits(batch.max_batch, int(batch.max_wait_ms * NS_PER_MS))
        return LoopContext(
            ring=self.ring,
            batcher=Batcher(self.ring, limits, self.clock, self.pace),
            lane=Lane(seam_for(self.device), LineInspector(), self._cpu_threads),
            close=self._verdicts.post,
            clock=self.clock,
            abandon=self._gives_up,
            hang_limit_s=self._settings.device.hang_limit_s,
        )

    def _make_verdicts(self) -> VerdictThread:
        self._metrics = Metrics(
            LineCollector(lambda: self.book.totals, self._gauges, self.state.sources_alive), self.garbage
        )
        outputs = Outputs(
            publisher=self._publisher,
            state=self.state,
            clock=self.clock,
            note=self.ledger.note if self.ledger else None,
            observe=self._metrics.observe,
            record=self._recorder.record,
        )
        return open_verdict_thread(
            self._settings,
            self._context,
            self._keys,
            book=self.book,
            state=self.state,
            publisher=self._publisher,
            outputs=outputs,
            actions=ControlActions(self._announce, self.shelf.load_in_background, self._request_drain),
            queue_free=lambda: self.ring.free,
            boot_id=self.boot_id,
            clock=self.clock,
        )

    def _announce(self, message: TriggerMessage, done: Callable[[str | None], None]) -> None:
        self.intake.announce(message, done)  # made after the verdict thread, which asks for it

    def _make_intake(self) -> Receiver:
        settings, intake = self._settings, self._settings.intake
        tracker = SequenceTracker(
            max_gap=intake.max_gap,
            window_ns=int(intake.reorder_window_ms * NS_PER_MS),
            resume=self.ledger.answered(self.clock.realtime_ns(), intake.max_gap) if self.ledger else {},
        )
        reception = Admission(
            settings=intake,
            ring=self.ring,
            shelf=self.shelf,
            tracker=tracker,
            post=self._verdicts.post,
            done_ns=lambda now_ns: self.pace.done_ns(1, now_ns),
            clock=self.clock,
        )
        return Receiver(settings, self._context, reception, self._verdicts.post, self._keys)

    def _gauges(self) -> dict[str, float]:
        part_ns = self.pace.part_ns
        return {
            "ring_free": self.ring.free,
            "ring_waiting": self.ring.waiting,
            "part_seconds": math.nan if part_ns is None else part_ns / NS_PER_S,
            "ledger_rows_lost": self.ledger.rows_lost if self.ledger else 0,
            "ledger_rows_waiting": self.ledger.waiting if self.ledger else 0,
            "frames_unhashed": self._recorder.frames_unhashed,
            "kept_parts_dropped": self._kept.dropped if self._kept else 0,
            "clients_refused": self._gate.refused.total() if self._gate else 0,
        }

    def _make_vitals(self) -> HealthReporter:
        threads = {"loop": self.loop.turns, "verdicts": self._verdicts.turns, "intake": self.intake.rounds}
        limit_s = self._settings.metrics.stalled_after_s
        return HealthReporter(
            totals=lambda: self.book.totals,
            phase=lambda: self.state.phase,
            progress=LivenessMonitor(threads, limit_s=limit_s, clock=self.clock),
            supervisor=self.supervisor,
            garbage=self.garbage,
        )

    def _serve_http(self) -> None:
        http = self._settings.metrics
        if http.port:
            answers = application(self._metrics.page(), self.vitals.probes())
            self.closing.callback(serve_http(http.host, http.port, answers)[1])

    def _stop_intake(self) -> None:
        self.intake.stop()
        self.intake.join(STOP_LIMIT_S)

    def _stop_loop(self) -> None:
        self.ring.wake()
        self.loop.lane.close(timeout_s=0 if self.ending.cut_short else STOP_LIMIT_S)

    def _stop_verdicts(self) -> None:
        self.state.phase = "stopped"
        self._verdicts.stop(timeout_s=STOP_LIMIT_S, open_triggers=self.ending.open_parts)

    def _end_context(self) -> None:
        """Sockets that a failed start or thread left open would hold this up for ever, so they are closed."""
        if not any(
            thread.running for thread in self._threads if isinstance(thread, VerdictThread | Receiver)
        ):
            self._context.destroy()
