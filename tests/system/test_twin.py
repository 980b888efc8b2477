"""The overlapped loop and its serial twin inspect the same frames by the real method: bit for bit the same."""

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from cmfm_protocol.clock import SystemClock
from cmfm_protocol.files.dataset import list_parts, read_part
from cmfm_protocol.wire.frame import Frame, FrameHeader
from cmfm_worker.inspection.inspector import Inspector, inspector_maker
from cmfm_worker.line.compute.batcher import Batcher, BatchLimits
from cmfm_worker.line.compute.device import CpuSeam, DeviceSeam
from cmfm_worker.line.compute.lane import Flight, Lane
from cmfm_worker.line.compute.line_inspector import LineInspector
from cmfm_worker.line.compute.loop import LoopContext, conclude, overlapped_turn, serial_turn
from cmfm_worker.line.intake.ring import Ring
from cmfm_worker.line.messages import Closed, Decision, Trigger, TriggerKey
from cmfm_worker.recipes.registry import RecipeRegistry
from cmfm_worker.settings.sections.compute import RecipesSection

pytestmark = pytest.mark.system

Turn = Callable[[LoopContext, Flight | None], Flight | None]


@pytest.fixture(scope="module")
def registry(recipes: Path) -> RecipeRegistry[Inspector]:
    """A registry with the recipe that the system tests share."""
    cpu = torch.device("cpu")
    registry = RecipeRegistry(
        RecipesSection(folder=recipes), make_inspector=inspector_maker(recipes, cpu), device=cpu
    )
    registry.load_all()
    return registry


class ComputesOn(CpuSeam):
    """A device that computes on after a batch was issued: a third thread decides."""

    overlaps = True


def run(
    turn: Turn,
    registry: RecipeRegistry[Inspector],
    root: Path,
    *,
    max_batch: int,
    seam: DeviceSeam | None = None,
) -> dict[int, Decision]:
    """Send the test split through one loop; returns the decisions by seq."""
    closed: list[Closed] = []
    parts = list_parts(root, "praline", "test")
    clock, ring = SystemClock(), Ring(slots=4, max_pixels=1 << 16, pinned=False)
    batcher = Batcher(ring, BatchLimits(max_batch, 0), clock)
    context = LoopContext(ring, batcher, Lane(seam or CpuSeam(), LineInspector()), closed.append, clock)
    model = registry.find("praline")
    assert model is not None
    flight: Flight | None = None
    for seq, files in enumerate(parts):
        while (slot := ring.claim()) is None:
            flight = turn(context, flight)
        header = FrameHeader("cam", seq, files.id, 0, 1.0, "praline")
        trigger = Trigger(TriggerKey("cam", seq), files.id, "praline", "", 0, 0, 1 << 62, simulated=True)
        ring.fill(slot, Frame(header, *read_part(files)), trigger, model, time.monotonic_ns())
    while ring.waiting:
        flight = turn(context, flight)
    if flight is not None:
        conclude(context, flight)
    context.lane.close()
    return {item.key.seq: item.decision for item in closed}


@pytest.mark.parametrize(("max_batch", "seam"), [(1, CpuSeam()), (3, CpuSeam()), (3, ComputesOn())])
def test_overlapped_loop_and_serial_twin_agree(
    registry: RecipeRegistry[Inspector], synthetic_root: Path, max_batch: int, seam: DeviceSeam
) -> None:
    """Verdicts, scores, peaks and every pixel of every map are identical, whichever thread decides."""
    overlapped = run(overlapped_turn, registry, synthetic_root, max_batch=max_batch, seam=seam)
    serial = run(serial_turn, registry, synthetic_root, max_batch=max_batch)
    assert overlapped.keys() == serial.keys()
    assert len(serial) == len(list_parts(synthetic_root, "praline", "test"))
    for seq, twin in serial.items():
        mine = overlapped[seq]
        assert (mine.verdict, mine.reason, mine.score, mine.peak_px) == (
            twin.verdict,
            twin.reason,
            twin.score,
            twin.peak_px,
        )
        assert mine.maps is not None
        assert twin.maps is not None
        for name in ("psi", "psi_2d", "psi_3d", "rgb", "depth", "foreground"):
            assert np.array_equal(getattr(mine.maps, name), getattr(twin.maps, name)), name
