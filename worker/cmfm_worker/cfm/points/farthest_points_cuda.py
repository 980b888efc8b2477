"""The choice of the kernel that samples farthest points on CUDA: our Triton kernel, or that of pointnet2_ops."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from functools import cache
from typing import Any

import torch
from torch import Tensor

FarthestPoints = Callable[[list[Tensor], int], list[Tensor]]

_SIDE = 16
_SAMPLED = 64
_SHORT, _LONG = 2.0**-12, 5003 * 2.0**-18
"""Steps of a grid in metres. Both are exact in float32; the squares of the second are not."""


@cache
def find_kernel() -> FarthestPoints | None:
    """Return a function from clouds (N, 3) on CUDA and a count to the indices of each, or None if there is no kernel.

    pointnet2_ops is used only if Triton is missing and the installed build passes `chooses_the_same`.
    """
    try:
        found: FarthestPoints = importlib.import_module(
            "cmfm_worker.cfm.points.farthest_points_triton"
        ).farthest_points_of_all
    except ImportError:
        pass
    else:
        return found
    try:
        sample = importlib.import_module("pointnet2_ops.pointnet2_utils").furthest_point_sample
    except ImportError:
        return None
    kernel = _one_by_one(sample)
    return kernel if chooses_the_same(kernel, torch.device("cuda")) else None


def _one_by_one(sample: Any) -> FarthestPoints:
    """Call pointnet2_ops cloud by cloud: it takes batches of clouds of one size, and ours differ."""

    def farthest_points_of_all(clouds: list[Tensor], count: int) -> list[Tensor]:
        return [sample(cloud[None].contiguous(), count)[0].long() for cloud in clouds]

    return farthest_points_of_all


def chooses_the_same(kernel: FarthestPoints, device: torch.device) -> bool:
    """Check that a kernel chooses the method's points in cases where implementations are known to differ.

    These are ties (the lowest index must win), points close to the origin (they must not be skipped), and ties of sums
    with rounded terms (a fused multiply-add, which rounds once, breaks them).
    """
    from cmfm_worker.cfm.points.grouping import farthest_points

    clouds = [_grid(_SHORT, 0.5), _grid(_SHORT, 0.001), _grid(_LONG, 0.5)]
    found = kernel([cloud.to(device) for cloud in clouds], _SAMPLED)
    pairs = zip(found, clouds, strict=True)
    return all(torch.equal(index.cpu(), farthest_points(cloud, _SAMPLED)) for index, cloud in pairs)


def _grid(step_m: float, distance_m: float) -> Tensor:
    """Return points of a flat grid, on which most choices are ties."""
    axis = torch.arange(float(_SIDE)) * step_m
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    return torch.stack([x, y, torch.full_like(x, distance_m)], dim=-1).flatten(0, 1)
