"""The mapping networks at the tokens: Eq. 1 with fewer operations, and without approximation.

A mapping predicts Ê = W₃h + b₃ with h = GELU(W₂ GELU(W₁E + b₁) + b₂) (Eq. 1), and Eq. 3 is the distance of E/|E| and
Ê/|Ê|. Both ends of the network are linear, and so is E = ΣₜSₚₜTₜ, the sampling of tokens T at pixel p
(docs/method.md, exact speed).

First layer. W₁E = Σₜ Sₚₜ (W₁Tₜ): the tokens, about 1000, are multiplied in place of the pixels, and the products are
sampled. The bias is added after that, because the weights Sₚₜ of a 3D pixel need not sum to 1.

Last layer. Let W₃ = QR with Q square and orthogonal, R upper triangular. A rotation changes neither lengths nor
angles, so the distance can be taken between QᵀE and QᵀÊ:

    QᵀÊ = Rh + Qᵀb₃        half of R is zero, as are all rows past its rank: 442 to 461 thousand products
                           in place of 737 (3D→2D) and 1106 (2D→3D)
    QᵀE = Σₜ Sₚₜ (QᵀTₜ)    again at the tokens

R is the Cholesky factor of W₃ᵀW₃. Expanding |Ê/|Ê| − E/|E||² into scalar products with it would cost the same but lose
digits: Ψ is small on a good part, and 2 − 2·cos of nearly equal vectors has few correct digits. The difference of the
rotated vectors keeps them all.

The same holds for any number of layers in between (`MlpEncoderDecoder`), and for networks that predict a modality from
itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from cmfm_worker.cfm.fast.frozen_linear import FrozenLinear
from cmfm_worker.cfm.mapping.networks import PixelwiseNetwork
from cmfm_worker.cfm.mapping.token_sampling import rows_at_once
from cmfm_worker.cfm.token_features import TokenFeatures
from cmfm_worker.cfm.variants import Modality

_PIXELS_AT_ONCE = {"cpu": 1 << 10}
"""Rows that pass the networks together. On a CPU, as many as fit its cache."""

_BLOCK_ROWS = 192
"""Rows of R that are multiplied together: few enough to skip most zeros, enough for a fast product."""


class RotatedChunk(NamedTuple):
    """Observed and predicted features (P, D) of some pixels. Each pair is turned by the same rotation."""

    E_2D: Tensor
    E_2D_hat: Tensor
    E_3D: Tensor
    E_3D_hat: Tensor


class TokenMapping:
    """Both networks of a recipe, `to_3d` and `to_2d`, prepared for tokens.

    Their weights are copied, so later changes of the networks have no effect. `dtype` is that of the products at the
    pixels; products at the tokens stay float32. `modality` is that of the pair.
    """

    def __init__(
        self,
        to_3d: PixelwiseNetwork,
        to_2d: PixelwiseNetwork,
        dtype: torch.dtype = torch.float32,
        modality: Modality = "cross",
    ) -> None:
        self._to_3d, self._to_2d = _TurnedMapping(to_3d, dtype), _TurnedMapping(to_2d, dtype)
        self._crossed = modality == "cross"

    def chunks(self, features: TokenFeatures) -> Iterator[RotatedChunk]:
        """Yield observed and predicted features (Eq. 1) of the mask's pixels, in chunks."""
        image, points = features.image, features.points
        to_3d_from, to_2d_from = (image, points) if self._crossed else (points, image)
        inner_3d, inner_2d = self._to_3d.first(to_3d_from.tokens), self._to_2d.first(to_2d_from.tokens)
        turned_2d, turned_3d = self._to_2d.rotation(image.tokens), self._to_3d.rotation(points.tokens)
        counts = _chunk_sizes(len(image.sampling), features.mask.device)
        pieces = zip(image.sampling.split(counts), points.sampling.split(counts), strict=True)
        for S_2D, S_3D in pieces:
            S_to_3D, S_to_2D = (S_2D, S_3D) if self._crossed else (S_3D, S_2D)
            yield RotatedChunk(
                E_2D=S_2D(turned_2d),
                E_2D_hat=self._to_2d(S_to_2D(inner_2d)),
                E_3D=S_3D(turned_3d),
                E_3D_hat=self._to_3d(S_to_3D(inner_3d)),
            )


class _TurnedMapping:
    """One network with its first layer split off (`first`) and its output turned by Qᵀ (`rotation`)."""

    def __init__(self, network: PixelwiseNetwork, dtype: torch.dtype) -> None:
        W3, b3 = network.output.weight.detach(), network.output.bias.detach()
        Q, R = torch.linalg.qr(W3.double().cpu(), mode="complete")
        turned_b3 = (Q.T @ b3.double().cpu()).float().to(W3.device)
        self.first = FrozenLinear(network.input.weight)
        self.rotation = FrozenLinear(Q.T.float().to(W3.device))
        self._b1 = network.input.bias.detach().clone()
        self._middle = [FrozenLinear(layer.weight, layer.bias, "gelu", dtype) for layer in network.middle]
        self._output = _TriangularLinear(R.float().to(W3.device), turned_b3, dtype)

    def __call__(self, W1E: Tensor) -> Tensor:
        """Compute QᵀÊ (P, D_out) float32 from the sampled products W₁E (P, H)."""
        h = F.gelu(W1E + self._b1)
        for layer in self._middle:
            h = layer(h)
        return self._output(h)


class _TriangularLinear:
    """The layer h → Rh + b, (P, H) → (P, D), with upper triangular R (D, H): in blocks of rows from the diagonal on."""

    def __init__(self, R: Tensor, b: Tensor, dtype: torch.dtype) -> None:
        rank = min(R.shape)
        ends = [*range(0, rank, _BLOCK_ROWS), rank]
        self._blocks = [(i, FrozenLinear(R[i:j, i:], b[i:j], dtype=dtype)) for i, j in pairwise(ends)]
        self._below = b[rank:]  # the last rows of R are zero if it is taller than wide

    def __call__(self, h: Tensor) -> Tensor:
        blocks = [linear(h[:, i:]).float() for i, linear in self._blocks]
        return torch.cat([*blocks, self._below.expand(len(h), -1)], dim=1)


def _chunk_sizes(pixels: int, device: torch.device) -> list[int]:
    size = _PIXELS_AT_ONCE.get(device.type, rows_at_once(pixels))
    return [min(size, pixels - first) for first in range(0, pixels, size)]
