"""F_2D from a plain vision transformer (DINO, DINO-v2, CLIP): the last kept block's tokens after the final norm."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from cmfm_worker.cfm.image.encoder import ImageEncoder


class VitEncoder(ImageEncoder):
    """timm's `VisionTransformer` without class and register tokens, with the final norm (docs/method.md, 2D features).

    A model whose norm comes after its pooling has no norm for tokens, as in timm's `forward_features`.
    """

    def __init__(self, vit: Any) -> None:
        super().__init__(vit, int(vit.embed_dim))
        # timm runs all blocks except the last and, without its norm, returns their tokens.
        *blocks, last = vit.blocks
        self.last_block = (_PlainLastBlock if is_plain(last) else _LastBlock)(last, self.prefix)
        self.norm = vit.norm
        vit.blocks, vit.norm = nn.Sequential(*blocks), nn.Identity()

    def forward(self, rgb: Tensor, needed: Tensor | None = None) -> Tensor:
        """Compute the tokens (T, width) of the last kept block; with `needed` only those, with the same numbers."""
        x = self.vit.forward_features(self.normalised(rgb))
        kept = self.last_block.every(x) if needed is None else self.last_block(x, needed)
        tokens: Tensor = self.norm(kept)
        return tokens


class _LastBlock(nn.Module):
    """The last block, returning tokens after the prefix: (B, prefix + g², C) and (B, g²) bool → (T, C)."""

    def __init__(self, block: Any, prefix: int) -> None:
        super().__init__()
        self.block = block
        self.prefix = prefix

    def every(self, x: Tensor) -> Tensor:
        """Compute all tokens."""
        tokens: Tensor = self.block(x)[:, self.prefix :].flatten(0, 1)
        return tokens

    def forward(self, x: Tensor, needed: Tensor) -> Tensor:
        """Compute all tokens and return the needed ones."""
        return self.every(x)[needed.flatten()]


class _PlainLastBlock(_LastBlock):
    """timm's last block, computed for the needed tokens only. Every token is a key and a value.

    Tokens interact in the attention only, so the other tokens need neither a query nor the layers after it.
    """

    def forward(self, x: Tensor, needed: Tensor) -> Tensor:
        """Compute the needed tokens, frame by frame because their numbers differ."""
        block, prefix = self.block, self.prefix
        B, T = x.shape[:2]
        qkv = block.attn.qkv(block.norm1(x)).view(B, T, 3, block.attn.num_heads, -1)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)  # B T 3 H c -> 3 B H T c
        attended = [
            F.scaled_dot_product_attention(
                q[i : i + 1, :, prefix:][:, :, needed[i]], k[i : i + 1], v[i : i + 1]
            )
            for i in range(B)
        ]
        rows = [frame[0].transpose(0, 1).flatten(1) for frame in attended]  # 1 H t c -> t C
        y = x[:, prefix:][needed] + block.ls1(block.attn.proj(torch.cat(rows)))
        out: Tensor = y + block.ls2(block.mlp(block.norm2(y)))
        return out


def is_plain(block: Any) -> bool:
    """Return True if a block's attention has neither norms nor gates."""
    norms = (getattr(block.attn, name, None) for name in ("q_norm", "k_norm", "norm"))
    bare = all(norm is None or isinstance(norm, nn.Identity) for norm in norms)
    return bare and getattr(block.attn, "gate", None) is None
