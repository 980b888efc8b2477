"""The mini-PointNet of F_3D: a group of points becomes one token (paper § 3.1; docs/method.md, exact speed)."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

TOKEN_WIDTH = 384

_LIFTED_WIDTH = 256
_BATCH_NORM_EPS = 1e-5
_POINTS_AT_ONCE = {"cpu": 1 << 12}
_MOST_POINTS_ELSEWHERE, _PIECES_ELSEWHERE = 1 << 18, 8
"""Off the CPU too, points are chunked: the hidden layers of one frame at once would exceed the weights in memory."""

Shapes = dict[str, tuple[int, ...]]


class MiniPointNet(nn.Module):
    """One token a group: offsets (M, G, 3) from their centres in metres → (M, 384).

    As published: r = ReLU(W₁x + b₁), f = W₂r + b₂, g = max of f over the group, h = ReLU(W₃[g, f] + b₃), token = max of
    W₄h + b₄ over the group. A batch norm before each ReLU is folded into the layer before it.

    Two rewritings are exact. The half of W₃ that acts on g is applied once a group. For the other half, W₃f = (W₃W₂)r,
    which takes a quarter of the products.
    """

    def __init__(self) -> None:
        super().__init__()
        self.of_metres = nn.Sequential(nn.Linear(3, 128), nn.ReLU())
        self.lift = nn.Linear(128, _LIFTED_WIDTH)
        self.of_group = nn.Linear(_LIFTED_WIDTH, 512)
        self.of_point = nn.Linear(128, 512, bias=False)
        self.token = nn.Linear(512, TOKEN_WIDTH)

    def forward(self, offsets: Tensor) -> Tensor:
        """Compute the tokens of all groups, in chunks that stay in the cache on a CPU."""
        elsewhere = min(offsets[..., 0].numel() // _PIECES_ELSEWHERE, _MOST_POINTS_ELSEWHERE)
        points = _POINTS_AT_ONCE.get(offsets.device.type, elsewhere)
        chunks = torch.split(offsets, max(1, points // offsets.shape[1]))
        return torch.cat([self._tokens(chunk) for chunk in chunks])

    def _tokens(self, offsets: Tensor) -> Tensor:
        r = self.of_metres(offsets)  # M G 3 -> M G 128
        g = self.lift(r).amax(1)  # M 256
        h = self.of_point(r).add_(self.of_group(g)[:, None]).relu_()  # M G 512
        tokens: Tensor = self.token(h).amax(1)
        return tokens.float()


def published_shapes() -> Shapes:
    """Return the published keys and shapes: two pairs of 1×1 convolutions, a batch norm after each pair's first."""
    shapes: Shapes = {}
    for name, widths in (("first_conv", (3, 128, _LIFTED_WIDTH)), ("second_conv", (512, 512, TOKEN_WIDTH))):
        for layer, (wide_in, wide_out) in (("0", widths[:2]), ("3", widths[1:])):
            shapes[f"encoder.{name}.{layer}.weight"] = (wide_out, wide_in, 1)
            shapes[f"encoder.{name}.{layer}.bias"] = (wide_out,)
        for key in ("weight", "bias", "running_mean", "running_var"):
            shapes[f"encoder.{name}.1.{key}"] = (widths[1],)
    return shapes


def from_published(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Make the state of a `MiniPointNet` from the published one, in float64."""
    w = {key.removeprefix("encoder."): value.double() for key, value in state.items()}
    W1, b1 = _without_norm(w, "first_conv")
    W2, b2 = w["first_conv.3.weight"][..., 0], w["first_conv.3.bias"]
    W3, b3 = _without_norm(w, "second_conv")
    W3_group, W3_point = W3.split(_LIFTED_WIDTH, dim=1)
    own = {
        "of_metres.0.weight": W1,
        "of_metres.0.bias": b1,
        "lift.weight": W2,
        "lift.bias": b2,
        "of_group.weight": W3_group,
        "of_group.bias": b3 + W3_point @ b2,
        "of_point.weight": W3_point @ W2,
        "token.weight": w["second_conv.3.weight"][..., 0],
        "token.bias": w["second_conv.3.bias"],
    }
    return {key: value.float().contiguous() for key, value in own.items()}


def _without_norm(w: Mapping[str, Tensor], conv: str) -> tuple[Tensor, Tensor]:
    """Return weight and bias of a pair's first layer, with its batch norm folded in."""
    scale = w[f"{conv}.1.weight"] / (w[f"{conv}.1.running_var"] + _BATCH_NORM_EPS).sqrt()
    shift = w[f"{conv}.1.bias"] - scale * w[f"{conv}.1.running_mean"]
    return scale[:, None] * w[f"{conv}.0.weight"][..., 0], scale * w[f"{conv}.0.bias"] + shift
