"""F_3D: the Point-MAE encoder, 1024 tokens a cloud (paper § 3.1, § 3.4; docs/method.md, 3D features)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from cmfm_worker.cfm.fast.frozen_linear import freeze
from cmfm_worker.cfm.points import mini_pointnet
from cmfm_worker.cfm.points.grouping import Groups
from cmfm_worker.cfm.points.mini_pointnet import TOKEN_WIDTH, MiniPointNet
from cmfm_worker.cfm.weights import read_state_dict, require_shapes

HEADS = 6

TAPS: Mapping[int, tuple[int, ...]] = {12: (4, 8, 12), 8: (2, 5, 8), 4: (2, 3, 4), 1: (1,)}
"""Kept blocks → the tapped blocks, counted from 1. Their normalised outputs are a token's feature."""

_PREFIXES = ("module.MAE_encoder.", "MAE_encoder.", "")
"""Prefixes of the encoder's keys: of the published file, of the same without `module.`, of the bare encoder."""


class Attention(nn.Module):
    """Multi-head self-attention without bias on queries, keys and values: (B, T, 384) → (B, T, 384)."""

    def __init__(self) -> None:
        super().__init__()
        self.qkv = nn.Linear(TOKEN_WIDTH, 3 * TOKEN_WIDTH, bias=False)
        self.proj = nn.Linear(TOKEN_WIDTH, TOKEN_WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        """Attend among all tokens of a cloud."""
        B, T, C = x.shape
        qkv = self.qkv(x).view(B, T, 3, HEADS, C // HEADS)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)  # B T 3 H c -> 3 B H T c
        attended = F.scaled_dot_product_attention(q, k, v)
        out: Tensor = self.proj(attended.transpose(1, 2).reshape(B, T, C))
        return out


class Mlp(nn.Module):
    """The two layers of a block, with GELU between them."""

    def __init__(self) -> None:
        super().__init__()
        self.fc1 = nn.Linear(TOKEN_WIDTH, 4 * TOKEN_WIDTH)
        self.act = nn.GELU()
        self.fc2 = nn.Linear(4 * TOKEN_WIDTH, TOKEN_WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        """Apply both layers: (…, 384) → (…, 384)."""
        out: Tensor = self.fc2(self.act(self.fc1(x)))
        return out


class Block(nn.Module):
    """A pre-norm transformer block."""

    def __init__(self) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(TOKEN_WIDTH)
        self.attn = Attention()
        self.norm2 = nn.LayerNorm(TOKEN_WIDTH)
        self.mlp = Mlp()

    def forward(self, x: Tensor) -> Tensor:
        """Apply attention and MLP: (B, T, 384) → (B, T, 384)."""
        x = x + self.attn(self.norm1(x))
        out: Tensor = x + self.mlp(self.norm2(x))
        return out


class PointEncoder(nn.Module):
    """Point-MAE's encoder: groups to tokens (B, 1024, D_3D). A token is its taps after the final LayerNorm."""

    def __init__(self, blocks: int) -> None:
        super().__init__()
        self.taps = TAPS[blocks]
        self.mini_pointnet = MiniPointNet()
        self.pos_embed = nn.Sequential(nn.Linear(3, 128), nn.GELU(), nn.Linear(128, TOKEN_WIDTH))
        self.blocks = nn.ModuleList(Block() for _ in range(blocks))
        self.norm = nn.LayerNorm(TOKEN_WIDTH)

    @property
    def width(self) -> int:
        """Return D_3D: 1152, or 384 with one block only."""
        return TOKEN_WIDTH * len(self.taps)

    def forward(self, groups: Groups) -> Tensor:
        """Compute the tokens in the order of the groups' centres."""
        return self.transform(self.mini_pointnet(groups.offsets.flatten(0, 1)), groups.centres)

    def transform(self, group_tokens: Tensor, centres: Tensor) -> Tensor:
        """Apply the blocks to group tokens (B·1024, 384) at centres (B, 1024, 3): (B, 1024, D_3D)."""
        x = group_tokens.view(*centres.shape[:2], TOKEN_WIDTH)
        position = self.pos_embed(centres)
        tapped = []
        for number, block in enumerate(self.blocks, start=1):
            x = block(x + position)  # the position is added before every block
            if number in self.taps:
                tapped.append(self.norm(x))
        return torch.cat(tapped, dim=-1)


def load_point_encoder(
    path: Path,
    blocks: int,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
    of_groups: torch.dtype | None = None,
) -> PointEncoder:
    """Build the encoder with its first `blocks` blocks from Point-MAE's file or its safetensors twin.

    The products of its hidden layers are computed in `dtype`, those of the mini-PointNet in `of_groups` if given. The
    file's decoder, optimiser and later blocks are ignored. Raises `WeightsError` naming file, key and shapes.
    """
    state = read_state_dict(path)
    prefix = next((p for p in _PREFIXES if f"{p}encoder.first_conv.0.weight" in state), _PREFIXES[0])
    require_shapes(path, state, {prefix + key: shape for key, shape in _own_shapes(blocks).items()})
    with torch.device("meta"):  # shapes only; the numbers come from the file
        encoder = PointEncoder(blocks)
    loaded = {ours: state[prefix + theirs] for ours, theirs in _transformer_keys(encoder).items()}
    pointnet = {key: state[prefix + key] for key in mini_pointnet.published_shapes()}
    loaded |= {f"mini_pointnet.{k}": v for k, v in mini_pointnet.from_published(pointnet).items()}
    encoder.load_state_dict({k: v.to(device, torch.float32) for k, v in loaded.items()}, assign=True)
    # Layers that read metres stay float32: at half a metre, bf16 has steps of 2 mm.
    freeze(encoder.mini_pointnet.of_metres)
    freeze(encoder.pos_embed)
    freeze(encoder.mini_pointnet, dtype if of_groups is None else of_groups)
    return freeze(encoder, dtype)


def published_shapes(blocks: int) -> dict[str, tuple[int, ...]]:
    """Return the published keys and shapes that an encoder of `blocks` blocks needs."""
    return {_PREFIXES[0] + key: shape for key, shape in _own_shapes(blocks).items()}


def _own_shapes(blocks: int) -> dict[str, tuple[int, ...]]:
    """Return the same without the prefix."""
    with torch.device("meta"):
        encoder = PointEncoder(blocks)
    own = encoder.state_dict()
    shapes = {theirs: tuple(own[ours].shape) for ours, theirs in _transformer_keys(encoder).items()}
    return shapes | mini_pointnet.published_shapes()


def _transformer_keys(encoder: PointEncoder) -> dict[str, str]:
    """Return our keys → the published ones."""
    keys = [key for key in encoder.state_dict() if not key.startswith("mini_pointnet.")]
    return {key: key.replace("blocks.", "blocks.blocks.", 1) for key in keys}
