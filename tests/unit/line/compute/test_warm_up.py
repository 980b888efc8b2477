"""Warm-up: computes every batch size and frame size of the line before a recipe's first part."""

import shutil
import time
from pathlib import Path
from typing import cast

import pytest
import torch
from tests.unit.made.recipes import ColourAndPlace, model, saved

from cmfm_protocol.clock import NS_PER_S, SystemClock
from cmfm_worker.errors import InputError, LostDeviceError
from cmfm_worker.inspection.inspector import Inspector
from cmfm_worker.line.compute.batcher import Batcher, BatchLimits
from cmfm_worker.line.compute.device import CpuSeam
from cmfm_worker.line.compute.lane import Lane
from cmfm_worker.line.compute.line_inspector import LineInspector
from cmfm_worker.line.compute.loop import LoopContext
from cmfm_worker.line.compute.warm_up import WarmUp, batch_sizes, made_up_frame
from cmfm_worker.line.intake.ring import Ring
from cmfm_worker.line.messages import LineRecipe
from cmfm_worker.recipes.registry import RecipeRegistry
from cmfm_worker.recipes.sections import FrameSection
from cmfm_worker.settings.sections.compute import RecipesSection

CPU, CUDA = torch.device("cpu"), torch.device("cuda")


def loop_context(inspector: LineInspector, hang_limit_s: float = 60.0) -> LoopContext:
    ring, clock = Ring(slots=2, max_pixels=100, pinned=False), SystemClock()
    batcher = Batcher(ring, BatchLimits(4, 0), clock)
    return LoopContext(
        ring, batcher, Lane(CpuSeam(), inspector), lambda _: None, clock, hang_limit_s=hang_limit_s
    )


class NotingInspector(LineInspector):
    """Notes the size and shape of each batch."""

    def __init__(self, error: Exception | None = None) -> None:
        self.seen: list[tuple[int, tuple[int, ...]]] = []
        self._error = error

    def inspect(self, slots, rgb, xyz):  # type: ignore[no-untyped-def] # as the base
        self.seen.append((len(slots), tuple(rgb[0].shape)))
        if self._error:
            raise self._error
        return super().inspect(slots, rgb, xyz)


class SlowInspector(LineInspector):
    """Takes longer for frames of some shapes, by `seconds`."""

    def __init__(self, seconds: dict[tuple[int, ...], float]) -> None:
        self._seconds = seconds

    def inspect(self, slots, rgb, xyz):  # type: ignore[no-untyped-def] # as the base
        time.sleep(self._seconds[tuple(rgb[0].shape)])
        return super().inspect(slots, rgb, xyz)


@pytest.fixture
def line_recipe(tmp_path: Path) -> LineRecipe:
    return LineRecipe(model(tmp_path / "part"), Inspector(ColourAndPlace()))


def test_sizes_that_the_line_will_compute() -> None:
    """On a GPU every size up to eight, beyond it the powers of two, largest first; on a CPU only single parts."""
    assert batch_sizes(4, CPU) == [1]
    assert batch_sizes(4, CUDA) == [4, 3, 2, 1]
    assert batch_sizes(12, CUDA) == [12, 8, 4, 2, 1]
    assert batch_sizes(16, CUDA) == [16, 8, 4, 2, 1]


def test_every_shape_goes_the_way_of_real_frames(line_recipe: LineRecipe) -> None:
    """Each frame size of the settings passes through the lane once."""
    inspector = NotingInspector()
    context = loop_context(inspector)
    WarmUp(((64, 64), (60, 80)), 4, CPU).through_lane(context, [line_recipe])
    assert inspector.seen == [(1, (64, 64, 3)), (1, (60, 80, 3))]
    context.lane.close()


class Counting(Inspector):
    """Counts the batches that are computed."""

    computed = 0

    def inspect(self, *arguments, **options):  # type: ignore[no-untyped-def] # as the base
        self.computed += 1
        return super().inspect(*arguments, **options)


@pytest.mark.parametrize("distance_m", [0.12, 0.3, 1.5])
def test_recipe_that_accepts_one_geometry_alone_is_computed_too(tmp_path: Path, distance_m: float) -> None:
    """Its made-up frames have the size and distance that it was taught on; of others the line computes nothing."""
    frame = FrameSection(height_px=48, width_px=96, distance_m=distance_m, distance_tolerance_m=0.002)
    inspector = Counting(ColourAndPlace())
    WarmUp(((64, 64),), 1, CPU).in_this_thread(LineRecipe(model(tmp_path / "part", frame=frame), inspector))
    assert inspector.computed == 1


def test_warm_up_says_what_a_part_costs(line_recipe: LineRecipe) -> None:
    """Before any part has come, the cost of a part is that of the slowest frame size."""
    context = loop_context(SlowInspector({(64, 64, 3): 0.02, (60, 80, 3): 0.08}))
    WarmUp(((64, 64), (60, 80), (64, 64)), 4, CPU).through_lane(context, [line_recipe])
    part_ns = context.batcher.timing.part_ns
    assert part_ns is not None
    assert part_ns >= 0.08 * NS_PER_S
    context.lane.close()


def test_warm_up_stops_when_told(line_recipe: LineRecipe) -> None:
    """A stop during the start ends the warm-up."""
    inspector = NotingInspector()
    context = loop_context(inspector)
    WarmUp(((64, 64),), 4, CPU).through_lane(context, [line_recipe], stopped=lambda: True)
    assert inspector.seen == []
    context.lane.close()


def test_failures_of_the_warm_up(line_recipe: LineRecipe) -> None:
    """A lost device ends the start; a hang limit shorter than a batch is refused with the name of its key."""
    warm_up = WarmUp(((64, 64),), 1000, CPU)
    lost = loop_context(NotingInspector(RuntimeError("CUDA error: unspecified launch failure")))
    with pytest.raises(LostDeviceError):
        warm_up.through_lane(lost, [line_recipe])
    short = loop_context(LineInspector(), hang_limit_s=20.0)
    with pytest.raises(InputError, match="hang_limit_s"):
        WarmUp(((64, 64),), 10_000_000, CPU).through_lane(short, [line_recipe])
    for context in (lost, short):
        context.lane.close()


def test_recipe_is_warm_before_it_is_in_use(tmp_path: Path) -> None:
    """A recipe that is loaded at run time is warmed up before frames can ask for it."""
    saved(tmp_path / "part")
    found: list[object] = []

    def warm_up(warmed: LineRecipe) -> None:
        found.append(registry.find("part"))
        WarmUp(((64, 64),), 2, CPU).in_this_thread(warmed)

    registry = RecipeRegistry(
        RecipesSection(folder=tmp_path),
        make_inspector=lambda _: Inspector(ColourAndPlace()),
        device=CPU,
        warm_up=warm_up,
    )
    first = registry.load("part")
    assert found == [None]
    shutil.rmtree(tmp_path / "part")
    saved(tmp_path / "part", seed=1)
    second = registry.load("part")
    assert found == [None, first]
    assert cast("LineRecipe", registry.find("part")).sha == second.sha != first.sha


def test_made_up_frame_is_a_part_on_a_tray() -> None:
    """Portrait and landscape frames have a bump in the middle, in metres, with colours."""
    for height, width in ((64, 96), (96, 64)):
        rgb, xyz = made_up_frame(height, width)
        assert rgb.shape == xyz.shape == (height, width, 3)
        assert xyz[..., 2].argmin() // width in (height // 2 - 1, height // 2)
        assert rgb.float().std() > 10
