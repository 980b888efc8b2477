"""The builders of a line's sub-packages, in the order in which `open_line` calls them.

Each gets the values that were built before it, and registers on the ExitStack how to close what it opens. `net` and
`records` have builders of their own in their packages.
"""

import math
import os
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from typing import Final

from cmfm_protocol.clock import NS_PER_MS, NS_PER_S, Clock
from cmfm_protocol.wire.state import WorkerState
from cmfm_service.http import application, serve_http
from cmfm_service.systemd import SystemdNotifier
from cmfm_worker.line.compute.batcher import Batcher, BatchLimits
from cmfm_worker.line.compute.device import seam_for
from cmfm_worker.line.compute.lane import BatchInspector, Lane
from cmfm_worker.line.compute.loop import LoopContext
from cmfm_worker.line.core import Core, Recipes
from cmfm_worker.line.health.gc_control import GcControl
from cmfm_worker.line.health.liveness import CompletedTurns, LivenessMonitor
from cmfm_worker.line.health.metrics import LineCollector, Metrics
from cmfm_worker.line.health.reporter import HealthReporter
from cmfm_worker.line.intake.admission import Admission
from cmfm_worker.line.intake.receiver import Receiver
from cmfm_worker.line.intake.sequence import SequenceTracker
from cmfm_worker.line.intake.used_numbers import PastNumbers
from cmfm_worker.line.messages import Decision
from cmfm_worker.line.net.builder import Net
from cmfm_worker.line.records.builder import Records
from cmfm_worker.line.records.ledger.writer import Ledger
from cmfm_worker.line.verdicts.builder import open_verdict_thread
from cmfm_worker.line.verdicts.drift_metrics import DriftCollector
from cmfm_worker.line.verdicts.outputs import Outputs
from cmfm_worker.line.verdicts.publisher import Publisher
from cmfm_worker.line.verdicts.requests import ControlActions
from cmfm_worker.line.verdicts.verdict_thread import STOPPED, VerdictThread
from cmfm_worker.line.verdicts.worker_state import StateReporter

STOP_LIMIT_S: Final = 10.0
"""How long a thread may take to end."""


def open_notifier(stack: ExitStack) -> SystemdNotifier:
    """Connect to systemd as the environment says. Raises StartupError for values that systemd never writes."""
    notifier = SystemdNotifier.from_environment(os.environ, os.getpid())
    stack.callback(notifier.close)
    return notifier


def open_metrics(
    core: Core, stack: ExitStack, net: Net, recipes: Recipes, records: Records
) -> tuple[Metrics, GcControl]:
    """Make the line's metrics, and begin to measure the garbage collector."""

    def gauges() -> dict[str, float]:
        part_ns = core.timing.part_ns
        return {
            "ring_free": core.ring.free,
            "ring_waiting": core.ring.waiting,
            "part_seconds": math.nan if part_ns is None else part_ns / NS_PER_S,
            **records.gauges(),
            "clients_refused": net.zap.refused.total() if net.zap else 0,
        }

    gc_control = GcControl()
    gc_control.watch()
    stack.callback(gc_control.restore)
    state = core.state
    collector = LineCollector(
        lambda: core.book.totals, gauges, state.sources_alive, state.frame_ages_s, state.cameras
    )
    return Metrics(collector, DriftCollector(recipes.registry.drifts), gc_control), gc_control


def open_intake(core: Core, stack: ExitStack, net: Net, recipes: Recipes, records: Records) -> Receiver:
    """Make the intake; it connects to the cameras when it is started."""
    settings, clock, timing = core.settings.intake, core.clock, core.timing
    ledger = records.ledger
    tracker = SequenceTracker(
        max_gap=settings.max_gap,
        window_ns=int(settings.reorder_window_ms * NS_PER_MS),
        resume=_answered(ledger, clock, settings.max_gap) if ledger else {},
        past=_past(ledger, clock) if ledger else {},
    )
    admission = Admission(
        settings=settings,
        ring=core.ring,
        recipes=recipes.registry,
        tracker=tracker,
        post=core.events.post,
        done_ns=lambda now_ns: timing.done_ns(1, now_ns),
        backlog=core.events.__len__,
        clock=clock,
        cameras=core.settings.camera_names,
    )
    intake = Receiver(core.settings, net.context, admission, core.events.post, net.keys)
    stack.callback(stop_intake, intake)
    core.threads.add("intake", intake)
    return intake


def _answered(ledger: Ledger, clock: Clock, max_gap: int) -> dict[str, dict[int, int]]:
    """Return the numbers that earlier boots have answered, and when by CLOCK_MONOTONIC."""
    realtime_ns, monotonic_ns = clock.realtime_ns(), clock.monotonic_ns()
    return {
        stream_uuid: {seq: done_ns - realtime_ns + monotonic_ns for seq, done_ns in numbers.items()}
        for stream_uuid, numbers in ledger.answered(realtime_ns, max_gap).items()
    }


def _past(ledger: Ledger, clock: Clock) -> dict[str, PastNumbers]:
    """Return every stream of the ledger with the numbers that may have had their verdict."""
    offset_ns = clock.monotonic_ns() - clock.realtime_ns()
    return {
        stream_uuid: PastNumbers.up_to(newest, done_ns + offset_ns)
        for stream_uuid, (newest, done_ns) in ledger.past().items()
    }


def open_verdicts(
    core: Core,
    stack: ExitStack,
    net: Net,
    publisher: Publisher,
    recipes: Recipes,
    records: Records,
    intake: Receiver,
    metrics: Metrics,
    request_drain: Callable[[], None],
) -> VerdictThread:
    """Bind the sockets for requests and make the verdict thread. Raises StartupError if a port is taken."""
    registry = recipes.registry

    def worker_state() -> WorkerState:
        return core.state.message(registry.names, records.collector.state())

    outputs = Outputs(
        publisher=publisher,
        worker_state=worker_state,
        update_source=core.state.source_changed,
        clock=core.clock,
        note=records.ledger.note if records.ledger else None,
        observe=metrics.observe,
        record=records.recorder.record,
    )
    verdicts = open_verdict_thread(
        core.settings,
        net,
        boot_id=core.boot_id,
        clock=core.clock,
        book=core.book,
        events=core.events,
        queue_free=lambda: core.ring.free,
        publisher=publisher,
        outputs=outputs,
        requests=ControlActions(
            worker_state=worker_state,
            announce=intake.announce,
            load_recipe=registry.load_in_background,
            collect=records.collector.begin,
            audit=records.audit,
            drain=request_drain,
        ),
    )
    stack.callback(stop_verdicts, core.state, verdicts)
    core.threads.add("verdicts", verdicts)
    return verdicts


def open_compute(
    core: Core, stack: ExitStack, gives_up: Callable[[], bool], inspector: BatchInspector
) -> LoopContext:
    """Start the lane's threads and make the context of the loop, which runs in the main thread."""
    batch, device = core.settings.batch, core.settings.device
    limits = BatchLimits(batch.max_batch, int(batch.max_wait_ms * NS_PER_MS))
    lane = Lane(seam_for(core.device), inspector, core.cpu_threads)
    stack.callback(lane.close, timeout_s=STOP_LIMIT_S)
    return LoopContext(
        ring=core.ring,
        batcher=Batcher(core.ring, limits, core.clock, core.timing),
        lane=lane,
        close=core.events.post,
        clock=core.clock,
        abandon=gives_up,
        hang_limit_s=device.hang_limit_s,
    )


def open_health(
    core: Core,
    stack: ExitStack,
    turns: Mapping[str, CompletedTurns],
    notifier: SystemdNotifier,
    gc_control: GcControl,
    metrics: Metrics,
) -> HealthReporter:
    """Tell systemd that the line is starting; serve probes and metrics. Raises StartupError if the port is taken."""
    settings = core.settings
    health = HealthReporter(
        totals=lambda: core.book.totals,
        phase=lambda: core.state.phase,
        cameras_lost=core.state.sources_lost,
        liveness=LivenessMonitor(turns, limit_s=settings.metrics.stalled_after_s, clock=core.clock),
        notifier=notifier,
        gc_control=gc_control,
    )
    health.begin(settings.device.hang_limit_s)
    if settings.metrics.port:
        served = application(metrics.page(), health.probes())
        stack.callback(serve_http(settings.metrics.host, settings.metrics.port, served)[1])
    return health


def stop_intake(intake: Receiver) -> None:
    """End the intake: no frame is accepted any more."""
    intake.stop()
    intake.join(STOP_LIMIT_S)


def stop_verdicts(state: StateReporter, verdicts: VerdictThread, open_triggers: Decision = STOPPED) -> None:
    """End the verdict thread: parts that are open get `open_triggers`, and a last heartbeat says "stopped"."""
    state.phase = "stopped"
    verdicts.stop(timeout_s=STOP_LIMIT_S, open_triggers=open_triggers)
