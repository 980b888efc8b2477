"""The choice of the kernel for farthest points: only one that chooses the method's points is used."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor

from cmfm_worker.cfm.points.farthest_points_cuda import chooses_the_same, find_kernel
from cmfm_worker.cfm.points.grouping import farthest_points, farthest_points_in_torch, farthest_points_of_all

CPU = torch.device("cpu")


def with_ties_to_the_last(points: Tensor, count: int) -> Tensor:
    return len(points) - 1 - farthest_points(torch.cat([points.flip(0)]), count)


def without_points_near_the_origin(points: Tensor, count: int) -> Tensor:
    kept = (points.square().sum(1) > 1e-3).nonzero()[:, 0]
    return kept[farthest_points(points[kept], count)] if len(kept) else torch.zeros(count, dtype=torch.long)


def with_fused_multiply_add(points: Tensor, count: int) -> Tensor:
    """Farthest points with products that are not rounded before they are added."""
    chosen = [0]
    nearest = torch.full((len(points),), torch.inf)
    while len(chosen) < count:
        dx, dy, dz = (points - points[chosen[-1]]).unbind(1)
        d2 = dx * dx
        for d in (dy, dz):
            d2 = (d.double().square() + d2.double()).float()
        nearest = torch.minimum(nearest, d2)
        chosen.append(int(nearest.argmax()))
    return torch.tensor(chosen)


@pytest.mark.parametrize("way", [farthest_points, farthest_points_in_torch])
def test_own_implementations_are_accepted(way: Callable[[Tensor, int], Tensor]) -> None:
    """The check accepts both of the method's own implementations."""
    assert chooses_the_same(lambda clouds, count: [way(cloud, count) for cloud in clouds], CPU)


@pytest.mark.parametrize(
    "way", [with_ties_to_the_last, without_points_near_the_origin, with_fused_multiply_add]
)
def test_other_samplings_are_rejected(way: Callable[[Tensor, int], Tensor]) -> None:
    """The check rejects other ties, skipped points and other rounding."""
    assert not chooses_the_same(lambda clouds, count: [way(cloud, count) for cloud in clouds], CPU)


@pytest.fixture
def _fresh() -> Iterator[None]:
    find_kernel.cache_clear()
    yield
    find_kernel.cache_clear()


@pytest.mark.usefixtures("_fresh")
@pytest.mark.parametrize(("way", "used"), [(farthest_points, True), (without_points_near_the_origin, False)])
def test_pointnet2_ops_is_used_where_it_chooses_the_same(
    way: Callable[[Tensor, int], Tensor], used: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without Triton, pointnet2_ops is used if its points are the method's, and not otherwise."""

    class Utils(ModuleType):
        @staticmethod
        def furthest_point_sample(xyz: Tensor, count: int) -> Tensor:
            return torch.stack([way(cloud, count) for cloud in xyz]).int()

    def import_module(name: str) -> Any:
        if name == "pointnet2_ops.pointnet2_utils":
            return Utils(name)
        raise ImportError(name)

    monkeypatch.setattr(importlib, "import_module", import_module)
    monkeypatch.setattr(torch, "device", lambda _: CPU)  # there is no CUDA device to check it on
    kernel = find_kernel()
    assert (kernel is not None) is used
    if kernel is not None:
        clouds = [torch.rand(50, 3), torch.rand(70, 3)]
        for found, cloud in zip(kernel(clouds, 20), clouds, strict=True):
            assert torch.equal(found, farthest_points(cloud, 20))


def test_a_batch_is_its_clouds_one_by_one() -> None:
    """Clouds of different sizes in one call get the points that they get alone."""
    clouds = [torch.rand(40, 3), torch.rand(90, 3)]
    for found, cloud in zip(farthest_points_of_all(clouds, 30), clouds, strict=True):
        assert torch.equal(found, farthest_points(cloud, 30))
