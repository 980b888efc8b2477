"""From tokens to pixels (paper § 3.1, DESIGN § 5): every pixel's feature is a weighted sum of a few tokens.

2D: bilinear upsampling of the 28×28 grid. 3D: three nearest centres at every foreground point, scattered to
the image with zeros elsewhere, a 3×3 mean without padding (222×222), adaptive averages back to 224×224. All
steps are linear: each modality composes to one sparse matrix, pixels × tokens; no dense feature map is made.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor
from torch.nn import functional as F

from cmfm_worker.cfm.image_features import GRID
from cmfm_worker.cfm.prepare import SIZE_PX

_MEAN_PX = 3
_AVERAGED_PX = SIZE_PX - _MEAN_PX + 1
_WEIGHT_EPS_M2 = 1e-8


@dataclass(frozen=True)
class TokenSampling:
    """A sparse matrix (P pixels × tokens of the whole batch) in compressed rows.

    Row p holds the entries `starts[p]` up to the next row's start of `token` (int64) and `weight` (float32).
    """

    token: Tensor
    weight: Tensor
    starts: Tensor

    def __call__(self, tokens: Tensor) -> Tensor:
        """Sample (T, C) tokens at the pixels: (P, C)."""
        if len(self.starts) == 0:
            return tokens.new_empty((0, tokens.shape[1]))
        sampled: Tensor = F.embedding_bag(
            self.token, tokens, self.starts, mode="sum", per_sample_weights=self.weight.to(tokens.dtype)
        )
        return sampled


def bilinear_sampling(mask: Tensor) -> TokenSampling:
    """Bilinear upsampling (align_corners=False) of each frame's 28×28 tokens at `mask` (B, 224, 224) only."""
    frame, row, column = mask.nonzero(as_tuple=True)
    low, high, fraction = _bilinear_axis(mask.device)
    above, below, v = low[row], high[row], fraction[row]
    left, right, u = low[column], high[column], fraction[column]
    corner = torch.stack(
        [above * GRID + left, above * GRID + right, below * GRID + left, below * GRID + right], dim=1
    )
    weight = torch.stack([(1 - v) * (1 - u), (1 - v) * u, v * (1 - u), v * u], dim=1)
    token = frame[:, None] * GRID**2 + corner
    starts = torch.arange(0, 4 * len(frame), 4, device=mask.device)
    return TokenSampling(token.flatten(), weight.flatten(), starts)


def _bilinear_axis(device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """For each of 224 pixels: the token below, the token above, and how far towards the latter it lies."""
    position = (torch.arange(SIZE_PX, device=device) + 0.5) * (GRID / SIZE_PX) - 0.5
    position = position.clamp(min=0)
    low = position.long()
    return low, (low + 1).clamp(max=GRID - 1), position - low


def point_mask(foreground: Tensor) -> Tensor:
    """The pixels whose 3D feature is not all zero, (B, 224, 224) bool: a little wider than the foreground."""
    reach = (_mean_and_resize().to(foreground.device) > 0).float()
    return (reach @ foreground.float() @ reach.T) > 0


def inverse_distance_weights(d2: Tensor) -> Tensor:
    """Weights 1/(d² + 1e-8), normalised, of the three nearest centres: squared metres (N, 3) → (N, 3)."""
    inverse = 1 / (d2 + _WEIGHT_EPS_M2)
    return inverse / inverse.sum(1, keepdim=True)


def point_sampling(
    mask: Tensor, foreground: Tensor, token: Tensor, weight: Tensor, tokens: int
) -> TokenSampling:
    """Compose the interpolation at the points with scatter, 3×3 mean and resize, at `mask` only.

    `token` (N, 3) int64 and `weight` (N, 3) float32 belong to the N foreground points, in the order of
    `foreground.nonzero()`; tokens are numbered through the whole batch and there are `tokens` of them.
    """
    pixel, point, share = _points_at_pixels(mask, foreground)
    rows = pixel[:, None].expand(-1, token.shape[1])
    index = torch.stack([rows.flatten(), token[point].flatten()])
    values = (share[:, None] * weight[point]).flatten()
    count = int(mask.sum())
    # Neighbouring points share their centres: of 48 entries a pixel about 7 are left.
    merged = torch.sparse_coo_tensor(index, values, (count, tokens), check_invariants=False).coalesce()
    rows, columns = merged.indices()
    starts = torch.searchsorted(rows.contiguous(), torch.arange(count, device=rows.device))
    return TokenSampling(columns.contiguous(), merged.values(), starts)


def _points_at_pixels(mask: Tensor, foreground: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """What scatter, mean and resize take from which point: (pixel of the mask, point, share), each (E,)."""
    first, share = _smoothing_taps(mask.device)
    frame, row, column = mask.nonzero(as_tuple=True)
    taps = torch.arange(share.shape[1], device=mask.device)
    source_row = (first[row, None] + taps).clamp(max=SIZE_PX - 1)[:, :, None]  # P 4 1
    source_column = (first[column, None] + taps).clamp(max=SIZE_PX - 1)[:, None]  # P 1 4
    shares = share[row][:, :, None] * share[column][:, None]  # P 4 4
    source = (frame[:, None, None] * SIZE_PX + source_row) * SIZE_PX + source_column
    inside = foreground.flatten()
    pixel, i, j = (inside[source] & (shares > 0)).nonzero(as_tuple=True)
    number = inside.cumsum(0) - 1  # of the point at each foreground pixel
    return pixel, number[source[pixel, i, j]], shares[pixel, i, j]


def _smoothing_taps(device: torch.device) -> tuple[Tensor, Tensor]:
    """One axis of mean and resize: first source pixel (224,), shares of it and those after it (224, 4)."""
    matrix = _mean_and_resize()
    first = (matrix > 0).int().argmax(1)
    width = int((matrix > 0).sum(1).max())
    index = first[:, None] + torch.arange(width)
    share = matrix.gather(1, index.clamp(max=SIZE_PX - 1)) * (index < SIZE_PX)
    return first.to(device), share.to(device)


@cache
def _mean_and_resize() -> Tensor:
    """One axis of the 3-pixel mean without padding and the adaptive average back: (224, 224) float32.

    Both are separable, so the image operator is this matrix from the left and its transpose from the right.
    """
    mean = torch.zeros(_AVERAGED_PX, SIZE_PX)
    for i in range(_AVERAGED_PX):
        mean[i, i : i + _MEAN_PX] = 1 / _MEAN_PX
    resize = torch.zeros(SIZE_PX, _AVERAGED_PX)
    for i in range(SIZE_PX):
        start, end = i * _AVERAGED_PX // SIZE_PX, -(-(i + 1) * _AVERAGED_PX // SIZE_PX)
        resize[i, start:end] = 1 / (end - start)
    return resize @ mean
