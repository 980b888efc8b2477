"""F_3D: the Point-MAE encoder, 1024 tokens a cloud (paper § 3.1, § 3.4; DESIGN § 5)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from cmfm_worker.cfm.grouping import Groups
from cmfm_worker.cfm.weights import read_state_dict, require_shapes

TOKEN_WIDTH = 384
HEADS = 6

TAPS: Mapping[int, tuple[int, ...]] = {12: (4, 8, 12), 8: (2, 5, 8), 4: (2, 3, 4), 1: (1,)}
"""Kept blocks → the blocks, counted from 1, whose normalised outputs make up a token's feature."""

_LIFTED_WIDTH = 256
_POINTS_AT_ONCE = {"cpu": 1 << 12}
_POINTS_AT_ONCE_ELSEWHERE = 1 << 18
_BATCH_NORM_EPS = 1e-5
_PREFIXES = ("module.MAE_encoder.", "MAE_encoder.", "")
"""What stands before the encoder's keys: published files, the same without `module.`, the bare encoder."""


class MiniPointNet(nn.Module):
    """A group of points becomes one token: (M, G, 3) offsets in metres → (M, 384).

    Two pairs of pointwise layers, a maximum over the group after each. The second pair reads the group's
    maximum beside each point's feature; the half of its weights on the maximum is applied once a group
    (DESIGN § 6.4).
    """

    def __init__(self) -> None:
        super().__init__()
        # A batch norm behind `first` and `second` is folded into them when weights are loaded.
        self.first = nn.Linear(3, 128)
        self.lift = nn.Linear(128, _LIFTED_WIDTH)
        self.second = nn.Linear(2 * _LIFTED_WIDTH, 512)
        self.token = nn.Linear(512, TOKEN_WIDTH)

    def forward(self, offsets: Tensor) -> Tensor:
        """Tokens of all groups, in chunks that stay in the cache on a CPU."""
        points = _POINTS_AT_ONCE.get(offsets.device.type, _POINTS_AT_ONCE_ELSEWHERE)
        chunks = torch.split(offsets, max(1, points // offsets.shape[1]))
        return torch.cat([self._tokens(chunk) for chunk in chunks])

    def _tokens(self, offsets: Tensor) -> Tensor:
        f = self.lift(F.relu(self.first(offsets)))  # M G 3 -> M G 256
        W_global, W_local = torch.split(self.second.weight, _LIFTED_WIDTH, dim=1)
        g = F.linear(f.amax(1), W_global, self.second.bias)  # M 512
        h = F.linear(f, W_local).add_(g[:, None]).relu_()  # M G 512
        tokens: Tensor = self.token(h).amax(1)
        return tokens


class Attention(nn.Module):
    """Multi-head self-attention without a bias on queries, keys and values: (B, T, 384) → (B, T, 384)."""

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
    """The block's two layers with GELU between."""

    def __init__(self) -> None:
        super().__init__()
        self.fc1 = nn.Linear(TOKEN_WIDTH, 4 * TOKEN_WIDTH)
        self.fc2 = nn.Linear(4 * TOKEN_WIDTH, TOKEN_WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        """(…, 384) → (…, 384)."""
        out: Tensor = self.fc2(F.gelu(self.fc1(x)))
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
        """(B, T, 384) → (B, T, 384)."""
        x = x + self.attn(self.norm1(x))
        out: Tensor = x + self.mlp(self.norm2(x))
        return out


class PointEncoder(nn.Module):
    """Groups become tokens (B, 1024, D_3D): the taps, each through the final LayerNorm, side by side."""

    def __init__(self, blocks: int) -> None:
        super().__init__()
        self.taps = TAPS[blocks]
        self.mini_pointnet = MiniPointNet()
        self.pos_embed = nn.Sequential(nn.Linear(3, 128), nn.GELU(), nn.Linear(128, TOKEN_WIDTH))
        self.blocks = nn.ModuleList(Block() for _ in range(blocks))
        self.norm = nn.LayerNorm(TOKEN_WIDTH)

    @property
    def width(self) -> int:
        """D_3D: 1152, or 384 with one block only."""
        return TOKEN_WIDTH * len(self.taps)

    def forward(self, groups: Groups) -> Tensor:
        """Tokens in the order of the groups' centres."""
        B, T = groups.centres.shape[:2]
        x = self.mini_pointnet(groups.offsets.flatten(0, 1)).view(B, T, TOKEN_WIDTH)
        position = self.pos_embed(groups.centres)
        tapped = []
        for number, block in enumerate(self.blocks, start=1):
            x = block(x + position)  # the position is added before every block
            if number in self.taps:
                tapped.append(self.norm(x))
        return torch.cat(tapped, dim=-1)


def load_point_encoder(path: Path, blocks: int) -> PointEncoder:
    """Build the encoder with its first `blocks` blocks from Point-MAE's file or its safetensors twin.

    The file's decoder, optimizer and later blocks are left aside. Raises `WeightsError` naming file, key and
    shapes.
    """
    state = read_state_dict(path)
    prefix = next((p for p in _PREFIXES if f"{p}encoder.first_conv.0.weight" in state), _PREFIXES[0])
    with torch.device("meta"):  # shapes only; the numbers come from the file
        encoder = PointEncoder(blocks)
    kept = {key: key.replace("blocks.", "blocks.blocks.", 1) for key in _transformer_keys(encoder)}
    own = encoder.state_dict()
    expected = {prefix + theirs: tuple(own[ours].shape) for ours, theirs in kept.items()}
    require_shapes(path, state, expected | {prefix + k: s for k, s in _mini_pointnet_shapes().items()})
    loaded = {ours: state[prefix + theirs].float().clone() for ours, theirs in kept.items()}
    loaded |= _fold_mini_pointnet({k: state[prefix + k].float() for k in _mini_pointnet_shapes()})
    encoder.load_state_dict(loaded, assign=True)
    return encoder.eval().requires_grad_(False)


def _transformer_keys(encoder: PointEncoder) -> list[str]:
    return [key for key in encoder.state_dict() if not key.startswith("mini_pointnet.")]


def _mini_pointnet_shapes() -> dict[str, tuple[int, ...]]:
    """Keys of the published file: two pairs of 1×1 convolutions, a batch norm behind each pair's first."""
    shapes: dict[str, tuple[int, ...]] = {}
    for name, widths in (("first_conv", (3, 128, _LIFTED_WIDTH)), ("second_conv", (512, 512, TOKEN_WIDTH))):
        for layer, (wide_in, wide_out) in (("0", widths[:2]), ("3", widths[1:])):
            shapes[f"encoder.{name}.{layer}.weight"] = (wide_out, wide_in, 1)
            shapes[f"encoder.{name}.{layer}.bias"] = (wide_out,)
        for part in ("weight", "bias", "running_mean", "running_var"):
            shapes[f"encoder.{name}.1.{part}"] = (widths[1],)
    return shapes


def _fold_mini_pointnet(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The four layers' weights with each batch norm folded into the layer before it, in float64."""
    folded: dict[str, Tensor] = {}
    for name, (normed, plain) in (("first_conv", ("first", "lift")), ("second_conv", ("second", "token"))):
        own = f"encoder.{name}."
        part = {key.removeprefix(own): value.double() for key, value in state.items() if key.startswith(own)}
        scale = part["1.weight"] / (part["1.running_var"] + _BATCH_NORM_EPS).sqrt()
        shift = part["1.bias"] - scale * part["1.running_mean"]
        folded[f"mini_pointnet.{normed}.weight"] = scale[:, None] * part["0.weight"][..., 0]
        folded[f"mini_pointnet.{normed}.bias"] = scale * part["0.bias"] + shift
        folded[f"mini_pointnet.{plain}.weight"] = part["3.weight"][..., 0]
        folded[f"mini_pointnet.{plain}.bias"] = part["3.bias"]
    return {key: value.float().contiguous() for key, value in folded.items()}
