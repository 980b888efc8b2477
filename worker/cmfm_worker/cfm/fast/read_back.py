"""Copies between host and device that wait for nothing else.

A copy from or to pageable memory makes the host wait for all work that was issued before it. Copies here use
page-locked memory, and whoever needs the numbers waits for an event after them.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


class ReadBack:
    """Tensors on their way to the host. The copies are issued here, after the work of the current stream."""

    def __init__(self, *tensors: Tensor) -> None:
        self._on_host = tuple(tensor.to("cpu", non_blocking=True) for tensor in tensors)
        self._copied: torch.cuda.Event | None = None
        device = next((tensor.device for tensor in tensors if tensor.is_cuda), None)
        if device is not None:
            self._copied = torch.cuda.Event()
            self._copied.record(torch.cuda.current_stream(device))

    def wait(self) -> tuple[Tensor, ...]:
        """Wait for the copies and return the tensors on the host, in the given order."""
        if self._copied is not None:
            self._copied.synchronize()
        return self._on_host


def on_device(numbers: Sequence[int] | Sequence[float], device: torch.device) -> Tensor:
    """Copy a few numbers from the host to a device without waiting: (N,) int64 or float32."""
    on_host = torch.tensor(numbers)
    if device.type != "cuda":
        return on_host.to(device)
    return on_host.pin_memory().to(device, non_blocking=True)
