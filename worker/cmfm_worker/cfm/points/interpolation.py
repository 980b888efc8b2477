"""From tokens to pixels (paper § 3.1; docs/method.md): every pixel's feature is a weighted sum of a few tokens.

2D: the grid of tokens (28×28 for DINO) is upsampled bilinearly. 3D: every foreground point takes from its three nearest
centres; the result is scattered to the image with zeros elsewhere, and passes a 3×3 mean without padding (222×222) and
adaptive averages back to 224×224. All steps are linear, so each modality is one sparse matrix, pixels × tokens. A dense
feature map is never built.
"""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor
from torch.nn import functional as F

from cmfm_worker.cfm.fast.mask_indices import indices_of_true
from cmfm_worker.cfm.fast.merged_rows import MergedRows
from cmfm_worker.cfm.image.features import GRID
from cmfm_worker.cfm.mapping.token_sampling import (
    ComposedSampling,
    PendingSampling,
    TokenSampling,
    known_rows,
)
from cmfm_worker.cfm.prepare import SIZE_PX

_MEAN_PX = 3
_AVERAGED_PX = SIZE_PX - _MEAN_PX + 1
_WEIGHT_EPS_M2 = 1e-8


def bilinear_sampling(mask: Tensor, grid: int = GRID, pixels: int | None = None) -> TokenSampling:
    """Build the bilinear upsampling (align_corners=False) of grid×grid tokens, at the pixels of `mask` (B, 224, 224).

    `pixels` is the number of pixels in the mask. Without it, this waits for the device.
    """
    frame, row, column = _pixels_of(mask, pixels)
    low, high, fraction = _bilinear_axis(grid, mask.device)
    above, below, v = low[row], high[row], fraction[row]
    left, right, u = low[column], high[column], fraction[column]
    corner = torch.stack(
        [above * grid + left, above * grid + right, below * grid + left, below * grid + right], dim=1
    )
    weight = torch.stack([(1 - v) * (1 - u), (1 - v) * u, v * (1 - u), v * u], dim=1)
    token = frame[:, None] * grid**2 + corner
    starts = torch.arange(0, 4 * len(frame), 4, device=mask.device)
    known = {row: 4 * row for row in known_rows(len(frame))}
    return TokenSampling(token.flatten(), weight.flatten(), starts, known)


def _pixels_of(mask: Tensor, pixels: int | None) -> tuple[Tensor, Tensor, Tensor]:
    """Return frame, row and column of each pixel of a mask, in the order of `nonzero`."""
    if pixels is None:
        frame, row, column = mask.nonzero(as_tuple=True)
        return frame, row, column
    index = indices_of_true(mask, pixels)
    height, width = mask.shape[1:]
    return index // (height * width), index // width % height, index % width


def _bilinear_axis(grid: int, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """Return for 224 pixels of an axis the token before, the token after, and the fraction between them."""
    position = (torch.arange(SIZE_PX, device=device) + 0.5) * (grid / SIZE_PX) - 0.5
    position = position.clamp(min=0)
    low = position.long()
    return low, (low + 1).clamp(max=grid - 1), position - low


def point_mask(foreground: Tensor) -> Tensor:
    """Return the pixels whose 3D feature is not all zero: (B, 224, 224) bool, slightly wider than the foreground."""
    reach = _reach(foreground.device)
    return (reach @ foreground.float() @ reach.T) > 0


def inverse_distance_weights(d2: Tensor) -> Tensor:
    """Compute the normalised weights 1/(d² + 1e-8) of the three nearest centres: squared metres (N, 3) → (N, 3)."""
    inverse = 1 / (d2 + _WEIGHT_EPS_M2)
    return inverse / inverse.sum(1, keepdim=True)


def begin_point_sampling(
    mask: Tensor,
    foreground: Tensor,
    token: Tensor,
    weight: Tensor,
    tokens: int,
    pixels: int | None = None,
) -> PendingSampling:
    """Begin to compose the interpolation at the points with scatter, 3×3 mean and resize, at the pixels of `mask`.

    `token` (N, 3) int64 and `weight` (N, 3) float32 belong to the N foreground points, in the order of
    `foreground.nonzero()`. Tokens are numbered through the whole batch, from 0 to `tokens` - 1. `pixels` is the
    number of pixels in the mask. Without it, this waits for the device.
    """
    at = _pixels_of(mask, pixels)
    # Neighbouring points share their centres: of 48 entries a pixel about 7 are left.
    if mask.device.type == "cpu":
        try:
            return ComposedSampling(_product_on_cpu(at, foreground, token, weight, tokens))
        except ImportError:  # the method also runs with torch alone
            pass
    return MergedRows(*_entries_of_rows(at, foreground, token, weight, tokens), tokens)


def _product_on_cpu(
    at: tuple[Tensor, Tensor, Tensor], foreground: Tensor, token: Tensor, weight: Tensor, tokens: int
) -> TokenSampling:
    """Multiply (pixels × points) by (points × tokens). It needs no sorting, which takes a tenth of the time."""
    from scipy.sparse import csr_array

    pixels = len(at[0])
    source, shares = _sources_of_pixels(at, foreground.device)
    inside = foreground.flatten()
    pixel, i, j = (inside[source] & (shares > 0)).nonzero(as_tuple=True)
    point = _number_of_point(inside)[source[pixel, i, j]]
    rows = F.pad(torch.bincount(pixel, minlength=pixels).cumsum(0), (1, 0))
    smoothing = csr_array(
        (shares[pixel, i, j].numpy(), point.numpy(), rows.numpy()), shape=(pixels, len(token))
    )
    columns = torch.arange(0, token.numel() + 1, token.shape[1]).numpy()
    interpolation = csr_array(
        (weight.flatten().numpy(), token.flatten().numpy(), columns), shape=(len(token), tokens)
    )
    product = smoothing @ interpolation
    return TokenSampling(
        torch.from_numpy(product.indices).long(),
        torch.from_numpy(product.data),
        torch.from_numpy(product.indptr[:-1]).long(),
    )


def _entries_of_rows(
    at: tuple[Tensor, Tensor, Tensor], foreground: Tensor, token: Tensor, weight: Tensor, tokens: int
) -> tuple[Tensor, Tensor]:
    """Return tokens and weights (P, 48) of each pixel's 48 entries. Entries without a point have the token `tokens`."""
    source, shares = _sources_of_pixels(at, foreground.device)
    inside = foreground.flatten()
    point = _number_of_point(inside)[source]  # P 4 4
    share = torch.where(inside[source], shares, 0.0)[..., None]  # P 4 4 1
    entry = torch.where(share > 0, token[point], tokens)  # P 4 4 3
    return entry.flatten(1), (share * weight[point]).flatten(1)


def _sources_of_pixels(at: tuple[Tensor, Tensor, Tensor], device: torch.device) -> tuple[Tensor, Tensor]:
    """Return the flat indices of the pixels that mean and resize take from, and their shares: (P, 4, 4) each."""
    frame, row, column = at
    first, share = _smoothing_taps(device)
    taps = torch.arange(share.shape[1], device=device)
    source_row = (first[row, None] + taps).clamp(max=SIZE_PX - 1)[:, :, None]  # P 4 1
    source_column = (first[column, None] + taps).clamp(max=SIZE_PX - 1)[:, None]  # P 1 4
    shares = share[row][:, :, None] * share[column][:, None]  # P 4 4
    return (frame[:, None, None] * SIZE_PX + source_row) * SIZE_PX + source_column, shares


def _number_of_point(inside: Tensor) -> Tensor:
    """Return the number of the point at each pixel of the flat foreground; any number at pixels without a point."""
    return (inside.cumsum(0) - 1).clamp_(min=0)


@cache
def _smoothing_taps(device: torch.device) -> tuple[Tensor, Tensor]:
    """Return, for one axis of mean and resize, the first source pixel (224,) and the shares of four pixels (224, 4)."""
    with torch.inference_mode(mode=False):  # the line asks first, in inference mode, but others use it too
        matrix = _mean_and_resize()
        first = (matrix > 0).int().argmax(1)
        width = int((matrix > 0).sum(1).max())
        index = first[:, None] + torch.arange(width)
        share = matrix.gather(1, index.clamp(max=SIZE_PX - 1)) * (index < SIZE_PX)
        return first.to(device), share.to(device)


@cache
def _reach(device: torch.device) -> Tensor:
    """Return which pixels of an axis take from which, after mean and resize: (224, 224) float32 of zeros and ones."""
    with torch.inference_mode(mode=False):
        return (_mean_and_resize() > 0).float().to(device)


@cache
def _mean_and_resize() -> Tensor:
    """Build one axis of the 3-pixel mean without padding and of the adaptive average back: (224, 224) float32.

    Both are separable: on an image, the matrix is applied from the left and its transpose from the right.
    """
    mean = torch.zeros(_AVERAGED_PX, SIZE_PX)
    for i in range(_AVERAGED_PX):
        mean[i, i : i + _MEAN_PX] = 1 / _MEAN_PX
    resize = torch.zeros(SIZE_PX, _AVERAGED_PX)
    for i in range(SIZE_PX):
        start, end = i * _AVERAGED_PX // SIZE_PX, -(-(i + 1) * _AVERAGED_PX // SIZE_PX)
        resize[i, start:end] = 1 / (end - start)
    return resize @ mean
