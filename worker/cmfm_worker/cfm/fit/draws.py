"""What simulated frames are drawn with: numbers from a seed, smooth noise, a part's size and which way is up."""

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
    """Random numbers from one seed."""

    def __init__(self, seed: int) -> None:
        self._generator = torch.Generator().manual_seed(seed)

    def tensor(self, *shape: int) -> Tensor:
        """Uniform in [0, 1)."""
        return torch.rand(shape, generator=self._generator)

    def normal(self, *shape: int) -> Tensor:
        """Of zero mean and unit deviation."""
        return torch.randn(shape, generator=self._generator)

    def uniform(self, low: float, high: float) -> float:
        """Between both."""
        return low + (high - low) * float(self.tensor(1))

    def log_uniform(self, low: float, high: float) -> float:
        """Between both, every octave alike."""
        return math.exp(self.uniform(math.log(low), math.log(high)))

    def whole(self, low: int, high: int) -> int:
        """A whole number, both ends included."""
        return int(torch.randint(low, high + 1, (1,), generator=self._generator))

    def sign(self) -> float:
        """1 or −1."""
        return 1.0 if self.whole(0, 1) else -1.0

    def of(self, choices: Sequence[Choice]) -> Choice:
        """One of them."""
        return choices[self.whole(0, len(choices) - 1)]


def smooth_noise(draw: Draw, knots: int) -> Tensor:
    """Noise (224, 224) of about unit deviation between so many knots along either axis."""
    coarse = draw.normal(knots, knots)[None, None]
    return F.interpolate(coarse, (SIZE_PX, SIZE_PX), mode="bicubic", align_corners=True)[0, 0]


def part_side_m(xyz: Tensor, part: Tensor) -> float:
    """The part's side in metres, of the box around its points: comparable to the root of its area in pixels."""
    points = xyz[:, part]
    extent = (points.amax(1) - points.amin(1)).sort().values
    return float((extent[1] * extent[2]).sqrt())


def upwards(frames: PreparedFrames, i: int) -> Tensor:
    """The unit vector (3,) away from the tray of a frame, or towards the sensor where there is none; on the CPU."""
    up = frames.plane[i, :3].cpu()
    return up if up.isfinite().all() else torch.tensor([0.0, 0.0, -1.0])
