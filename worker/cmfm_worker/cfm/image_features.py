"""F_2D: DINO ViT-B/8 cut after a chosen block, 28×28 tokens an image (paper § 3.1, § 3.4)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from cmfm_worker.cfm.frozen_linear import FrozenLinear, freeze
from cmfm_worker.cfm.torchvision_stub import make_torchvision_importable
from cmfm_worker.cfm.weights import read_state_dict, require_shapes

GRID = 28
"""Tokens along one side of the 224-pixel picture: patches of 8 pixels."""

WIDTH = 768
"""D_2D."""

_ARCHITECTURE = "vit_base_patch8_224.dino"
_IMAGENET_MEAN = (0.485, 0.456, 0.406)
_IMAGENET_STD = (0.229, 0.224, 0.225)


class ImageEncoder(nn.Module):
    """RGB pictures (B, 3, 224, 224) float32 in [0, 1] become tokens of width 768.

    The final LayerNorm is applied to the last kept block's tokens, the class token is dropped (DESIGN § 5).
    `vit` is timm's model with all kept blocks; it is taken apart.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, vit: Any) -> None:
        super().__init__()
        # timm runs all blocks but the last, and without its norm returns their tokens.
        *blocks, last = vit.blocks
        self.last_block, self.norm = _LastBlock(last), vit.norm
        vit.blocks, vit.norm = nn.Sequential(*blocks), nn.Identity()
        vit.patch_embed.proj = _PatchProjection(vit.patch_embed.proj)
        self.vit = vit
        self.register_buffer("mean", torch.tensor(_IMAGENET_MEAN).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(_IMAGENET_STD).view(1, 3, 1, 1))

    def forward(self, rgb: Tensor, needed: Tensor | None = None) -> Tensor:
        """Tokens (T, 768) of the last kept block, frame after frame, row after row of the grid.

        With `needed` (B, 784) bool only those tokens, the same numbers in less time.
        """
        x = self.vit.forward_features((rgb - self.mean) / self.std)
        x = self.last_block.block(x)[:, 1:].flatten(0, 1) if needed is None else self.last_block(x, needed)
        tokens: Tensor = self.norm(x)
        return tokens


class _PatchProjection(nn.Module):
    """The convolution that meets every patch once, as the linear layer it is: always float32.

    As a convolution CUDA would compute it in TF32, and its inputs are all that the tokens are made of.
    """

    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__()
        self.linear = FrozenLinear(conv.weight.flatten(1), conv.bias)

    def forward(self, image: Tensor) -> Tensor:
        """(B, 3, 224, 224) → (B, 768, 28, 28)."""
        patches = image.unflatten(2, (GRID, -1)).unflatten(4, (GRID, -1))  # B 3 28 8 28 8
        rows = patches.permute(0, 2, 4, 1, 3, 5).flatten(3)  # B 28 28 192
        projected: Tensor = self.linear(rows).permute(0, 3, 1, 2)  # B 28 28 768 -> B 768 28 28
        return projected


class _LastBlock(nn.Module):
    """timm's last block for the tokens asked for alone: every token is key and value, but few are read.

    Attention is the only place where tokens meet, so that the others need neither a query nor the two layers
    behind: (B, 785, 768) and (B, 784) bool → (T, 768).
    """

    def __init__(self, block: Any) -> None:
        super().__init__()
        self.block = block

    def forward(self, x: Tensor, needed: Tensor) -> Tensor:
        """Frame after frame: their numbers of tokens differ."""
        block = self.block
        B, T = x.shape[:2]
        qkv = block.attn.qkv(block.norm1(x)).view(B, T, 3, block.attn.num_heads, -1)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)  # B T 3 H c -> 3 B H T c
        attended = [
            F.scaled_dot_product_attention(q[i : i + 1, :, 1:][:, :, needed[i]], k[i : i + 1], v[i : i + 1])
            for i in range(B)
        ]
        rows = [frame[0].transpose(0, 1).flatten(1) for frame in attended]  # 1 H t c -> t C
        y = x[:, 1:][needed] + block.attn.proj(torch.cat(rows))
        out: Tensor = y + block.mlp(block.norm2(y))
        return out


def load_image_encoder(
    path: Path,
    blocks: int,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
) -> ImageEncoder:
    """Build the encoder with its first `blocks` blocks, from the published DINO file or its safetensors twin.

    Blocks after the last kept one are neither built nor read. Nothing is downloaded. The blocks' products are
    computed in `dtype`. Raises `WeightsError`.
    """
    state = read_state_dict(path)
    vit = _architecture(blocks)
    own = vit.state_dict()
    require_shapes(path, state, {key: tuple(value.shape) for key, value in own.items()})
    vit.load_state_dict({key: state[key].to(device, torch.float32) for key in own}, assign=True)
    state.clear()  # each layer's numbers go when the encoder has its own
    return freeze(ImageEncoder(vit).to(device), dtype)


def published_shapes(blocks: int) -> dict[str, tuple[int, ...]]:
    """Keys and shapes of the published file, as far as `blocks` blocks need it."""
    return {key: tuple(value.shape) for key, value in _architecture(blocks).state_dict().items()}


def _architecture(blocks: int) -> Any:
    """timm's model with shapes only; the numbers come from the file."""
    make_torchvision_importable()
    import timm

    with torch.device("meta"):
        return timm.create_model(_ARCHITECTURE, pretrained=False, num_classes=0, depth=blocks)
