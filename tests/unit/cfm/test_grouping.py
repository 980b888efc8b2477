"""Point groups: farthest points index for index, and neighbours against brute force."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from cmfm_worker.cfm.points import grouping
from cmfm_worker.cfm.points.grouping import CENTRES, farthest_points, group_points, nearest


def cloud(count: int, seed: int = 0, distance_m: float = 0.6) -> Tensor:
    """Points on a bumpy surface: millimetres of relief at half a metre."""
    rng = np.random.default_rng(seed)
    xy = rng.uniform(-0.05, 0.05, (count, 2))
    z = distance_m + 0.004 * np.sin(90 * xy[:, :1]) + rng.normal(0, 1e-4, (count, 1))
    return torch.from_numpy(np.concatenate([xy, z], 1).astype(np.float32))


def farthest_literally(points: Tensor, count: int) -> list[int]:
    """The definition, one Python number after another; ties go to the lowest index."""
    p = points.numpy()
    nearest_m2 = np.full(len(p), np.inf, dtype=np.float32)
    chosen = [0]
    while len(chosen) < count:
        for i, q in enumerate(p):
            dx, dy, dz = q - p[chosen[-1]]
            nearest_m2[i] = min(nearest_m2[i], (dx * dx + dy * dy) + dz * dz)
        chosen.append(max(range(len(p)), key=lambda i: (nearest_m2[i], -i)))
    return chosen


WAYS = pytest.mark.parametrize("way", [farthest_points, grouping.farthest_points_in_torch])


@WAYS
def test_farthest_points_are_those_of_the_definition(way: Callable[[Tensor, int], Tensor]) -> None:
    """The points start at the first one, and each next one is the farthest from all before, in both
    implementations.
    """
    points = cloud(300)
    assert way(points, 40).tolist() == farthest_literally(points, 40)


@WAYS
def test_ties_go_to_the_lowest_index(way: Callable[[Tensor, int], Tensor]) -> None:
    """On a perfect grid almost every choice is a tie."""
    grid = torch.stack(
        torch.meshgrid(torch.arange(8.0), torch.arange(8.0), torch.zeros(1), indexing="ij"), -1
    )
    points = grid.view(-1, 3)
    assert way(points, 30).tolist() == farthest_literally(points, 30)


@WAYS
def test_copies_of_one_point_choose_the_first_again(way: Callable[[Tensor, int], Tensor]) -> None:
    """If no other point is left, the first one is chosen again."""
    points = torch.tensor([[1.0, 2, 3]] * 4 + [[1, 2, 4]])
    assert way(points, 4).tolist() == [0, 4, 0, 0]


@pytest.mark.parametrize("way", [nearest, grouping._nearest_in_chunks])
@pytest.mark.parametrize("k", [3, 32])
def test_neighbours_are_those_of_brute_force(
    way: Callable[[Tensor, Tensor, int], tuple[Tensor, Tensor]], k: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Indices (nearest first) and squared metres are those of float64, with a k-d tree and in chunks."""
    monkeypatch.setattr(grouping, "_DISTANCES_AT_ONCE", 10_000)
    points, queries = cloud(900), cloud(200, seed=1)
    exact = (queries[:, None].double() - points[None].double()).square().sum(-1).sort(1)
    index, d2 = way(points, queries, k)
    assert index.dtype == torch.int64
    assert torch.equal(index, exact.indices[:, :k])
    torch.testing.assert_close(d2.double(), exact.values[:, :k], rtol=1e-4, atol=1e-10)


def test_groups_are_neighbours_relative_to_their_centre() -> None:
    """Every group contains its centre (offset 0) and stays near it; clouds of different sizes are batched."""
    clouds = [cloud(1500), cloud(CENTRES, seed=2)]
    groups = group_points(clouds, 32)
    assert groups.centres.shape == (2, CENTRES, 3)
    assert groups.offsets.shape == (2, CENTRES, 32, 3)
    assert torch.equal(groups.centres[0, 0], clouds[0][0])
    assert groups.offsets[:, :, 0].abs().max() == 0
    distance_m = groups.offsets.norm(dim=-1)
    assert (distance_m.diff(dim=-1) >= -1e-6).all(), "nearest first"
    assert distance_m.max() < 0.03


def test_cloud_of_exactly_as_many_points_as_centres_uses_them_all() -> None:
    """With 1024 points every point is a centre once."""
    assert sorted(farthest_points(cloud(CENTRES), CENTRES).tolist()) == list(range(CENTRES))
