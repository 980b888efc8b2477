"""The interface of an extractor: frames in, per-pixel features and a mask out.

Two presets implement it: `classic` (fixed filters, `classic/extractor.py`) and `paper` (DINO ViT-B/8 or another vision
transformer, and Point-MAE, `paper_extractor.py`). Features are packed: only pixels inside the mask have a row, and the
rows of one frame follow those of another.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, Protocol

import torch
from torch import Tensor

from cmfm_worker.cfm.prepare import PreparedFrames

Preset = Literal["classic", "paper"]


class TooFewPointsError(Exception):
    """A frame has fewer valid 3D points than the extractor needs. Nothing was computed.

    `frames` are the positions of such frames in the batch, `counts` their valid points.
    """

    def __init__(self, frames: Sequence[int], counts: Sequence[int], min_points: int) -> None:
        self.frames = tuple(frames)
        self.counts = tuple(counts)
        self.min_points = min_points
        found = ", ".join(f"frame {i}: {n}" for i, n in zip(self.frames, self.counts, strict=True))
        super().__init__(f"{min_points} valid 3D points are needed in every frame, found {found}")


@dataclass(frozen=True)
class ExtractorIdentity:
    """The origin of features. A mapping can only be used with features of the identity that it was fitted on.

    `sha256` maps each weights file's name to the hex digest of its bytes; it is empty for `classic`. `image` is timm's
    name of the 2D extractor, None for `classic`.
    """

    preset: Preset
    version: str
    blocks: int
    group_size: int
    sha256: dict[str, str] = field(default_factory=dict)
    image: str | None = None


@dataclass(frozen=True)
class PixelFeatures:
    """E_2D and E_3D (paper § 3.1) at the pixels inside the mask, packed over the frames of a batch.

    `e2d` (P, D_2D) and `e3d` (P, D_3D) are float32, `mask` (B, 224, 224) is bool. Row p of both belongs to the p-th
    entry of `mask.nonzero()`: frame by frame, row by row.

    The last `context` channels of either (2D, 3D) are read by a mapping and not predicted by it. The last `wide` of
    them describe so much of the part that a network could recognise each of a few dozen parts by them.
    """

    e2d: Tensor
    e3d: Tensor
    mask: Tensor
    context: tuple[int, int] = (0, 0)
    wide: tuple[int, int] = (0, 0)

    @property
    def d2(self) -> int:
        """D_2D, the width of a 2D feature."""
        return self.e2d.shape[1]

    @property
    def d3(self) -> int:
        """D_3D, the width of a 3D feature."""
        return self.e3d.shape[1]

    @property
    def counts(self) -> list[int]:
        """Return each frame's number of pixels inside the mask. Waits for the device."""
        return [int(n) for n in self.mask.flatten(1).sum(1).tolist()]

    def select(self, frames: Sequence[int]) -> PixelFeatures:
        """Return the features of some frames of the batch, in the given order. A batch may mix recipes."""
        counts = self.counts
        e2d, e3d = (torch.split(x, counts) for x in (self.e2d, self.e3d))
        mask = self.mask[torch.as_tensor(list(frames), dtype=torch.long, device=self.mask.device)]
        return PixelFeatures(
            e2d=torch.cat([e2d[i] for i in frames]) if frames else self.e2d[:0],
            e3d=torch.cat([e3d[i] for i in frames]) if frames else self.e3d[:0],
            mask=mask,
            context=self.context,
            wide=self.wide,
        )

    def at(self, pixels: Tensor) -> PixelFeatures:
        """Return the features at some of the pixels only, those of `pixels` (B, 224, 224) bool."""
        inside = pixels[self.mask]
        return replace(self, e2d=self.e2d[inside], e3d=self.e3d[inside], mask=self.mask & pixels)


class Extractor(Protocol):
    """The frozen feature extractors of both modalities, behind one call.

    A call raises `TooFewPointsError` before any work if a frame has fewer than `min_points` foreground points.
    """

    @property
    def identity(self) -> ExtractorIdentity:
        """The origin of the features."""
        ...

    @property
    def d2(self) -> int:
        """D_2D, the width of a 2D feature."""
        ...

    @property
    def d3(self) -> int:
        """D_3D, the width of a 3D feature."""
        ...

    @property
    def min_points(self) -> int:
        """The fewest foreground points that a frame may have."""
        ...

    @property
    def device(self) -> torch.device:
        """The device of frames and features."""
        ...

    def __call__(self, frames: PreparedFrames) -> PixelFeatures:
        """Extract the features of a prepared batch."""
        ...
