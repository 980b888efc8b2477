"""CUDA graphs for steps of fixed shape: recorded at the first call with a shape, replayed at all others.

A replay is one launch in place of hundreds. It reads its inputs from its own memory and overwrites the outputs of the
previous replay. So the result of a `Graphed` function is valid until its next call with the same shapes, for work on
the same stream. Copy it to keep it longer.

A graph belongs to the stream that it was recorded on, and one thread uses a stream. Nothing is recorded on the default
stream: `fit`, `evaluate` and a recipe that is loaded beside the running line compute there, by plain calls.

A function to be recorded must not wait for the device, must not copy from or to the host, and must issue the same
launches in every call. A graph is used only if its first replay agrees with the plain call to a thousandth.
Otherwise, and if recording fails, the plain call is used.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Hashable, Sequence
from typing import Any, Final, Protocol

import torch
from torch import Tensor

Tensors = tuple[Tensor, ...]

MOST_GRAPHS: Final = 16
"""The most graphs of one function: for batches of up to 8, or of powers of two, with a few sizes of frames."""

_TOLERANCE: Final = 1e-3
"""The greatest relative L2 between replay and plain call. Kernels may add in another order."""


class Recording(Protocol):
    """A recorded call. `replay` computes `outputs` again, in place, from the memory of the recorded inputs."""

    @property
    def outputs(self) -> Tensors:
        """The outputs, always the same tensors."""
        ...

    def replay(self) -> None:
        """Issue the recorded work again."""
        ...


class GraphRecorder(Protocol):
    """The interface to CUDA's recording."""

    def stream(self) -> Hashable | None:
        """The stream that the caller's graphs belong to, None if it may use none."""
        ...

    @property
    def closed(self) -> bool:
        """True if nothing more is recorded: functions without a graph are then called plainly."""
        ...

    def close(self) -> None:
        """Record nothing more. A recording takes many times as long as a call and waits for the device."""
        ...

    def record(self, function: Callable[..., Tensors], inputs: Sequence[Tensor]) -> Recording:
        """Record one call. Raises RuntimeError if that is not possible."""
        ...


class Graphed:
    """A function of tensors with a graph for each stream and shape that it is called with, at most `most` of them.

    The plain function is called without a recorder, for new shapes after the recorder was closed, and beyond `most`.
    """

    def __init__(
        self, function: Callable[..., Tensors], recorder: GraphRecorder | None, most: int = MOST_GRAPHS
    ) -> None:
        self._function = function
        self._recorder = recorder
        self._most = most
        self._graphs: dict[Hashable, _Graph | None] = {}  # None: recording failed

    def __call__(self, *inputs: Tensor) -> Tensors:
        """Compute the outputs, in the memory of the last call with these shapes."""
        stream = None if self._recorder is None else self._recorder.stream()
        if self._recorder is None or stream is None:
            return self._function(*inputs)
        key = stream, *((x.shape, x.dtype) for x in inputs)
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
        with torch.inference_mode(mode=False):  # otherwise they could be written in inference mode only
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
    """Record a graph and compare it with the plain call; None if it fails or differs. Waits for the device."""
    expected = function(
        *inputs
    )  # also pays first-time costs: kernels compiled, workspaces taken, tables made
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
    """Records on the stream that its caller computes on. The graphs of a stream share one pool of memory.

    Outputs stay in the pool with their graph. Everything else in it is used by the graph that runs; on a stream only
    one runs at a time.
    """

    def __init__(self, device: torch.device) -> None:
        self.closed = False
        self._device = device
        self._pools: dict[int, Any] = {}

    def stream(self) -> int | None:
        """Return the current stream, or None for the default one, on which nothing can be recorded."""
        stream = torch.cuda.current_stream(self._device)
        return None if stream == torch.cuda.default_stream(self._device) else stream.cuda_stream

    def close(self) -> None:
        """Record nothing more. The line calls this when it has warmed up."""
        self.closed = True

    def record(self, function: Callable[..., Tensors], inputs: Sequence[Tensor]) -> Recording:
        """Record on the current stream. Other threads may use the device meanwhile, on streams of their own."""
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
    """Return the recorder of a device, or None on the CPU, where a graph gains nothing."""
    return CudaGraphRecorder(device) if device.type == "cuda" else None
