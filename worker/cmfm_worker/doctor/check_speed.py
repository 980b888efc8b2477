"""Speed: what one part costs on this machine, against the line's rate.

A running worker tells what its parts cost; nothing is computed beside it. Without one a made-up part of each recipe is
computed as the line does.
"""

import math
import os
import time
from collections.abc import Callable
from typing import Final

import torch

from cmfm_worker.cfm.fast.graphs import graph_recorder_for
from cmfm_worker.doctor.findings import Check, Finding, Findings
from cmfm_worker.doctor.line_rate import rate_in_words, rate_of
from cmfm_worker.doctor.visit import Visit
from cmfm_worker.errors import InputError
from cmfm_worker.inspection.inspector import Inspector, inspector_maker
from cmfm_worker.line.compute.device import choose_device, choose_precision
from cmfm_worker.line.compute.warm_up import WarmUp
from cmfm_worker.line.core import InspectorMaker
from cmfm_worker.line.health.threads import computing_threads
from cmfm_worker.recipes.recipe_path import recipe_names
from cmfm_worker.recipes.registry import RecipeRegistry
from cmfm_worker.settings.model import Settings

CHECK: Final = Check("speed")
LOAD: Final = 0.8
"""Share of the time that a line may compute: the rest is for what comes in a burst."""

ROUNDS: Final = 3
LIMIT_S: Final = 20.0
"""No further round of a recipe begins after this."""

GIVE_RATE: Final = "give the line's rate: --rate PARTS_A_SECOND"
FASTER: Final = "slow the conveyor, end other programs on this machine, or take a faster one"


def check_speed(visit: Visit, make: InspectorMaker = inspector_maker) -> Findings:
    """Compare the cost of a part with the line's rate."""
    rate_hz, source = rate_of(visit.settings, visit.options.rate_hz)
    if visit.worker is not None:
        state = visit.worker.state
        if state is None or state.part_ms is None:
            why = visit.worker.why_no_state or "no part has been computed yet"
            return [
                CHECK.not_checked(
                    f"a worker runs and does not tell what a part costs: {why}", "see `worker` below"
                )
            ]
        return [speed_finding("running worker", state.part_ms, rate_hz, source)]
    costs = part_costs_ms(visit.settings, make)
    if not costs:
        return [
            CHECK.not_checked("no recipe can be loaded, so no part can be computed", "see `recipes` above")
        ]
    found = [speed_finding(name, cost_ms, rate_hz, source) for name, cost_ms in costs.items()]
    busy = load_finding(os.getloadavg()[0], os.cpu_count() or 1)
    return [*found, *([busy] if busy else [])]


def speed_finding(name: str, part_ms: float, rate_hz: float | None, source: str) -> Finding:
    """Judge what a part costs against the rate in parts a second, None if it is not known (`source` says why)."""
    most_hz = LOAD * 1e3 / part_ms if part_ms else math.inf
    seen = f"{name}: {part_ms:.0f} ms a part, so at most {rate_in_words(most_hz)} are wise"
    if rate_hz is None:
        return CHECK.not_checked(f"{seen}; the line's rate is not known ({source})", GIVE_RATE)
    against = f"{seen}; the line has {rate_in_words(rate_hz)} ({source})"
    return CHECK.good(against) if rate_hz <= most_hz else CHECK.to_do(against, FASTER)


def load_finding(load: float, cores: int) -> Finding | None:
    """Say that other programs computed during the measurement, by the load average of the last minute."""
    if load <= cores:
        return None
    return CHECK.note(
        f"the machine is busy (load {load:.1f} on {cores} cores): the figures above are those of a busy machine",
        "`top` names the programs",
    )


def part_costs_ms(
    settings: Settings, make: InspectorMaker, clock_s: Callable[[], float] = time.perf_counter
) -> dict[str, float]:
    """Compute a made-up part of each recipe a few times; returns the median milliseconds."""
    device = choose_device(settings.device.name)
    precision = choose_precision(settings.device.precision, device)
    graphs = graph_recorder_for(device) if settings.device.cuda_graphs else None
    warm_up = WarmUp(settings.device.warmup_shapes, 1, device)
    registry: RecipeRegistry[Inspector] = RecipeRegistry(
        settings.recipes,
        make_inspector=make(settings.weights.folder, device, precision, graphs),
        device=device,
        precision=precision,
    )
    threads = torch.get_num_threads()
    torch.set_num_threads(computing_threads(settings.device.threads))
    costs: dict[str, float] = {}
    folder = settings.recipes.folder
    try:
        for name in settings.recipes.names or (recipe_names(folder) if folder.exists() else ()):
            try:
                model = registry.load(name)
            except InputError:
                continue  # the check of the recipes names it
            parts = sum(1 for _ in warm_up.batches(model))
            warm_up.in_this_thread(model)  # the first one has first-time costs
            times: list[float] = []
            began_s = clock_s()
            while len(times) < ROUNDS and (not times or clock_s() - began_s < LIMIT_S):
                round_s = clock_s()
                warm_up.in_this_thread(model)
                times.append((clock_s() - round_s) / parts)
            costs[name] = sorted(times)[len(times) // 2] * 1e3
    finally:
        torch.set_num_threads(threads)
        if graphs is not None:
            graphs.close()
    return costs
