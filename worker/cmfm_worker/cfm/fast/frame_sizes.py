"""How large the frames of a batch are: the numbers that the host needs before it can issue the rest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from cmfm_worker.cfm.fast.read_back import ReadBack, on_device
from cmfm_worker.cfm.points.interpolation import point_mask
from cmfm_worker.cfm.prepare import PreparedFrames


@dataclass(frozen=True, slots=True)
class FrameSizes:
    """Of each of B frames, on the host: `valid` 3D points, `points` of them in the foreground, `pixels` of the mask.

    `mask` (B, 224, 224) bool, on the device, is where features are taken: the pixels that a foreground point reaches.
    """

    mask: Tensor
    valid: tuple[int, ...]
    points: tuple[int, ...]
    pixels: tuple[int, ...]

    @classmethod
    def of(cls, frames: PreparedFrames) -> FrameSizes:
        """Count. Waits for the frames, and for nothing issued later."""
        mask = point_mask(frames.foreground)
        counts = torch.stack([each.flatten(1).sum(1) for each in (frames.valid, frames.foreground, mask)])
        (on_host,) = ReadBack(counts).wait()
        valid, points, pixels = on_host.tolist()
        return cls(mask, tuple(valid), tuple(points), tuple(pixels))

    def select(self, frames: Sequence[int]) -> FrameSizes:
        """Those of some frames, in the order asked."""
        valid, points, pixels = (
            tuple(numbers[i] for i in frames) for numbers in (self.valid, self.points, self.pixels)
        )
        return FrameSizes(self.mask[on_device(list(frames), self.mask.device)], valid, points, pixels)
