"""The sizes of a batch's frames, which the host needs before it can issue the rest of the work."""

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
    """The sizes of B frames, on the host: `valid` 3D points, foreground `points`, and `pixels` of the mask.

    `mask` (B, 224, 224) bool, on the device, holds the pixels at which features are taken: those that a foreground
    point reaches.
    """

    mask: Tensor
    valid: tuple[int, ...]
    points: tuple[int, ...]
    pixels: tuple[int, ...]

    @classmethod
    def of(cls, frames: PreparedFrames) -> FrameSizes:
        """Count them. Waits for the frames, and for nothing that was issued later."""
        mask = point_mask(frames.foreground)
        counts = torch.stack([each.flatten(1).sum(1) for each in (frames.valid, frames.foreground, mask)])
        (on_host,) = ReadBack(counts).wait()
        valid, points, pixels = on_host.tolist()
        return cls(mask, tuple(valid), tuple(points), tuple(pixels))

    def select(self, frames: Sequence[int]) -> FrameSizes:
        """Return the sizes of some frames, in the given order."""
        valid, points, pixels = (
            tuple(numbers[i] for i in frames) for numbers in (self.valid, self.points, self.pixels)
        )
        return FrameSizes(self.mask[on_device(list(frames), self.mask.device)], valid, points, pixels)
