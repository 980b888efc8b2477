"""The `paper` preset: DINO ViT-B/8 and Point-MAE from weights the user brings (paper § 4, DESIGN § 5, 8)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from cmfm_worker.cfm.extractor import ExtractorIdentity, PixelFeatures, TooFewPointsError
from cmfm_worker.cfm.grouping import CENTRES, Groups, group_points, nearest
from cmfm_worker.cfm.image_features import WIDTH, load_image_encoder
from cmfm_worker.cfm.interpolation import (
    TokenSampling,
    bilinear_sampling,
    inverse_distance_weights,
    point_mask,
    point_sampling,
)
from cmfm_worker.cfm.point_features import TAPS, load_point_encoder
from cmfm_worker.cfm.prepare import PreparedFrames
from cmfm_worker.cfm.weights import find_weights, weights_identity

GROUP_SIZES = (128, 32)
"""Points a group: what the released mappings were fitted with, and what the paper's text says."""

_VERSION = "1"
_NEIGHBOURS = 3


@dataclass(frozen=True)
class BatchTokens:
    """Everything a batch's pixel features are made of.

    `tokens_2d` (B·784, 768) and `tokens_3d` (B·1024, D_3D) float32; `sampling_2d` and `sampling_3d` turn them
    into features at the pixels of `mask` (B, 224, 224).
    """

    tokens_2d: Tensor
    tokens_3d: Tensor
    sampling_2d: TokenSampling
    sampling_3d: TokenSampling
    mask: Tensor

    def at_pixels(self) -> PixelFeatures:
        """E_2D and E_3D: the tokens spread over the pixels of the mask."""
        return PixelFeatures(
            e2d=self.sampling_2d(self.tokens_2d), e3d=self.sampling_3d(self.tokens_3d), mask=self.mask
        )


class PaperExtractor:
    """Frozen DINO and Point-MAE cut after the same block (paper § 3.4), 1024 groups of `group_size` points.

    `weights_dir` holds the published files or their safetensors twins. Raises `WeightsError` where they are
    missing, torn or of another architecture, `ValueError` for blocks other than 12, 8, 4, 1 or groups other
    than 128, 32.
    """

    min_points = CENTRES

    def __init__(
        self,
        weights_dir: Path,
        blocks: int = 12,
        group_size: int = 128,
        device: torch.device | str = "cpu",
    ) -> None:
        if blocks not in TAPS:
            raise ValueError(f"blocks must be one of {', '.join(map(str, TAPS))}, not {blocks}")
        if group_size not in GROUP_SIZES:
            raise ValueError(
                f"group_size must be one of {', '.join(map(str, GROUP_SIZES))}, not {group_size}"
            )
        self.device = torch.device(device)
        files = find_weights(weights_dir, "dino"), find_weights(weights_dir, "pointmae")
        self.identity = ExtractorIdentity(
            "paper", _VERSION, blocks, group_size, dict(weights_identity(file) for file in files)
        )
        self._image_encoder = load_image_encoder(files[0], blocks).to(self.device)
        self._point_encoder = load_point_encoder(files[1], blocks).to(self.device)
        self.d2, self.d3 = WIDTH, self._point_encoder.width

    @torch.no_grad()
    def __call__(self, frames: PreparedFrames) -> PixelFeatures:
        """Features of both modalities at every pixel that a 3D feature reaches."""
        return self.tokens(frames).at_pixels()

    @torch.no_grad()
    def tokens(self, frames: PreparedFrames) -> BatchTokens:
        """The same before tokens are spread over the pixels. Raises `TooFewPointsError` before any work."""
        clouds = self._clouds(frames)
        groups = group_points(clouds, self.identity.group_size)
        mask = point_mask(frames.foreground)
        return BatchTokens(
            tokens_2d=self._image_encoder(frames.rgb).flatten(0, 1),
            tokens_3d=self._point_encoder(groups).flatten(0, 1),
            sampling_2d=bilinear_sampling(mask),
            sampling_3d=_sample_points(mask, frames.foreground, clouds, groups),
            mask=mask,
        )

    def _clouds(self, frames: PreparedFrames) -> list[Tensor]:
        """Each frame's foreground points (N, 3), row after row of the image."""
        counts = frames.foreground.flatten(1).sum(1).tolist()
        short = [i for i, count in enumerate(counts) if count < self.min_points]
        if short:
            raise TooFewPointsError(short, [counts[i] for i in short], self.min_points)
        points = frames.xyz.permute(0, 2, 3, 1)[frames.foreground]  # B 3 H W -> B H W 3 -> ΣN 3
        return list(torch.split(points, counts))


def _sample_points(mask: Tensor, foreground: Tensor, clouds: list[Tensor], groups: Groups) -> TokenSampling:
    """Three nearest centres of every point, composed with everything behind them."""
    pairs = zip(clouds, groups.centres, strict=True)
    found = [nearest(centres, cloud, _NEIGHBOURS) for cloud, centres in pairs]
    token = torch.cat([index + i * CENTRES for i, (index, _) in enumerate(found)])
    weight = inverse_distance_weights(torch.cat([d2 for _, d2 in found]))
    return point_sampling(mask, foreground, token, weight, tokens=len(clouds) * CENTRES)
