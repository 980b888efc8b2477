"""The base of all 2D extractors: pictures in, the tokens of the last kept block on a grid out."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from cmfm_worker.cfm.fast.frozen_linear import FrozenLinear
from cmfm_worker.cfm.prepare import SIZE_PX


class ImageEncoder(nn.Module):
    """A 2D extractor: RGB pictures (B, 3, 224, 224) float32 in [0, 1] to tokens of `width` on a `grid`×`grid` grid.

    It is called with the pictures and, optionally, `needed` (B, grid²) bool of the tokens that are wanted. Tokens
    (T, width) float32 are ordered by frame, then by row of the grid.

    `vit` is timm's model with its kept blocks, which is changed. It has `blocks` blocks with tokens of `inner_width`;
    the first `prefix` tokens are class and registers. Pictures are normalised by the model's own mean and deviation.
    """

    mean: Tensor
    std: Tensor

    recordable: ClassVar[bool] = True
    """True if a pass can be recorded as a CUDA graph: it copies nothing from the host."""

    def __init__(self, vit: Any, width: int) -> None:
        super().__init__()
        self.grid = SIZE_PX // int(vit.patch_embed.patch_size[0])
        self.width = width
        self.inner_width, self.blocks = int(vit.embed_dim), len(vit.blocks)
        self.prefix = int(getattr(vit, "num_prefix_tokens", 0))
        vit.patch_embed.proj = _PatchProjection(vit.patch_embed.proj, self.grid)
        self.vit = vit
        for name in ("mean", "std"):
            self.register_buffer(name, torch.tensor(vit.pretrained_cfg[name]).view(1, 3, 1, 1))

    def normalised(self, rgb: Tensor) -> Tensor:
        """Normalise pictures by the model's mean and deviation."""
        return (rgb - self.mean) / self.std


class _PatchProjection(nn.Module):
    """The patch embedding as a linear layer, always float32.

    CUDA would compute a convolution in TF32, and everything in a token comes from this layer.
    """

    def __init__(self, conv: nn.Conv2d, grid: int) -> None:
        super().__init__()
        self.grid = grid
        self.linear = FrozenLinear(conv.weight.flatten(1), conv.bias)

    def forward(self, image: Tensor) -> Tensor:
        """Project patches of p pixels: (B, 3, 224, 224) → (B, C, g, g) with g·p = 224."""
        patches = image.unflatten(2, (self.grid, -1)).unflatten(4, (self.grid, -1))  # B 3 g p g p
        rows = patches.permute(0, 2, 4, 1, 3, 5).flatten(3)  # B g g 3pp
        projected: Tensor = self.linear(rows).permute(0, 3, 1, 2)  # B g g C -> B C g g
        return projected
