"""The `paper` preset: a vision transformer (DINO ViT-B/8) and Point-MAE, with weights from the user (paper § 4)."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from cmfm_worker.cfm.extractor import ExtractorIdentity, PixelFeatures, TooFewPointsError
from cmfm_worker.cfm.fast.frame_sizes import FrameSizes
from cmfm_worker.cfm.fast.graphs import Graphed, GraphRecorder
from cmfm_worker.cfm.fast.mask_indices import indices_of_true
from cmfm_worker.cfm.fast.precision import Precision, products, why_not_for
from cmfm_worker.cfm.image.architecture import paired_blocks
from cmfm_worker.cfm.image.features import load_image_encoder
from cmfm_worker.cfm.image.models import DINO, timm_name
from cmfm_worker.cfm.mapping.token_sampling import PendingSampling
from cmfm_worker.cfm.points.features import TAPS, load_point_encoder
from cmfm_worker.cfm.points.grouping import CENTRES, Groups, group_points, nearest
from cmfm_worker.cfm.points.interpolation import (
    begin_point_sampling,
    bilinear_sampling,
    inverse_distance_weights,
)
from cmfm_worker.cfm.prepare import PreparedFrames
from cmfm_worker.cfm.token_features import SampledTokens, TokenFeatures
from cmfm_worker.cfm.weights import find_weights, weights_identity

GROUP_SIZES = (128, 32)
"""Points in a group: those of the released mappings, and those of the paper's text (docs/method.md, 3D features)."""

VERSION = "1"
_NEIGHBOURS = 3


class PaperExtractor:
    """A frozen 2D extractor and Point-MAE cut after the same block (paper § 3.4), 1024 groups of `group_size` points.

    `weights_dir` holds the published files, or the same as safetensors. `precision` is that of the encoders' products
    (`precision.Products`). `image` names the 2D extractor (`image/models.py`), by default DINO. With `graphs` the
    networks, whose shapes are fixed, run as CUDA graphs.

    Raises `WeightsError` for files that are missing, torn or of another architecture. Raises ValueError for blocks
    other than 12, 8, 4, 1, for groups other than 128, 32, for a cut of a 2D extractor that does not have Point-MAE's
    12 blocks, and for int8 with another 2D extractor than DINO.
    """

    min_points = CENTRES

    def __init__(
        self,
        weights_dir: Path,
        blocks: int = 12,
        group_size: int = 128,
        device: torch.device | str = "cpu",
        precision: Precision = "fp32",
        image: str = DINO,
        graphs: GraphRecorder | None = None,
    ) -> None:
        if blocks not in TAPS:
            raise ValueError(f"blocks must be one of {', '.join(map(str, TAPS))}, not {blocks}")
        if group_size not in GROUP_SIZES:
            raise ValueError(
                f"group_size must be one of {', '.join(map(str, GROUP_SIZES))}, not {group_size}"
            )
        model = timm_name(image)
        image_blocks = paired_blocks(model, blocks)
        if reason := why_not_for(precision, model):
            raise ValueError(reason)
        self.device = torch.device(device)
        files = find_weights(weights_dir, model), find_weights(weights_dir, "pointmae")
        self.identity = ExtractorIdentity(
            "paper", VERSION, blocks, group_size, dict(weights_identity(file) for file in files), model
        )
        formats = products(precision)
        # The smaller file first: while a file is copied, it is in memory twice.
        self.point_encoder = load_point_encoder(
            files[1], blocks, self.device, formats.points, of_groups=formats.groups
        )
        self.image_encoder = load_image_encoder(files[0], image_blocks, self.device, formats.image, model)
        self.d2, self.d3 = self.image_encoder.width, self.point_encoder.width
        self._of_pictures = Graphed(
            lambda rgb: (self.image_encoder(rgb),), graphs if self.image_encoder.recordable else None
        )
        self._of_groups = Graphed(
            lambda centres, offsets: (self.point_encoder(Groups(centres, offsets)).flatten(0, 1),), graphs
        )

    @torch.no_grad()
    def __call__(self, frames: PreparedFrames) -> PixelFeatures:
        """Extract features of both modalities at every pixel that a 3D feature reaches."""
        return self.tokens(frames).at_pixels()

    @torch.no_grad()
    def tokens(self, frames: PreparedFrames, sizes: FrameSizes | None = None) -> TokenFeatures:
        """Extract the same features as tokens. Raises `TooFewPointsError` before any work.

        Waits for the device at most twice: for `sizes` if they are not given, and at the end for the number of
        entries of a sparse matrix, which is known before the networks have run.
        """
        sizes = FrameSizes.of(frames) if sizes is None else sizes
        clouds = self.clouds(frames, sizes)
        groups = group_points(clouds, self.identity.group_size)
        sampling = begin_sampling_from_centres(frames.foreground, sizes, clouds, groups.centres)
        image = self.image_tokens(frames, sizes)
        (tokens,) = self._of_groups(groups.centres, groups.offsets)
        return TokenFeatures(image, SampledTokens(tokens, sampling.finish()), sizes.mask)

    def image_tokens(self, frames: PreparedFrames, sizes: FrameSizes) -> SampledTokens:
        """Run F_2D. On the CPU it computes only the tokens that the mask needs; elsewhere a fixed size is faster."""
        grid, mask = self.image_encoder.grid, sizes.mask
        sampling = bilinear_sampling(mask, grid, sum(sizes.pixels))
        if self.device.type != "cpu":
            (tokens,) = self._of_pictures(frames.rgb)
            return SampledTokens(tokens, sampling)
        needed = sampling.used(len(mask) * grid**2)
        tokens = self.image_encoder(frames.rgb, needed.view(len(mask), -1))
        return SampledTokens(tokens, sampling.of_used(needed))

    def clouds(self, frames: PreparedFrames, sizes: FrameSizes) -> list[Tensor]:
        """Return each frame's foreground points (N, 3), row by row of the image. Raises `TooFewPointsError`."""
        short = [i for i, count in enumerate(sizes.points) if count < self.min_points]
        if short:
            raise TooFewPointsError(short, [sizes.points[i] for i in short], self.min_points)
        points = frames.xyz.permute(0, 2, 3, 1).flatten(0, 2)  # B 3 H W -> B·H·W 3
        of_part = indices_of_true(frames.foreground, sum(sizes.points))
        return list(torch.split(points[of_part], list(sizes.points)))


def begin_sampling_from_centres(
    foreground: Tensor, sizes: FrameSizes, clouds: list[Tensor], centres: Tensor
) -> PendingSampling:
    """Begin the sampling matrix from every point's three nearest centres (B, 1024, 3) and the steps after them."""
    pairs = zip(clouds, centres, strict=True)
    found = [nearest(of_cloud, cloud, _NEIGHBOURS) for cloud, of_cloud in pairs]
    token = torch.cat([index + i * CENTRES for i, (index, _) in enumerate(found)])
    weight = inverse_distance_weights(torch.cat([d2 for _, d2 in found]))
    tokens = len(clouds) * CENTRES
    return begin_point_sampling(sizes.mask, foreground, token, weight, tokens, sum(sizes.pixels))
