"""What all 2D extractors share: normalised pictures in, the tokens of the last kept block on a grid out."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from cmfm_worker.cfm.fast.frozen_linear import FrozenLinear
from cmfm_worker.cfm.prepare import SIZE_PX


class ImageEncoder(nn.Module):
    """RGB pictures (B, 3, 224, 224) float32 in [0, 1] become tokens of `width` on a grid of `grid`×`grid`.

    Called with the pictures and, optionally, `needed` (B, grid²) bool: which tokens are wanted. The tokens
    (T, width) float32 come frame after frame, row after row of the grid.

    `vit` is timm's model with its kept blocks; it is taken apart: `blocks` of them, in which tokens are `inner_width`
    wide, the first `prefix` of them class and registers. Pictures are normalised by the model's own mean and deviation.
    """

    mean: Tensor
    std: Tensor

    recordable: ClassVar[bool] = True
    """Whether a pass can be recorded as a CUDA graph: it copies nothing from the host."""

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
        """Pictures as the model knows them."""
        return (rgb - self.mean) / self.std


class _PatchProjection(nn.Module):
    """The convolution that meets every patch once, as the linear layer it is: always float32.

    As a convolution CUDA would compute it in TF32, and its inputs are all that the tokens are made of.
    """

    def __init__(self, conv: nn.Conv2d, grid: int) -> None:
        super().__init__()
        self.grid = grid
        self.linear = FrozenLinear(conv.weight.flatten(1), conv.bias)

    def forward(self, image: Tensor) -> Tensor:
        """(B, 3, 224, 224) → (B, C, g, g) for patches of p pixels, g·p = 224."""
        patches = image.unflatten(2, (self.grid, -1)).unflatten(4, (self.grid, -1))  # B 3 g p g p
        rows = patches.permute(0, 2, 4, 1, 3, 5).flatten(3)  # B g g 3pp
        projected: Tensor = self.linear(rows).permute(0, 3, 1, 2)  # B g g C -> B C g g
        return projected
