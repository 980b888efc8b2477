"""Clouds for farthest points, and farthest points straight from the definition. Needs torch alone."""

from __future__ import annotations

import torch
from torch import Tensor


def farthest_points_by_definition(points: Tensor, count: int) -> Tensor:
    """Start at the first point; then always take the point farthest from all taken, of equals the first."""
    chosen = [0]
    nearest = torch.full((len(points),), torch.inf)
    while len(chosen) < count:
        dx, dy, dz = (points - points[chosen[-1]]).square().unbind(1)
        nearest = torch.minimum(nearest, (dx + dy) + dz)
        chosen.append(int(nearest.argmax()))
    return torch.tensor(chosen)


def bumpy_surface(count: int, seed: int) -> Tensor:
    """A bumpy part of 10 cm, half a metre away: (count, 3) metres."""
    xyz = torch.rand((count, 3), generator=torch.Generator().manual_seed(seed))
    return xyz * torch.tensor([0.1, 0.1, 0.004]) + torch.tensor([-0.05, -0.05, 0.5])


def grid(side: int) -> Tensor:
    """A flat grid of (side², 3) metres, on which nearly every choice is a tie."""
    y, x = torch.meshgrid(torch.arange(float(side)), torch.arange(float(side)), indexing="ij")
    return torch.stack([x, y, torch.ones_like(x)], -1).flatten(0, 1) / 1024
