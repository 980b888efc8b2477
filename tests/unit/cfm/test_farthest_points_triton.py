"""The Triton kernel of farthest points, run by Triton's interpreter on the CPU.

Triton reads TRITON_INTERPRET when it is imported, so the kernel runs in a process of its own: this file, as a program.
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from tests.unit.made.clouds import bumpy_surface, farthest_points_by_definition, grid
from torch import Tensor

TILE = 4096
COUNT = 40


def clouds() -> dict[str, Tensor]:
    """Six clouds with ties, below, at and over the kernel's tile of 4096 points."""
    few = torch.tensor([[1.0, 2, 3]] * 4 + [[1, 2, 4]])
    cube = torch.cartesian_prod(*[torch.arange(4.0)] * 3)
    return {
        "grid": grid(20),
        "grid of one tile": grid(64),
        "grid over a tile": grid(80),
        "every point again, one tile further": bumpy_surface(TILE, 1).repeat(2, 1),
        "copies of two points": few,
        "cube": cube,
    }


@pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="triton is not installed")
def test_kernel_chooses_the_points_of_the_definition() -> None:
    """Six clouds in one launch: index for index those of the definition, whichever of equals comes first."""
    repository = str(Path(__file__).parents[3])
    environment = {
        **os.environ,
        "TRITON_INTERPRET": "1",
        "PYTHONPATH": os.pathsep.join([repository, *sys.path]),
    }
    done = subprocess.run(
        [sys.executable, __file__], env=environment, capture_output=True, text=True, timeout=240, check=False
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    expected = {
        name: farthest_points_by_definition(cloud, COUNT).tolist() for name, cloud in clouds().items()
    }
    assert found == expected


if __name__ == "__main__":
    from cmfm_worker.cfm.points.farthest_points_triton import farthest_points_of_all

    chosen = farthest_points_of_all(list(clouds().values()), COUNT)
    print(json.dumps({name: index.tolist() for name, index in zip(clouds(), chosen, strict=True)}))
