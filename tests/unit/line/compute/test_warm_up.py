"""Warm-up: every size of batch that the line will compute, before a recipe's first part, at every frame size."""

import shutil
import time
from pathlib import Path
from typing import cast

import pytest
import torch
from tests.unit.made.recipes import ColourAndPlace, model, saved

from cmfm_worker.clock import NS_PER_S, SystemClock
from cmfm_worker.errors import InputError, LostDeviceError
from cmfm_worker.inspection.inspector import Inspector
from cmfm_worker.line.compute.batcher import Batcher, BatchLimits
from cmfm_worker.line.compute.device import CpuSeam
from cmfm_worker.line.compute.line_inspector import LineInspector
from cmfm_worker.line.compute.loop import Lane, LoopContext
from cmfm_worker.line.compute.warm_up import WarmUp, batch_sizes, made_up_frame
from cmfm_worker.line.intake.ring import Ring
from cmfm_worker.line.messages import LineRecipe
from cmfm_worker.recipes.registry import RecipeRegistry
from cmfm_worker.settings.sections.compute import RecipesSection

CPU, CUDA = torch.device("cpu"), torch.device("cuda")


def loop_parts(bench: LineInspector, hang_limit_s: float = 60.0) -> LoopContext:
    ring, clock = Ring(slots=2, max_pixels=100, pinned=False), SystemClock()
    batcher = Batcher(ring, BatchLimits(4, 0), clock)
    return LoopContext(
        ring, batcher, Lane(CpuSeam(), bench), lambda _: None, clock, hang_limit_s=hang_limit_s
    )


class NotingBench(LineInspector):
    """Notes what it is given."""

    def __init__(self, error: Exception | None = None) -> None:
        self.seen: list[tuple[int, tuple[int, ...]]] = []
        self._error = error

    def inspect(self, slots, rgb, xyz):  # type: ignore[no-untyped-def] # as the base
        self.seen.append((len(slots), tuple(rgb[0].shape)))
        if self._error:
            raise self._error
        return super().inspect(slots, rgb, xyz)


class SlowBench(LineInspector):
    """Takes so many seconds longer for frames of a shape."""

    def __init__(self, seconds: dict[tuple[int, ...], float]) -> None:
        self._seconds = seconds

    def inspect(self, slots, rgb, xyz):  # type: ignore[no-untyped-def] # as the base
        time.sleep(self._seconds[tuple(rgb[0].shape)])
        return super().inspect(slots, rgb, xyz)


@pytest.fixture
def shelf_model(tmp_path: Path) -> LineRecipe:
    return LineRecipe(model(tmp_path / "part"), Inspector(ColourAndPlace()))


def test_sizes_that_the_line_will_compute() -> None:
    """On a GPU every size (beyond eight the powers of two), largest first; on a CPU parts are computed singly."""
    assert batch_sizes(4, CPU) == [1]
    assert batch_sizes(4, CUDA) == [4, 3, 2, 1]
    assert batch_sizes(12, CUDA) == [12, 8, 4, 2, 1]
    assert batch_sizes(16, CUDA) == [16, 8, 4, 2, 1]


def test_every_shape_goes_the_way_of_real_frames(shelf_model: LineRecipe) -> None:
    """Each frame size of the settings passes through the lane once."""
    bench = NotingBench()
    parts = loop_parts(bench)
    WarmUp(((64, 64), (60, 80)), 4, CPU).through(parts, [shelf_model])
    assert bench.seen == [(1, (64, 64, 3)), (1, (60, 80, 3))]
    parts.lane.close()


def test_warm_up_says_what_a_part_costs(shelf_model: LineRecipe) -> None:
    """That of the slowest frame size, before any part has come."""
    parts = loop_parts(SlowBench({(64, 64, 3): 0.02, (60, 80, 3): 0.08}))
    WarmUp(((64, 64), (60, 80), (64, 64)), 4, CPU).through(parts, [shelf_model])
    part_ns = parts.batcher.pace.part_ns
    assert part_ns is not None
    assert part_ns >= 0.08 * NS_PER_S
    parts.lane.close()


def test_warm_up_stops_when_told(shelf_model: LineRecipe) -> None:
    """A stop during the start does not wait for the rest."""
    bench = NotingBench()
    parts = loop_parts(bench)
    WarmUp(((64, 64),), 4, CPU).through(parts, [shelf_model], stopped=lambda: True)
    assert bench.seen == []
    parts.lane.close()


def test_failures_of_the_warm_up(shelf_model: LineRecipe) -> None:
    """A lost device ends the start as it would end the line; a hang limit below a batch's time is refused by name."""
    warm_up = WarmUp(((64, 64),), 1000, CPU)
    lost = loop_parts(NotingBench(RuntimeError("CUDA error: unspecified launch failure")))
    with pytest.raises(LostDeviceError):
        warm_up.through(lost, [shelf_model])
    short = loop_parts(LineInspector(), hang_limit_s=20.0)
    with pytest.raises(InputError, match="hang_limit_s"):
        WarmUp(((64, 64),), 10_000_000, CPU).through(short, [shelf_model])
    for parts in (lost, short):
        parts.lane.close()


def test_recipe_is_warm_before_it_is_in_use(tmp_path: Path) -> None:
    """A recipe loaded at run time is inspected with before any frame can be given to it."""
    saved(tmp_path / "part")
    found: list[object] = []

    def warm_up(warmed: LineRecipe) -> None:
        found.append(shelf.find("part"))
        WarmUp(((64, 64),), 2, CPU).beside(warmed)

    shelf = RecipeRegistry(
        RecipesSection(folder=tmp_path),
        make_inspector=lambda _: Inspector(ColourAndPlace()),
        device=CPU,
        warm_up=warm_up,
    )
    first = shelf.load("part")
    assert found == [None]
    shutil.rmtree(tmp_path / "part")
    saved(tmp_path / "part", seed=1)
    second = shelf.load("part")
    assert found == [None, first]
    assert cast("LineRecipe", shelf.find("part")).sha == second.sha != first.sha


def test_made_up_frame_is_a_part_on_a_tray() -> None:
    """Upright and lying frames hold a bump in the middle, in metres, with colours."""
    for height, width in ((64, 96), (96, 64)):
        rgb, xyz = made_up_frame(height, width)
        assert rgb.shape == xyz.shape == (height, width, 3)
        assert xyz[..., 2].argmin() // width in (height // 2 - 1, height // 2)
        assert rgb.float().std() > 10
