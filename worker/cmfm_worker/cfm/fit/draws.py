"""Random numbers from a seed, smooth noise, and the size and orientation of a part, for simulated frames."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TypeVar

import torch
from torch import Tensor
from torch.nn import functional as F

from cmfm_worker.cfm.prepare import SIZE_PX, PreparedFrames

Choice = TypeVar("Choice")


class Draw:
    """A generator of random numbers, determined by its seed."""

    def __init__(self, seed: int) -> None:
        self._generator = torch.Generator().manual_seed(seed)

    def tensor(self, *shape: int) -> Tensor:
        """Draw numbers uniform in [0, 1)."""
        return torch.rand(shape, generator=self._generator)

    def normal(self, *shape: int) -> Tensor:
        """Draw normal numbers of zero mean and unit deviation."""
        return torch.randn(shape, generator=self._generator)

    def uniform(self, low: float, high: float) -> float:
        """Draw a number between `low` and `high`."""
        return low + (high - low) * float(self.tensor(1))

    def log_uniform(self, low: float, high: float) -> float:
        """Draw a number between `low` and `high` whose logarithm is uniform."""
        return math.exp(self.uniform(math.log(low), math.log(high)))

    def whole(self, low: int, high: int) -> int:
        """Draw a whole number from `low` to `high`, both included."""
        return int(torch.randint(low, high + 1, (1,), generator=self._generator))

    def sign(self) -> float:
        """Draw 1 or −1."""
        return 1.0 if self.whole(0, 1) else -1.0

    def of(self, choices: Sequence[Choice]) -> Choice:
        """Draw one of `choices`."""
        return choices[self.whole(0, len(choices) - 1)]


def smooth_noise(draw: Draw, knots: int) -> Tensor:
    """Draw smooth noise (224, 224) of about unit deviation, interpolated between `knots`×`knots` values."""
    coarse = draw.normal(knots, knots)[None, None]
    return F.interpolate(coarse, (SIZE_PX, SIZE_PX), mode="bicubic", align_corners=True)[0, 0]


def part_side_m(xyz: Tensor, part: Tensor) -> float:
    """Return the side of a part in metres: the root of the area of the two longer sides of its box."""
    points = xyz[:, part]
    extent = (points.amax(1) - points.amin(1)).sort().values
    return float((extent[1] * extent[2]).sqrt())


def upwards(frames: PreparedFrames, i: int) -> Tensor:
    """Return the unit vector (3,) away from a frame's tray, on the CPU; towards the sensor if there is no tray."""
    up = frames.plane[i, :3].cpu()
    return up if up.isfinite().all() else torch.tensor([0.0, 0.0, -1.0])
