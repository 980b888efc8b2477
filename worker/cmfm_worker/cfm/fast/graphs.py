"""Fixed-shape parts of the method as CUDA graphs: recorded at the first call with a shape, replayed at all others.

A replay is one launch in place of hundreds. It reads its inputs from memory of its own and overwrites the outputs of
the replay before: what a `Graphed` function returns is valid until its next call with the same shapes, for work on
the same stream. Whoever keeps it longer copies it.

A graph belongs to the stream it was recorded on, and one thread uses a stream. On the default stream nothing is
recorded: `fit`, `evaluate` and a recipe that is loaded beside the running line compute there, as plain calls.

What must hold inside: no waiting for the device, no copy from or to the host, the same launches in every call. A graph
is used only after its replay has given what the plain call gave, to a thousandth; where it does not, or recording
fails, the plain call stays.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Hashable, Sequence
from typing import Any, Final, Protocol

import torch
from torch import Tensor

Tensors = tuple[Tensor, ...]

MOST_GRAPHS: Final = 16
"""Of one function: batches of up to 8 in each size, or of powers of two, for a few sizes of frames."""

_TOLERANCE: Final = 1e-3
"""Relative L2 between replay and plain call; kernels that add in another order are allowed."""


class Recording(Protocol):
    """A recorded call: `replay` computes `outputs` anew from the recorded inputs' memory, in place."""

    @property
    def outputs(self) -> Tensors:
        """Always the same tensors."""
        ...

    def replay(self) -> None:
        """Issue everything again."""
        ...


class GraphRecorder(Protocol):
    """The seam to CUDA."""

    def lane(self) -> Hashable | None:
        """What the caller's graphs belong to; None where none may be used."""
        ...

    @property
    def closed(self) -> bool:
        """Whether nothing more is recorded: what has no graph by now is called plainly."""
        ...

    def close(self) -> None:
        """Record nothing more. A recording takes many times as long as a call, and waits for the device."""
        ...

    def record(self, function: Callable[..., Tensors], inputs: Sequence[Tensor]) -> Recording:
        """Record one call. Raises RuntimeError where that is not possible."""
        ...


class Graphed:
    """A function of tensors that keeps a graph for each lane and shape it is called with, at most `most` of them.

    Without a recorder, for new shapes after it was closed, and beyond `most`, it is the plain function.
    """

    def __init__(
        self, function: Callable[..., Tensors], recorder: GraphRecorder | None, most: int = MOST_GRAPHS
    ) -> None:
        self._function = function
        self._recorder = recorder
        self._most = most
        self._graphs: dict[Hashable, _Graph | None] = {}  # None: it was tried, and the plain call stays

    def __call__(self, *inputs: Tensor) -> Tensors:
        """The function's outputs; the memory they lie in is that of the last call with these shapes."""
        lane = None if self._recorder is None else self._recorder.lane()
        if self._recorder is None or lane is None:
            return self._function(*inputs)
        key = lane, *((x.shape, x.dtype) for x in inputs)
        if key not in self._graphs:
            if self._recorder.closed or len(self._graphs) >= self._most:
                return self._function(*inputs)
            self._graphs[key] = _recorded(self._function, self._recorder, inputs)
        graph = self._graphs[key]
        return self._function(*inputs) if graph is None else graph(inputs)


class _Graph:
    """One recording and the memory of its inputs."""

    def __init__(
        self, function: Callable[..., Tensors], recorder: GraphRecorder, inputs: Sequence[Tensor]
    ) -> None:
        with torch.inference_mode(mode=False):  # or they could be written in inference mode alone
            self._inputs = [torch.empty(x.shape, dtype=x.dtype, device=x.device) for x in inputs]
        self._fill(inputs)
        self._recording = recorder.record(function, self._inputs)

    def __call__(self, inputs: Sequence[Tensor]) -> Tensors:
        self._fill(inputs)
        self._recording.replay()
        return self._recording.outputs

    def _fill(self, inputs: Sequence[Tensor]) -> None:
        for own, given in zip(self._inputs, inputs, strict=True):
            own.copy_(given)


def _recorded(
    function: Callable[..., Tensors], recorder: GraphRecorder, inputs: Sequence[Tensor]
) -> _Graph | None:
    """A graph that has been seen to give what the function gives; None where there is none. Waits for the device."""
    expected = function(
        *inputs
    )  # first-time costs are met here: kernels compiled, workspaces taken, tables made
    try:
        graph = _Graph(function, recorder, inputs)
        if all(map(_agree, graph(inputs), expected)):
            return graph
    except RuntimeError as error:
        warnings.warn(f"not recorded as a CUDA graph: {error}", RuntimeWarning, stacklevel=2)
        return None
    warnings.warn(
        "a CUDA graph gave other numbers than the plain call; not used", RuntimeWarning, stacklevel=2
    )
    return None


def _agree(found: Tensor, expected: Tensor) -> bool:
    if not expected.is_floating_point():
        return bool((found == expected).all())
    if not bool((found.isnan() == expected.isnan()).all()):
        return False
    a, b = found.double().nan_to_num(), expected.double().nan_to_num()
    return bool((a - b).norm() <= _TOLERANCE * b.norm())


class CudaGraphRecorder:
    """Records on the stream that its caller computes on; the graphs of a stream share one pool of memory.

    Of the pool, outputs stay with their graph. Everything else is used by whichever graph runs, one at a time, as a
    stream does.
    """

    def __init__(self, device: torch.device) -> None:
        self.closed = False
        self._device = device
        self._pools: dict[int, Any] = {}

    def lane(self) -> int | None:
        """The current stream; None for the default one, on which nothing can be recorded."""
        stream = torch.cuda.current_stream(self._device)
        return None if stream == torch.cuda.default_stream(self._device) else stream.cuda_stream

    def close(self) -> None:
        """For the line, when it has been warmed up."""
        self.closed = True

    def record(self, function: Callable[..., Tensors], inputs: Sequence[Tensor]) -> Recording:
        """Record on the current stream. Other threads may go on using the device, on streams of their own."""
        stream = torch.cuda.current_stream(self._device)
        if stream.cuda_stream not in self._pools:
            self._pools[stream.cuda_stream] = torch.cuda.graph_pool_handle()
        graph = torch.cuda.CUDAGraph()
        pool = self._pools[stream.cuda_stream]
        with torch.cuda.graph(graph, pool=pool, stream=stream, capture_error_mode="thread_local"):
            outputs = function(*inputs)
        return _CudaRecording(graph, outputs)


class _CudaRecording:
    def __init__(self, graph: torch.cuda.CUDAGraph, outputs: Tensors) -> None:
        self.outputs = outputs
        self.replay = graph.replay


def graph_recorder_for(device: torch.device) -> GraphRecorder | None:
    """What records on a device: None on the CPU, where a call is as good as a graph."""
    return CudaGraphRecorder(device) if device.type == "cuda" else None
