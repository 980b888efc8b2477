"""F_2D of a plain vision transformer (DINO, DINO-v2, CLIP): the final norm on the last kept block's tokens."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from cmfm_worker.cfm.image.encoder import ImageEncoder


class VitEncoder(ImageEncoder):
    """timm's `VisionTransformer` without class and register tokens, with the final norm (docs/method.md, 2D features).

    A model that norms only behind its pooling has no norm for tokens, as in timm's `forward_features`.
    """

    def __init__(self, vit: Any) -> None:
        super().__init__(vit, int(vit.embed_dim))
        # timm runs all blocks but the last, and without its norm returns their tokens.
        *blocks, last = vit.blocks
        self.last_block = (_PlainLastBlock if is_plain(last) else _LastBlock)(last, self.prefix)
        self.norm = vit.norm
        vit.blocks, vit.norm = nn.Sequential(*blocks), nn.Identity()

    def forward(self, rgb: Tensor, needed: Tensor | None = None) -> Tensor:
        """Tokens (T, width) of the last kept block; with `needed` only those, the same numbers in less time."""
        x = self.vit.forward_features(self.normalised(rgb))
        kept = self.last_block.every(x) if needed is None else self.last_block(x, needed)
        tokens: Tensor = self.norm(kept)
        return tokens


class _LastBlock(nn.Module):
    """The last block and its tokens behind the prefix: (B, prefix + g², C) and (B, g²) bool → (T, C)."""

    def __init__(self, block: Any, prefix: int) -> None:
        super().__init__()
        self.block = block
        self.prefix = prefix

    def every(self, x: Tensor) -> Tensor:
        """All of them."""
        tokens: Tensor = self.block(x)[:, self.prefix :].flatten(0, 1)
        return tokens

    def forward(self, x: Tensor, needed: Tensor) -> Tensor:
        """Those asked for, out of all."""
        return self.every(x)[needed.flatten()]


class _PlainLastBlock(_LastBlock):
    """timm's last block for the tokens asked for alone: every token is key and value, but few are read.

    Attention is the only place where tokens meet, so that the others need neither a query nor the two layers behind.
    """

    def forward(self, x: Tensor, needed: Tensor) -> Tensor:
        """Frame after frame: their numbers of tokens differ."""
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
    """Whether a block's attention is without norms and gates of its own."""
    norms = (getattr(block.attn, name, None) for name in ("q_norm", "k_norm", "norm"))
    bare = all(norm is None or isinstance(norm, nn.Identity) for norm in norms)
    return bare and getattr(block.attn, "gate", None) is None
