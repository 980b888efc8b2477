"""The `classic` preset: fixed multi-scale filters on colour and on height above the tray. No weights, any device.

Every filter is weighted by the part's pixels alone. So neither the colour of the tray nor its distance enters a
feature, and a part's features do not depend on what lies around the part.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import torch
from torch import Tensor

from cmfm_worker.cfm.classic.channels import (
    CONTEXT_3D,
    PREDICTED_3D,
    SIGMAS_2D_PX,
    colour_channels,
    context_2d,
    height_channels,
    opponent_colours,
    predicted_2d,
)
from cmfm_worker.cfm.classic.context import WIDE_2D, WIDE_3D, outline_context
from cmfm_worker.cfm.classic.derivatives import GRID_PX
from cmfm_worker.cfm.classic.masked_filters import Smoothing
from cmfm_worker.cfm.classic.region import Region
from cmfm_worker.cfm.extractor import ExtractorIdentity, PixelFeatures, TooFewPointsError
from cmfm_worker.cfm.prepare import PreparedFrames, plane_height

PREDICTED_2D: Final = predicted_2d(SIGMAS_2D_PX)
CONTEXT_2D: Final = context_2d(SIGMAS_2D_PX)
"""Predicted and context channels of colour."""

MIN_POINTS: Final = 200
"""The fewest foreground pixels of a part. A tablet of 1 cm² fills about 200 pixels of a 15 cm picture."""

MM_PER_M: Final = 1000.0


class ClassicExtractor:
    """The `Extractor` of the preset. The mask is every second pixel of the foreground along either axis.

    Features are deterministic, and a frame's features do not depend on its batch. Lengths are in pixels, heights in
    millimetres. Derivatives are multiplied by σ to the power of their order.
    """

    d2: Final = PREDICTED_2D + CONTEXT_2D
    d3: Final = PREDICTED_3D + CONTEXT_3D
    context: Final = (CONTEXT_2D, CONTEXT_3D)
    min_points: Final = MIN_POINTS

    def __init__(self, device: torch.device | str = "cpu") -> None:
        self._device = torch.device(device)
        self._smooth = Smoothing(self._device)

    @property
    def identity(self) -> ExtractorIdentity:
        """Return the preset's identity. The version stands for the filters, because there are no weights."""
        return ExtractorIdentity("classic", "4", blocks=0, group_size=0)

    @property
    def device(self) -> torch.device:
        """Return the device that the features are computed on."""
        return self._device

    @torch.no_grad()
    def __call__(self, frames: PreparedFrames) -> PixelFeatures:
        """Compute E_2D (P, 105) and E_3D (P, 62). Raises TooFewPointsError."""
        return features_frame_by_frame(frames, self._frame, self.context)

    def _frame(self, frames: PreparedFrames, i: int, height_mm: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Compute one frame: E_2D (P, D_2D), E_3D (P, D_3D) and the mask (224, 224)."""
        region = Region.of(frames.foreground[i], frames.xyz[i])
        at, box = region.grid_indices, (slice(None), region.rows, region.columns)
        weight = region.mask[None].float()
        outline = outline_context(weight, self._smooth)
        colour = colour_channels(opponent_colours(frames.rgb[i][box]), weight, outline, self._smooth)
        relief = height_channels(height_mm[None][box], weight, outline, self._smooth)
        return colour.at(at), relief.at(at), region.grid_mask


def features_frame_by_frame(
    frames: PreparedFrames,
    features_of: Callable[[PreparedFrames, int, Tensor], tuple[Tensor, Tensor, Tensor]],
    context: tuple[int, int],
) -> PixelFeatures:
    """Compute the features of each frame alone and join them. Raises TooFewPointsError.

    `features_of` takes the frames, an index and the heights of that frame (224, 224) in millimetres, and returns E_2D
    (P, D_2D), E_3D (P, D_3D) and the mask (224, 224).
    """
    require_points(frames)
    heights_mm = plane_height(frames) * MM_PER_M
    each = [features_of(frames, i, heights_mm[i]) for i in range(len(frames.rgb))]
    return PixelFeatures(
        torch.cat([e[0] for e in each]),
        torch.cat([e[1] for e in each]),
        torch.stack([e[2] for e in each]),
        context=context,
        wide=(WIDE_2D, WIDE_3D),
        grid_px=GRID_PX,
    )


def require_points(frames: PreparedFrames) -> None:
    """Raise TooFewPointsError naming the frames whose foreground has fewer than `MIN_POINTS` pixels."""
    counts = frames.foreground.flatten(1).sum(1).tolist()
    few = [i for i, count in enumerate(counts) if count < MIN_POINTS]
    if few:
        raise TooFewPointsError(few, [counts[i] for i in few], MIN_POINTS)
