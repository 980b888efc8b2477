"""From tokens to pixels (paper § 3.1, DESIGN § 5): every pixel's feature is a weighted sum of a few tokens.

2D: bilinear upsampling of the grid of tokens (28×28 for DINO). 3D: three nearest centres at every foreground
point, scattered to the image with zeros elsewhere, a 3×3 mean without padding (222×222), adaptive averages back to
224×224. All steps are linear: each modality composes to one sparse matrix, pixels × tokens; no dense feature map is
made.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import accumulate, pairwise

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

    def __len__(self) -> int:
        return len(self.starts)

    def __call__(self, tokens: Tensor) -> Tensor:
        """Sample (T, C) tokens at the pixels: (P, C)."""
        if len(self) == 0:
            return tokens.new_empty((0, tokens.shape[1]))
        sampled: Tensor = F.embedding_bag(
            self.token, tokens, self.starts, mode="sum", per_sample_weights=self.weight.to(tokens.dtype)
        )
        return sampled

    def split(self, counts: Sequence[int]) -> Iterator[TokenSampling]:
        """Rows in pieces of so many, which add up to P. Waits for the device."""
        rows = [0, *accumulate(counts)]
        entries = F.pad(self.starts, (0, 1), value=len(self.token))[rows].tolist()
        for (row, next_row), (first, end) in zip(pairwise(rows), pairwise(entries), strict=True):
            starts = self.starts[row:next_row] - first
            yield TokenSampling(self.token[first:end], self.weight[first:end], starts)

    def used(self, tokens: int) -> Tensor:
        """Which of all `tokens` tokens any pixel takes from: (tokens,) bool."""
        used = torch.zeros(tokens, dtype=torch.bool, device=self.token.device)
        used[self.token] = True
        return used

    def of_used(self, used: Tensor) -> TokenSampling:
        """The same pixels from the `used` tokens alone, which are numbered anew in their order."""
        return TokenSampling((used.cumsum(0) - 1)[self.token], self.weight, self.starts)

    @staticmethod
    def join(pieces: Sequence[TokenSampling]) -> TokenSampling:
        """Rows one after another; tokens keep their numbers."""
        firsts = accumulate((len(piece.token) for piece in pieces), initial=0)
        starts = [piece.starts + first for piece, first in zip(pieces, firsts, strict=False)]
        return TokenSampling(
            torch.cat([p.token for p in pieces]), torch.cat([p.weight for p in pieces]), torch.cat(starts)
        )


def bilinear_sampling(mask: Tensor, grid: int = GRID) -> TokenSampling:
    """Bilinear upsampling (align_corners=False) of each frame's grid×grid tokens at `mask` (B, 224, 224) only."""
    frame, row, column = mask.nonzero(as_tuple=True)
    low, high, fraction = _bilinear_axis(grid, mask.device)
    above, below, v = low[row], high[row], fraction[row]
    left, right, u = low[column], high[column], fraction[column]
    corner = torch.stack(
        [above * grid + left, above * grid + right, below * grid + left, below * grid + right], dim=1
    )
    weight = torch.stack([(1 - v) * (1 - u), (1 - v) * u, v * (1 - u), v * u], dim=1)
    token = frame[:, None] * grid**2 + corner
    starts = torch.arange(0, 4 * len(frame), 4, device=mask.device)
    return TokenSampling(token.flatten(), weight.flatten(), starts)


def _bilinear_axis(grid: int, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """For each of 224 pixels: the token below, the token above, and how far towards the latter it lies."""
    position = (torch.arange(SIZE_PX, device=device) + 0.5) * (grid / SIZE_PX) - 0.5
    position = position.clamp(min=0)
    low = position.long()
    return low, (low + 1).clamp(max=grid - 1), position - low


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
    pixels = int(mask.sum())
    # Neighbouring points share their centres: of 48 entries a pixel about 7 are left.
    if mask.device.type == "cpu":
        try:
            return _product_on_cpu(pixel, point, share, token, weight, (pixels, tokens))
        except ImportError:  # the method also runs with torch alone
            pass
    return _product(pixel, point, share, token, weight, (pixels, tokens))


def _product(
    pixel: Tensor, point: Tensor, share: Tensor, token: Tensor, weight: Tensor, size: tuple[int, int]
) -> TokenSampling:
    """(pixels × points) times (points × tokens): all products, those of equal place summed."""
    rows = pixel[:, None].expand(-1, token.shape[1])
    index = torch.stack([rows.flatten(), token[point].flatten()])
    values = (share[:, None] * weight[point]).flatten()
    merged = torch.sparse_coo_tensor(index, values, size, check_invariants=False).coalesce()
    rows, columns = merged.indices()
    starts = torch.searchsorted(rows.contiguous(), torch.arange(size[0], device=rows.device))
    return TokenSampling(columns.contiguous(), merged.values(), starts)


def _product_on_cpu(
    pixel: Tensor, point: Tensor, share: Tensor, token: Tensor, weight: Tensor, size: tuple[int, int]
) -> TokenSampling:
    """The same without sorting, a tenth of the time."""
    from scipy.sparse import csr_array

    ends = torch.bincount(pixel, minlength=size[0]).cumsum(0)
    rows = F.pad(ends, (1, 0)).numpy()
    smoothing = csr_array((share.numpy(), point.numpy(), rows), shape=(size[0], len(token)))
    columns = torch.arange(0, token.numel() + 1, token.shape[1]).numpy()
    interpolation = csr_array(
        (weight.flatten().numpy(), token.flatten().numpy(), columns), shape=(len(token), size[1])
    )
    product = smoothing @ interpolation
    return TokenSampling(
        torch.from_numpy(product.indices).long(),
        torch.from_numpy(product.data),
        torch.from_numpy(product.indptr[:-1]).long(),
    )


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
