"""What goes between host and device while the device computes: nothing here waits for more than its own copies.

A copy from or to pageable memory makes the host wait for all that was issued before it. Copies here are from and to
page-locked memory, and whoever needs the numbers waits for an event behind them.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


class ReadBack:
    """Tensors on their way to the host: the copies begin here, behind what the current stream has been given."""

    def __init__(self, *tensors: Tensor) -> None:
        self._on_host = tuple(tensor.to("cpu", non_blocking=True) for tensor in tensors)
        self._copied: torch.cuda.Event | None = None
        device = next((tensor.device for tensor in tensors if tensor.is_cuda), None)
        if device is not None:
            self._copied = torch.cuda.Event()
            self._copied.record(torch.cuda.current_stream(device))

    def wait(self) -> tuple[Tensor, ...]:
        """The same tensors on the host, in the order given."""
        if self._copied is not None:
            self._copied.synchronize()
        return self._on_host


def on_device(numbers: Sequence[int] | Sequence[float], device: torch.device) -> Tensor:
    """A few numbers (N,) from the host on a device, int64 or float32; nothing waits."""
    on_host = torch.tensor(numbers)
    if device.type != "cuda":
        return on_host.to(device)
    return on_host.pin_memory().to(device, non_blocking=True)
