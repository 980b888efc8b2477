"""The literal twin: the method as the paper describes it, with dense maps, full sorts, one frame at a time.

It shares nothing with the fast path, so that no mistake can hide in both. Every test of exactness and every ratio
that the benchmark prints compares with it. Weights are the published files' tensors under their own keys.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

SIZE = 224
PATCH = 8
CENTRES = 1024
TAPS = {12: (4, 8, 12), 8: (2, 5, 8), 4: (2, 3, 4), 1: (1,)}

State = Mapping[str, Tensor]


@dataclass(frozen=True)
class Weights:
    """State dicts: DINO, Point-MAE's encoder without its prefix, and the two mapping networks."""

    dino: State
    point_mae: State
    map_2d3d: State
    map_3d2d: State


@dataclass(frozen=True)
class LiteralMaps:
    """E_2D (224, 224, 768), E_3D (224, 224, D_3D), the three maps (224, 224) and the published score."""

    e2d: Tensor
    e3d: Tensor
    psi_2d: Tensor
    psi_3d: Tensor
    psi: Tensor
    score: float


@torch.no_grad()
def run(rgb: Tensor, xyz: Tensor, weights: Weights, *, blocks: int, group_size: int) -> LiteralMaps:
    """Run one frame: `rgb` (224, 224, 3) uint8 and `xyz` (224, 224, 3) float32 metres, with the background at 0."""
    E_2D = features_2d(rgb, weights.dino, blocks)
    E_3D = features_3d(xyz, weights.point_mae, blocks, group_size)
    masked = (E_3D == 0).all(-1)
    E_3D_hat = mlp(E_2D, weights.map_2d3d)  # Eq. 1
    E_2D_hat = mlp(E_3D, weights.map_3d2d)
    psi_2d = discrepancy(E_2D, E_2D_hat).masked_fill(masked, 0)  # Eq. 3
    psi_3d = discrepancy(E_3D, E_3D_hat).masked_fill(masked, 0)
    psi = smooth(psi_2d * psi_3d)
    score = float((psi / psi[psi != 0].mean().sqrt()).max())
    return LiteralMaps(E_2D, E_3D, psi_2d, psi_3d, psi, score)


# --- § 3.1, 2D


def features_2d(rgb: Tensor, w: State, blocks: int) -> Tensor:
    """E_2D: DINO's tokens after the last kept block, bilinearly upsampled."""
    image = rgb.permute(2, 0, 1)[None].float() / 255  # H W C -> 1 C H W
    mean = torch.tensor([0.485, 0.456, 0.406])[:, None, None]
    std = torch.tensor([0.229, 0.224, 0.225])[:, None, None]
    patches = F.conv2d((image - mean) / std, w["patch_embed.proj.weight"], w["patch_embed.proj.bias"], PATCH)
    x = torch.cat([w["cls_token"], patches.flatten(2).transpose(1, 2)], 1) + w["pos_embed"]
    for i in range(blocks):
        x = block(x, w, f"blocks.{i}.", heads=12, eps=1e-6)
    x = norm(x, w, "norm.", 1e-6)[:, 1:]
    side = SIZE // PATCH
    grid = x.transpose(1, 2).reshape(1, -1, side, side)
    dense = F.interpolate(grid, size=(SIZE, SIZE), mode="bilinear", align_corners=False)
    return dense[0].permute(1, 2, 0)  # C H W -> H W C


def norm(x: Tensor, w: State, key: str, eps: float) -> Tensor:
    """LayerNorm under a key."""
    return F.layer_norm(x, x.shape[-1:], w[f"{key}weight"], w[f"{key}bias"], eps)


def linear(x: Tensor, w: State, key: str) -> Tensor:
    """A linear layer under a key, with its bias if it has one."""
    return F.linear(x, w[f"{key}weight"], w.get(f"{key}bias"))


def block(x: Tensor, w: State, key: str, *, heads: int, eps: float) -> Tensor:
    """A pre-norm transformer block with the attention matrix written out."""
    y = linear(norm(x, w, f"{key}norm1.", eps), w, f"{key}attn.qkv.")
    B, T, C = x.shape
    q, k, v = y.reshape(B, T, 3, heads, C // heads).permute(2, 0, 3, 1, 4)
    attention = (q @ k.transpose(-1, -2) / (C // heads) ** 0.5).softmax(-1)
    x = x + linear((attention @ v).transpose(1, 2).reshape(B, T, C), w, f"{key}attn.proj.")
    hidden = F.gelu(linear(norm(x, w, f"{key}norm2.", eps), w, f"{key}mlp.fc1."))
    return x + linear(hidden, w, f"{key}mlp.fc2.")


# --- § 3.1, 3D


def features_3d(xyz: Tensor, w: State, blocks: int, group_size: int) -> Tensor:
    """E_3D: Point-MAE's tokens interpolated at every point, scattered to the image, smoothed."""
    valid = xyz.isfinite().all(-1) & (xyz != 0).any(-1)
    points = xyz[valid]
    centres = points[farthest_points(points, CENTRES)]
    nearest = squared_distances(centres, points).sort(dim=1).indices[:, :group_size]
    groups = points[nearest] - centres[:, None]
    tokens = point_mae(groups, centres, w, blocks)
    E_3D = torch.zeros(SIZE, SIZE, tokens.shape[1])
    E_3D[valid] = interpolate(points, centres, tokens)
    smoothed = F.avg_pool2d(E_3D.permute(2, 0, 1)[None], 3, stride=1)
    return F.adaptive_avg_pool2d(smoothed, (SIZE, SIZE))[0].permute(1, 2, 0)


def squared_distances(a: Tensor, b: Tensor) -> Tensor:
    """Squared distances of (A, 3) and (B, 3): (A, B)."""
    return ((a[:, None] - b[None]) ** 2).sum(-1)


def farthest_points(points: Tensor, count: int) -> Tensor:
    """From the first point on, always the point farthest from all chosen ones."""
    chosen = [0]
    nearest = torch.full((len(points),), torch.inf)
    while len(chosen) < count:
        nearest = torch.minimum(nearest, squared_distances(points[chosen[-1:]], points)[0])
        chosen.append(int(nearest.argmax()))
    return torch.tensor(chosen)


def mini_pointnet(groups: Tensor, w: State) -> Tensor:
    """(M, G, 3) → (M, 384), with every layer at every point and unfolded batch norms."""
    x = groups.transpose(1, 2)  # M 3 G
    f = pointwise(
        F.relu(batch_norm(pointwise(x, w, "first_conv.0."), w, "first_conv.1.")), w, "first_conv.3."
    )
    both = torch.cat([f.amax(2, keepdim=True).expand_as(f), f], 1)  # M 512 G
    h = F.relu(batch_norm(pointwise(both, w, "second_conv.0."), w, "second_conv.1."))
    return pointwise(h, w, "second_conv.3.").amax(2)


def pointwise(x: Tensor, w: State, key: str) -> Tensor:
    """A 1×1 convolution under a key."""
    return F.conv1d(x, w[f"encoder.{key}weight"], w[f"encoder.{key}bias"])


def batch_norm(x: Tensor, w: State, key: str) -> Tensor:
    """Batch norm with the statistics of training."""
    mean, var, weight, bias = (
        w[f"encoder.{key}{k}"] for k in ("running_mean", "running_var", "weight", "bias")
    )
    return F.batch_norm(x, mean, var, weight, bias)


def point_mae(groups: Tensor, centres: Tensor, w: State, blocks: int) -> Tensor:
    """(1024, G, 3) and (1024, 3) → (1024, D_3D)."""
    x = mini_pointnet(groups, w)[None]
    position = linear(F.gelu(linear(centres, w, "pos_embed.0.")), w, "pos_embed.2.")[None]
    taps = []
    for i in range(blocks):
        x = block(x + position, w, f"blocks.blocks.{i}.", heads=6, eps=1e-5)
        if i + 1 in TAPS[blocks]:
            taps.append(norm(x, w, "norm.", 1e-5))
    return torch.cat(taps, -1)[0]


def interpolate(points: Tensor, centres: Tensor, tokens: Tensor) -> Tensor:
    """E'_3D: the tokens of the three nearest centres, weighted by inverse squared distance."""
    found = squared_distances(points, centres).sort(dim=1)
    inverse = 1 / (found.values[:, :3] + 1e-8)
    weight = inverse / inverse.sum(1, keepdim=True)
    return (tokens[found.indices[:, :3]] * weight[..., None]).sum(1)


# --- § 3.2 and 3.3


def mlp(features: Tensor, w: State) -> Tensor:
    """A mapping network at every pixel of a dense map."""
    h = F.gelu(linear(features, w, "input."))
    return linear(F.gelu(linear(h, w, "projection.")), w, "output.")


def discrepancy(observed: Tensor, predicted: Tensor) -> Tensor:
    """Euclidean distance of the ℓ2-normalised features at every pixel."""
    return (F.normalize(observed, dim=-1) - F.normalize(predicted, dim=-1)).square().sum(-1).sqrt()


def smooth(psi: Tensor) -> Tensor:
    """The Gaussian of σ = 4 as box means: five of 5×5, three of 7×7."""
    x = psi[None, None]
    for side in (5, 5, 5, 5, 5, 7, 7, 7):
        x = F.conv2d(x, torch.full((1, 1, side, side), 1 / side**2), padding=side // 2)
    return x[0, 0]
