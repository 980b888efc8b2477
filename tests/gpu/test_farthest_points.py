"""Farthest points on CUDA, index for index those of the definition. Needs torch and pytest alone."""

from __future__ import annotations

import importlib.util

import pytest
import torch
from tests.unit.made.clouds import bumpy_surface, farthest_points_by_definition, grid

from cmfm_worker.cfm.points.farthest_points_cuda import chooses_the_same, find_kernel
from cmfm_worker.cfm.points.grouping import (
    CENTRES,
    choose_centres,
    farthest_points,
    farthest_points_in_torch,
    farthest_points_of_all,
    nearest,
)

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device, torch sees none"),
]


CLOUDS = [
    bumpy_surface(CENTRES, 0),
    bumpy_surface(4096, 1),
    bumpy_surface(4097, 2),
    bumpy_surface(12_345, 3),
    bumpy_surface(50_176, 4),
    grid(64),
]


def test_one_launch_chooses_the_points_of_the_definition() -> None:
    """Clouds of many sizes in one launch: at, over and far over a tile, and a grid of ties."""
    found = farthest_points_of_all([cloud.cuda() for cloud in CLOUDS], CENTRES)
    for index, cloud in zip(found, CLOUDS, strict=True):
        assert torch.equal(index.cpu(), farthest_points_by_definition(cloud, CENTRES))


def test_copies_of_one_point_choose_the_first_again() -> None:
    """If no other point is left, the first one is chosen again."""
    points = torch.tensor([[1.0, 2, 3]] * 4 + [[1, 2, 4]]).cuda()
    assert farthest_points_of_all([points], 4)[0].tolist() == [0, 4, 0, 0]


def test_triton_kernel_is_the_one_in_use() -> None:
    """If triton can be imported, its kernel is used, and it passes the check that other kernels must pass."""
    if importlib.util.find_spec("triton") is None:
        pytest.skip("triton is not installed")
    kernel = find_kernel()
    assert kernel is not None
    assert "triton" in kernel.__module__
    assert chooses_the_same(kernel, torch.device("cuda"))


def test_loop_without_a_kernel_chooses_the_same() -> None:
    """The fall-back in torch operations, for machines without Triton, chooses the same points."""
    cloud = CLOUDS[1]
    assert torch.equal(farthest_points_in_torch(cloud.cuda(), 300).cpu(), farthest_points(cloud, 300))


def test_centres_and_neighbours_are_those_of_the_cpu() -> None:
    """The 1024 centres are those of the CPU, and so are their neighbours."""
    cloud = CLOUDS[3]
    centres = choose_centres([cloud.cuda()])
    assert torch.equal(centres.cpu(), choose_centres([cloud]))
    index, d2 = nearest(cloud.cuda(), centres[0], 128)
    expected, expected_d2 = nearest(cloud, centres[0].cpu(), 128)
    torch.testing.assert_close(d2.cpu(), expected_d2, rtol=1e-5, atol=1e-12)
    assert (index.cpu() == expected).float().mean() > 0.999, "neighbours of equal distance may change places"
