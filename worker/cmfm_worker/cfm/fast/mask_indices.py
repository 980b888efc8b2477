"""The indices of a mask's True elements, computed without waiting for the device to count them."""

from __future__ import annotations

import torch
from torch import Tensor


def indices_of_true(mask: Tensor, count: int) -> Tensor:
    """Return the indices of the True elements of a mask in its flattened form, ascending: (count,) int64.

    `count` must be the number of True elements; it is not checked. On the CPU this is `nonzero`. On other devices
    `nonzero` would make the host wait for the device.
    """
    flat = mask.flatten()
    if flat.device.type == "cpu":
        return flat.nonzero()[:, 0]
    return indices_by_running_count(flat, count)


def indices_by_running_count(flat: Tensor, count: int) -> Tensor:
    """Return the same for a flat mask, in operations whose sizes the host knows."""
    row = torch.where(flat, flat.cumsum(0) - 1, count)  # False elements share one row after the last
    indices = torch.zeros(count + 1, dtype=torch.long, device=flat.device)
    indices.scatter_(0, row, torch.arange(len(flat), device=flat.device))
    return indices[:count]


def every_nth(mask: Tensor, n: int) -> Tensor:
    """Keep a mask (B, H, W) at every n-th row and column only."""
    some = torch.zeros_like(mask)
    some[:, ::n, ::n] = mask[:, ::n, ::n]
    return some
