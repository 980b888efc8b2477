"""A stand-in for CUDA graphs on the CPU: replays that compute into the memory of the first call."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence

from torch import Tensor

from cmfm_worker.cfm.fast.graphs import Recording, Tensors


class ReplayedCalls:
    """A graph recorder that keeps function and input memory. The test sets the caller's stream."""

    def __init__(self) -> None:
        self.on_stream: Hashable | None = "compute"
        self.closed = False
        self.recorded: list[tuple[int, ...]] = []
        self.replays = 0

    def stream(self) -> Hashable | None:
        return self.on_stream

    def close(self) -> None:
        self.closed = True

    def record(self, function: Callable[..., Tensors], inputs: Sequence[Tensor]) -> Recording:
        self.recorded.append(tuple(inputs[0].shape))
        return _Replayed(self, function, inputs)


class _Replayed:
    def __init__(
        self, owner: ReplayedCalls, function: Callable[..., Tensors], inputs: Sequence[Tensor]
    ) -> None:
        self._owner, self._function, self._inputs = owner, function, inputs
        self.outputs = function(*inputs)

    def replay(self) -> None:
        self._owner.replays += 1
        for kept, new in zip(self.outputs, self._function(*self._inputs), strict=True):
            kept.copy_(new)
