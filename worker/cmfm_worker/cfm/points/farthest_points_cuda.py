"""Which kernel samples farthest points on CUDA: ours in Triton, else that of pointnet2_ops, else none."""

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
"""Steps of a grid in metres, exact in float32; of the second the squares are not."""


@cache
def find_kernel() -> FarthestPoints | None:
    """A function from clouds (N, 3) on CUDA and a count to the indices of each, or None.

    pointnet2_ops is used only where there is no Triton and the build at hand chooses as this method does
    (`chooses_the_same`).
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
    """pointnet2_ops takes a batch (B, N, 3) of clouds of one size; ours differ."""

    def farthest_points_of_all(clouds: list[Tensor], count: int) -> list[Tensor]:
        return [sample(cloud[None].contiguous(), count)[0].long() for cloud in clouds]

    return farthest_points_of_all


def chooses_the_same(kernel: FarthestPoints, device: torch.device) -> bool:
    """Whether a kernel chooses the method's points where implementations are known to part.

    Ties (of equals the lowest index must win), points close to the origin (must not be left out), and ties of
    sums whose terms are rounded, which a multiply-add that rounds only once breaks.
    """
    from cmfm_worker.cfm.points.grouping import farthest_points

    clouds = [_grid(_SHORT, 0.5), _grid(_SHORT, 0.001), _grid(_LONG, 0.5)]
    found = kernel([cloud.to(device) for cloud in clouds], _SAMPLED)
    pairs = zip(found, clouds, strict=True)
    return all(torch.equal(index.cpu(), farthest_points(cloud, _SAMPLED)) for index, cloud in pairs)


def _grid(step_m: float, distance_m: float) -> Tensor:
    """Points on which most choices are ties."""
    axis = torch.arange(float(_SIDE)) * step_m
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    return torch.stack([x, y, torch.full_like(x, distance_m)], dim=-1).flatten(0, 1)
