"""The core of a line: the values that several sub-packages share, and the recipes, which are not loaded yet."""

import uuid
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import torch

from cmfm_protocol.clock import Clock
from cmfm_worker.cfm.fast.graphs import GraphRecorder, graph_recorder_for
from cmfm_worker.cfm.fast.precision import Precision
from cmfm_worker.inspection.inspector import Inspector
from cmfm_worker.line.compute.batch_timing import BatchTiming
from cmfm_worker.line.compute.device import choose_device, choose_precision
from cmfm_worker.line.compute.warm_up import WarmUp
from cmfm_worker.line.health.liveness import LineThreads
from cmfm_worker.line.health.threads import computing_threads
from cmfm_worker.line.intake.ring import Ring
from cmfm_worker.line.messages import BookEvent
from cmfm_worker.line.net.wakeable_queue import WakeableQueue
from cmfm_worker.line.verdicts.builder import new_book
from cmfm_worker.line.verdicts.verdict_book import VerdictBook
from cmfm_worker.line.verdicts.worker_state import StateReporter
from cmfm_worker.recipes.recipe import Recipe
from cmfm_worker.recipes.registry import RecipeRegistry
from cmfm_worker.settings.model import Settings


class InspectorMaker(Protocol):
    """Returns, for weights, device and precision, a function from a recipe to its inspector (`inspector_maker`)."""

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
    state: StateReporter
    ring: Ring
    timing: BatchTiming
    book: VerdictBook  # the verdict thread alone steps it; any thread reads its totals
    events: WakeableQueue[BookEvent]  # from all threads to the verdict thread
    threads: LineThreads


@dataclass(frozen=True, slots=True)
class Recipes:
    """The recipes of a line, not loaded yet, and how they are computed."""

    registry: RecipeRegistry[Inspector]
    precision: Precision
    warm_up: WarmUp
    graphs: GraphRecorder | None


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
    book, timing = new_book(settings, boot_id), BatchTiming()
    state = StateReporter(
        boot_id=boot_id,
        device=str(device),
        cameras=settings.camera_names,
        clock=clock,
        totals=lambda: book.totals,
        queue_free=lambda: ring.free,
        part_ns=lambda: timing.part_ns,
    )
    return Core(
        settings=settings,
        boot_id=boot_id,
        device=device,
        cpu_threads=cpu_threads,
        clock=clock,
        state=state,
        ring=ring,
        timing=timing,
        book=book,
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
