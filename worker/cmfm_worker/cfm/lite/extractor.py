"""The `lite` preset: E_2D is read from EfficientNet-Lite0 and from the fine filters of `classic`, E_3D is `classic`'s.

The network adds what fixed filters cannot tell: which texture and which element of the product a pixel belongs to. The
coarse colour filters of `classic` add nothing to it and are left out.
"""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor

from cmfm_worker.cfm.classic.channels import (
    CONTEXT_3D,
    PREDICTED_3D,
    colour_channels,
    context_2d,
    height_channels,
    opponent_colours,
    predicted_2d,
)
from cmfm_worker.cfm.classic.context import outline_context
from cmfm_worker.cfm.classic.extractor import MIN_POINTS, features_frame_by_frame
from cmfm_worker.cfm.classic.masked_filters import Smoothing
from cmfm_worker.cfm.classic.region import Region
from cmfm_worker.cfm.extractor import ExtractorIdentity, PixelFeatures
from cmfm_worker.cfm.lite.crop import Square
from cmfm_worker.cfm.lite.network import STAGES, LiteNetwork
from cmfm_worker.cfm.lite.weights import FILE, read_weights
from cmfm_worker.cfm.prepare import PreparedFrames

SIGMAS_2D_PX: Final = (1.0, 2.0)
"""The scales of colour filters beside the network's features."""

NETWORK_2D: Final = sum(STAGES.values())
CONTEXT_2D: Final = context_2d(SIGMAS_2D_PX)


class LiteExtractor:
    """The `Extractor` of the preset. The mask is every second pixel of the foreground along either axis.

    Every frame passes the network alone, so its features do not depend on its batch. `dtype` is that of the network's
    convolutions. Raises WeightsError as `find_weights_file` does.
    """

    d2: Final = NETWORK_2D + predicted_2d(SIGMAS_2D_PX) + CONTEXT_2D
    d3: Final = PREDICTED_3D + CONTEXT_3D
    context: Final = (CONTEXT_2D, CONTEXT_3D)
    min_points: Final = MIN_POINTS

    def __init__(self, device: torch.device | str = "cpu", dtype: torch.dtype = torch.float32) -> None:
        state, sha256 = read_weights()
        self._device = torch.device(device)
        self._network = LiteNetwork(state, FILE, dtype).to(self._device)
        self._smooth = Smoothing(self._device)
        self._sha256 = {FILE: sha256}

    @property
    def identity(self) -> ExtractorIdentity:
        """Return the preset's identity: the version stands for filters and crop, the hash for the network."""
        return ExtractorIdentity("lite", "2", blocks=0, group_size=0, sha256=dict(self._sha256))

    @property
    def device(self) -> torch.device:
        """Return the device that the features are computed on."""
        return self._device

    @torch.no_grad()
    def __call__(self, frames: PreparedFrames) -> PixelFeatures:
        """Compute E_2D (P, 241) and E_3D (P, 62). Raises TooFewPointsError."""
        return features_frame_by_frame(frames, self._frame, self.context)

    def _frame(self, frames: PreparedFrames, i: int, height_mm: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Compute one frame: E_2D (P, D_2D), E_3D (P, D_3D) and the mask (224, 224)."""
        region = Region.of(frames.foreground[i], frames.xyz[i])
        at, mask, box = region.grid_indices, region.grid_mask, (slice(None), region.rows, region.columns)
        weight = region.mask[None].float()
        outline = outline_context(weight, self._smooth)
        colours = opponent_colours(frames.rgb[i][box])
        colour = colour_channels(colours, weight, outline, self._smooth, SIGMAS_2D_PX).at(at)
        relief = height_channels(height_mm[None][box], weight, outline, self._smooth).at(at)
        change = None if frames.change is None else frames.change[i]
        return torch.cat([self._of_network(frames.picture[i], change, mask), colour], dim=1), relief, mask

    def _of_network(self, picture: Tensor, change: Tensor | None, mask: Tensor) -> Tensor:
        """Read the network's features of a picture (H, W, 3) at the map's pixels of a mask: (P, 176)."""
        square, pixels = Square.around(mask, (picture.shape[0], picture.shape[1])), mask.nonzero()
        maps = self._network(square.cut(picture, change))
        return torch.cat([square.read(stage, pixels) for stage in maps], dim=1)
