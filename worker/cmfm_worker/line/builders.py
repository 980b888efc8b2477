"""The builders of a line's sub-packages, called by `open_line` in this order, each given what was built before it.

Each registers on the ExitStack how to close what it opened; the stack closes in reverse order.
"""

import math
import os
import uuid
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

import torch

from cmfm_worker.cfm.fast.graphs import GraphRecorder, graph_recorder_for
from cmfm_worker.cfm.fast.precision import Precision
from cmfm_worker.clock import NS_PER_MS, NS_PER_S, Clock
from cmfm_worker.inspection.inspector import Inspector
from cmfm_worker.line.compute.batch_timing import BatchTiming
from cmfm_worker.line.compute.batcher import Batcher, BatchLimits
from cmfm_worker.line.compute.device import choose_device, choose_precision, seam_for
from cmfm_worker.line.compute.lane import BatchInspector, Lane
from cmfm_worker.line.compute.loop import LoopContext
from cmfm_worker.line.compute.warm_up import WarmUp
from cmfm_worker.line.health.gc_control import GcControl
from cmfm_worker.line.health.http import application, serve_http
from cmfm_worker.line.health.line_threads import LineThreads
from cmfm_worker.line.health.liveness import CompletedTurns, LivenessMonitor
from cmfm_worker.line.health.metrics import LineCollector, Metrics
from cmfm_worker.line.health.reporter import HealthReporter
from cmfm_worker.line.health.systemd import SystemdNotifier
from cmfm_worker.line.health.threads import computing_threads
from cmfm_worker.line.intake.admission import Admission
from cmfm_worker.line.intake.receiver import Receiver
from cmfm_worker.line.intake.ring import Ring
from cmfm_worker.line.intake.sequence import SequenceTracker
from cmfm_worker.line.messages import BookEvent, Decision
from cmfm_worker.line.net.builder import Net
from cmfm_worker.line.net.wakeable_queue import WakeableQueue
from cmfm_worker.line.records.builder import Records
from cmfm_worker.line.verdicts.account import Account
from cmfm_worker.line.verdicts.publisher import Publisher
from cmfm_worker.line.verdicts.requests import ControlServer, RecoveryServer
from cmfm_worker.line.verdicts.verdict_thread import STOPPED, BookOptions, VerdictThread
from cmfm_worker.line.verdicts.worker_state import LineState, StateMessage
from cmfm_worker.recipes.recipe import Recipe
from cmfm_worker.recipes.registry import RecipeRegistry
from cmfm_worker.settings.model import Settings

STOP_LIMIT_S: Final = 10.0
"""How long a thread may take to end."""


class InspectorMaker(Protocol):
    """Makes the function that makes the inspector of a recipe (on a line: `inspector_maker`)."""

    def __call__(
        self,
        weights: Path | None,
        device: torch.device,
        precision: Precision = ...,
        graphs: GraphRecorder | None = ...,
    ) -> Callable[[Recipe], Inspector]:
        """Return the function."""
        ...


@dataclass(frozen=True, slots=True)
class Core:
    """Values that several sub-packages share; none of them has a thread or a socket."""

    settings: Settings
    boot_id: str
    device: torch.device
    cpu_threads: int  # of a computation on a CPU
    clock: Clock
    state: LineState
    ring: Ring
    timing: BatchTiming
    account: Account
    events: WakeableQueue[BookEvent]  # from all threads to the verdict thread
    threads: LineThreads


@dataclass(frozen=True, slots=True)
class Recipes:
    """The recipes of a line, not loaded yet, and how they are computed."""

    registry: RecipeRegistry[Inspector]
    precision: Precision
    warm_up: WarmUp
    graphs: GraphRecorder | None


def open_notifier(stack: ExitStack) -> SystemdNotifier:
    """Connect to systemd as the environment says. Raises StartupError for values that systemd never writes."""
    notifier = SystemdNotifier.from_environment(os.environ, os.getpid())
    stack.callback(notifier.close)
    return notifier


def open_core(settings: Settings, stack: ExitStack, clock: Clock) -> Core:
    """Choose the device and allocate the ring. Raises InputError if the device is not there."""
    device = choose_device(settings.device.name)
    cpu_threads = computing_threads(settings.device.threads)
    stack.callback(torch.set_num_threads, torch.get_num_threads())
    torch.set_num_threads(1)  # in every thread but the lane's "compute", see `Lane`
    boot_id = uuid.uuid4().hex
    events: WakeableQueue[BookEvent] = WakeableQueue()
    stack.callback(events.close)
    ring = Ring(
        slots=settings.ring.slots,
        max_pixels=settings.ring.max_pixels,
        pinned=device.type == "cuda",
        expected_pixels=settings.device.expected_pixels,
    )
    return Core(
        settings=settings,
        boot_id=boot_id,
        device=device,
        cpu_threads=cpu_threads,
        clock=clock,
        state=LineState(boot_id=boot_id, device=str(device), endpoints=settings.sockets.frames, clock=clock),
        ring=ring,
        timing=BatchTiming(),
        account=Account(),
        events=events,
        threads=LineThreads(),
    )


def open_recipes(core: Core, make_maker: InspectorMaker) -> Recipes:
    """Make the registry. Raises InputError if the precision does not pay on the device."""
    settings, device = core.settings, core.device
    precision = choose_precision(settings.device.precision, device)
    graphs = graph_recorder_for(device) if settings.device.cuda_graphs else None
    warm_up = WarmUp(settings.device.warmup_shapes, settings.batch.max_batch, device)
    registry = RecipeRegistry(
        settings.recipes,
        make_inspector=make_maker(settings.weights.folder, device, precision, graphs),
        device=device,
        precision=precision,
        warm_up=warm_up.in_this_thread,
    )
    return Recipes(registry, precision, warm_up, graphs)


def open_metrics(core: Core, stack: ExitStack, net: Net, records: Records) -> tuple[Metrics, GcControl]:
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
    collector = LineCollector(lambda: core.account.counts, gauges, core.state.sources_alive)
    return Metrics(collector, gc_control), gc_control


def open_intake(core: Core, stack: ExitStack, net: Net, recipes: Recipes, records: Records) -> Receiver:
    """Make the intake; it connects to the cameras when it is started."""
    settings, clock, timing = core.settings.intake, core.clock, core.timing
    ledger = records.ledger
    tracker = SequenceTracker(
        max_gap=settings.max_gap,
        window_ns=int(settings.reorder_window_ms * NS_PER_MS),
        resume=ledger.answered(clock.realtime_ns(), settings.max_gap) if ledger else {},
    )
    admission = Admission(
        settings=settings,
        ring=core.ring,
        shelf=recipes.registry,
        tracker=tracker,
        post=core.events.post,
        done_ns=lambda now_ns: timing.done_ns(1, now_ns),
        clock=clock,
    )
    intake = Receiver(core.settings, net.context, admission, core.events.post, net.keys)
    stack.callback(stop_intake, intake)
    core.threads.add("intake", intake)
    return intake


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
    settings, context, keys = core.settings, net.context, net.keys
    state = heartbeat(core, recipes)
    recovery = RecoveryServer(
        context, settings.sockets.recovery, publisher.history, core.boot_id, keys.curve_server("recovery")
    )
    control = ControlServer(
        context,
        settings.sockets.control,
        state=state,
        announce=intake.announce,
        load_recipe=recipes.registry.load_in_background,
        drain=request_drain,
        curve=keys.curve_server("control"),
    )
    verdicts = VerdictThread(
        events=core.events,
        account=core.account,
        options=BookOptions(core.boot_id, settings.results.state_ms, settings.maps.publish),
        publisher=publisher,
        recovery=recovery,
        control=control,
        sinks=[metrics.observe],
        queue_free=lambda: core.ring.free,
        state=state,
        on_source=core.state.source_changed,
        clock=core.clock,
        record=records.recorder.record,
        note=records.ledger.note if records.ledger else None,
        lateness=metrics.observe_lateness,
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
        totals=lambda: core.account.counts,
        phase=lambda: core.state.phase,
        liveness=LivenessMonitor(turns, limit_s=settings.metrics.stalled_after_s, clock=core.clock),
        notifier=notifier,
        gc_control=gc_control,
    )
    health.begin(settings.device.hang_limit_s)
    if settings.metrics.port:
        served = application(metrics.page(), health.probes())
        stack.callback(serve_http(settings.metrics.host, settings.metrics.port, served)[1])
    return health


def heartbeat(core: Core, recipes: Recipes) -> StateMessage:
    """Return the function that makes the state heartbeat."""
    return lambda: core.state.message(
        core.account,
        queue_free=core.ring.free,
        recipes=recipes.registry.names,
        part_ns=core.timing.part_ns,
    )


def stop_intake(intake: Receiver) -> None:
    """End the intake: no frame is accepted any more."""
    intake.stop()
    intake.join(STOP_LIMIT_S)


def stop_verdicts(state: LineState, verdicts: VerdictThread, open_parts: Decision = STOPPED) -> None:
    """End the verdict thread: parts that are open get `open_parts`, and a last heartbeat says "stopped"."""
    state.phase = "stopped"
    verdicts.stop(timeout_s=STOP_LIMIT_S, open_parts=open_parts)
