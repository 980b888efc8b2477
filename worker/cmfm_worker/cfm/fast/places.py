"""Where a mask is set: `nonzero` for a host that knows how often, without waiting for the device to count; thinning."""

from __future__ import annotations

import torch
from torch import Tensor


def places_of_true(mask: Tensor, count: int) -> Tensor:
    """Positions of the `count` True elements of a mask of any shape in its flattened form: (count,) int64, rising.

    `count` must be their number; a device other than the CPU is not asked.
    """
    flat = mask.flatten()
    if flat.device.type == "cpu":
        return flat.nonzero()[:, 0]
    return counted_places(flat, count)


def thinned(mask: Tensor, every: int) -> Tensor:
    """Of a mask (B, H, W) every so many-th row and column."""
    some = torch.zeros_like(mask)
    some[:, ::every, ::every] = mask[:, ::every, ::every]
    return some


def counted_places(flat: Tensor, count: int) -> Tensor:
    """The same of a flat mask, in operations whose sizes the host knows."""
    row = torch.where(flat, flat.cumsum(0) - 1, count)  # the others share a row behind the last
    places = torch.zeros(count + 1, dtype=torch.long, device=flat.device)
    places.scatter_(0, row, torch.arange(len(flat), device=flat.device))
    return places[:count]
