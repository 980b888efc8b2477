"""Graphs of fixed-shape functions: when they are recorded, when replayed, and when the plain call is used."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence

import pytest
import torch
from tests.unit.made.graphs import ReplayedCalls
from torch import Tensor

from cmfm_worker.cfm.fast.graphed_prepare import GraphedPrepare
from cmfm_worker.cfm.fast.graphs import Graphed, Recording, Tensors, graph_recorder_for
from cmfm_worker.cfm.prepare import BackgroundOptions, prepare


class Doubling:
    """Twice the input; counts its own calls."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, x: Tensor) -> Tensors:
        self.calls += 1
        return (2 * x,)


def test_each_shape_is_recorded_once_and_replayed_with_the_inputs_of_its_call() -> None:
    """Results belong to the inputs of their call, whatever shapes came between."""
    graphs, double = ReplayedCalls(), Doubling()
    graphed = Graphed(double, graphs)
    for size in (4, 2, 4, 4, 2):
        x = torch.rand(size)
        assert torch.equal(graphed(x)[0], 2 * x)
    assert graphs.recorded == [(4,), (2,)]
    assert graphs.replays == 5 + 2, "each is looked at once before it is used"


def test_results_lie_in_the_memory_of_the_last_call_with_their_shape() -> None:
    """A result that is kept over the next call with the same shape changes, as with a real graph."""
    graphed = Graphed(Doubling(), ReplayedCalls())
    first = graphed(torch.zeros(3))[0]
    graphed(torch.ones(5))
    assert first.tolist() == [0, 0, 0]
    second = graphed(torch.ones(3))[0]
    assert second.data_ptr() == first.data_ptr()
    assert first.tolist() == [2, 2, 2]


def test_each_stream_has_its_own_graphs_and_no_stream_means_plain_calls() -> None:
    """Each stream has its own graphs, and calls without a stream are plain: a recipe that is loaded beside the
    running line must not write into the line's graphs.
    """
    graphs, double = ReplayedCalls(), Doubling()
    graphed, x = Graphed(double, graphs), torch.rand(3)
    on_line = graphed(x)[0]
    graphs.on_stream = "another"
    assert graphed(x)[0].data_ptr() != on_line.data_ptr()
    graphs.on_stream = None
    replays = graphs.replays
    assert torch.equal(graphed(x)[0], 2 * x)
    assert (len(graphs.recorded), graphs.replays) == (2, replays)


def test_no_more_graphs_than_allowed() -> None:
    """Beyond the limit, new shapes are computed plainly, and existing graphs are still used."""
    graphs = ReplayedCalls()
    graphed = Graphed(Doubling(), graphs, most=2)
    for size in (1, 2, 3, 4, 1):
        x = torch.rand(size)
        assert torch.equal(graphed(x)[0], 2 * x)
    assert graphs.recorded == [(1,), (2,)]


def test_nothing_is_recorded_once_the_line_runs() -> None:
    """After the recorder is closed, new shapes are computed plainly, and existing graphs are still replayed."""
    graphs = ReplayedCalls()
    graphed = Graphed(Doubling(), graphs)
    graphed(torch.rand(2))
    graphs.close()
    replays = graphs.replays
    for size in (3, 2):
        x = torch.rand(size)
        assert torch.equal(graphed(x)[0], 2 * x)
    assert (graphs.recorded, graphs.replays) == ([(2,)], replays + 1)


class Refusing(ReplayedCalls):
    """A device on which nothing can be recorded."""

    def record(self, function: Callable[..., Tensors], inputs: Sequence[Tensor]) -> Recording:
        self.recorded.append(tuple(inputs[0].shape))
        raise RuntimeError("operation not permitted when stream is capturing")


class Stale(ReplayedCalls):
    """A recording that does nothing when it is replayed."""

    def record(self, function: Callable[..., Tensors], inputs: Sequence[Tensor]) -> Recording:
        recording = super().record(function, inputs)
        recording.outputs[0].zero_()
        recording.replay = lambda: None  # type: ignore[method-assign]
        return recording


@pytest.mark.parametrize(("graphs", "says"), [(Refusing(), "not permitted"), (Stale(), "other numbers")])
def test_failed_or_wrong_recordings_are_not_used(graphs: ReplayedCalls, says: str) -> None:
    """A failed recording is tried once and warned of once, and the results are right."""
    graphed, x = Graphed(Doubling(), graphs), torch.rand(3)
    with pytest.warns(RuntimeWarning, match=says):
        assert torch.equal(graphed(x)[0], 2 * x)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert torch.equal(graphed(x)[0], 2 * x)
    assert len(graphs.recorded) == 1


def test_nan_equals_nan() -> None:
    """NaN stands for "no plane": a graph that returns it where the plain call does is accepted."""
    graphed = Graphed(lambda x: (torch.where(x > 0, x, torch.nan),), ReplayedCalls())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = graphed(torch.tensor([-1.0, 2.0]))[0]
    assert found.isnan().tolist() == [True, False]


def test_cpu_records_nothing() -> None:
    """The CPU has no recorder."""
    assert graph_recorder_for(torch.device("cpu")) is None


def test_frames_are_prepared_the_same_with_graphs() -> None:
    """Frames of two sizes with two background options, alternating, are prepared as without graphs."""
    generator = torch.Generator().manual_seed(3)
    graphs = ReplayedCalls()
    graphed = GraphedPrepare(graphs)
    ways = BackgroundOptions(), BackgroundOptions(method="none")
    for _ in range(2):
        for size in ((1, 60, 60, 3), (2, 40, 50, 3)):
            rgb = torch.randint(0, 256, size, generator=generator).byte()
            xyz = torch.rand(size, generator=generator) + torch.tensor([0.0, 0.0, 0.5])
            for way in ways:
                found, expected = graphed(rgb, xyz, way), prepare(rgb, xyz, way)
                for name in ("rgb", "xyz", "foreground", "valid", "plane", "surroundings"):
                    torch.testing.assert_close(
                        getattr(found, name), getattr(expected, name), rtol=0, atol=0, equal_nan=True
                    )
    assert len(graphs.recorded) == 4
