"""Opens a line: `open_line` builds one sub-package after the other and returns the finished `Line`.

The order of the builders matters where a comment says so. The caller's ExitStack closes whatever was opened in reverse
order, however far the start came. `service.shutdown` stops a line that has run.
"""

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field

from cmfm_protocol.clock import Clock, SystemClock
from cmfm_worker.inspection.inspector import inspector_maker
from cmfm_worker.line.builders import (
    open_compute,
    open_health,
    open_intake,
    open_metrics,
    open_notifier,
    open_verdicts,
)
from cmfm_worker.line.compute.lane import BatchInspector
from cmfm_worker.line.compute.line_inspector import LineInspector
from cmfm_worker.line.compute.loop import LoopContext
from cmfm_worker.line.core import Core, InspectorMaker, Recipes, open_core, open_recipes
from cmfm_worker.line.health.descriptors import require_descriptors
from cmfm_worker.line.health.reporter import HealthReporter
from cmfm_worker.line.intake.receiver import Receiver
from cmfm_worker.line.net.builder import open_net
from cmfm_worker.line.records.archive import made_on
from cmfm_worker.line.records.builder import Records, open_records
from cmfm_worker.line.verdicts.publisher import Publisher
from cmfm_worker.line.verdicts.verdict_thread import VerdictThread
from cmfm_worker.settings.model import Settings


@dataclass(frozen=True, slots=True)
class Factories:
    """Objects of a line that a test may replace."""

    inspector_maker: InspectorMaker = inspector_maker
    batch_inspector: Callable[[], BatchInspector] = LineInspector
    clock: Clock = field(default_factory=SystemClock)


@dataclass(frozen=True, slots=True)
class Line:
    """An opened line: everything is bound and connected, and no frame is accepted before `intake.start`."""

    core: Core
    recipes: Recipes
    records: Records
    intake: Receiver
    verdicts: VerdictThread
    loop: LoopContext
    health: HealthReporter


def open_line(
    settings: Settings,
    stack: ExitStack,
    *,
    request_drain: Callable[[], None] = lambda: None,
    gives_up: Callable[[], bool] = lambda: False,
    factories: Factories = Factories(),
) -> Line:
    """Open a line; its state heartbeats say "starting" from now on.

    The control socket calls `request_drain`. The loop asks `gives_up` whether to abandon the computation that it waits
    for. Raises InputError, StartupError.
    """
    require_descriptors(settings)
    notifier = open_notifier(stack)
    core = open_core(settings, stack, factories.clock)
    recipes = open_recipes(core, factories.inspector_maker)
    net = open_net(settings.curve, stack, core.threads)  # the ZAP handler before any socket that it guards
    # Before the ledger: a second worker fails here, and leaves the ledger of the first alone.
    publisher = Publisher(net.context, settings, net.keys)
    records = open_records(settings, stack, core.threads, made_on(core.device, core.cpu_threads))
    metrics, gc_control = open_metrics(core, stack, net, recipes, records)
    # Before the verdicts, whose control socket hands announced triggers to it.
    intake = open_intake(core, stack, net, recipes, records)
    verdicts = open_verdicts(core, stack, net, publisher, recipes, records, intake, metrics, request_drain)
    loop = open_compute(core, stack, gives_up, factories.batch_inspector())
    turns = {"loop": loop.turns, "verdicts": verdicts.turns, "intake": intake.turns}
    health = open_health(core, stack, turns, notifier, gc_control, metrics)
    verdicts.start()  # heartbeats say "starting" while recipes load
    return Line(core, recipes, records, intake, verdicts, loop, health)
