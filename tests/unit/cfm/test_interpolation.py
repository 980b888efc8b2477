"""From tokens to pixels: the sparse matrices against the dense steps that they replace."""

from __future__ import annotations

import sys

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from cmfm_worker.cfm.mapping.token_sampling import TokenSampling
from cmfm_worker.cfm.points.interpolation import (
    begin_point_sampling,
    bilinear_sampling,
    inverse_distance_weights,
    point_mask,
)

TOKENS, CHANNELS = 50, 4


def foregrounds() -> Tensor:
    """Three frames: specks everywhere, a block in a corner of the image, a line along its border."""
    torch.manual_seed(2)
    frames = torch.zeros(3, 224, 224, dtype=torch.bool)
    frames[0] = torch.rand(224, 224) < 0.02
    frames[1, 180:, 150:] = True
    frames[2, :, 0] = True
    return frames


def scattered(foreground: Tensor, rows: Tensor) -> Tensor:
    """Dense E_3D: scatter with zeros, 3×3 mean without padding, adaptive average back (B, C, 224, 224)."""
    dense = torch.zeros(*foreground.shape, rows.shape[1])
    dense[foreground] = rows
    averaged = F.avg_pool2d(dense.permute(0, 3, 1, 2), 3, stride=1)
    assert averaged.shape[-1] == 222
    return F.adaptive_avg_pool2d(averaged, (224, 224))


@pytest.mark.parametrize("grid", [28, 16, 14, 7])
def test_bilinear_equals_dense_upsampling(grid: int) -> None:
    """At every masked pixel of every frame, the sampled tokens are those of dense bilinear upsampling."""
    mask = foregrounds()
    tokens = torch.randn(3, CHANNELS, grid, grid)
    dense = F.interpolate(tokens, size=(224, 224), mode="bilinear", align_corners=False)
    found = bilinear_sampling(mask, grid)(tokens.permute(0, 2, 3, 1).reshape(-1, CHANNELS))
    torch.testing.assert_close(found, dense.permute(0, 2, 3, 1)[mask])


def test_composed_points_equal_the_dense_steps() -> None:
    """One matrix gives the same as interpolation, scatter, mean and resize in turn, also at borders."""
    foreground = foregrounds()
    count = int(foreground.sum())
    frame = foreground.nonzero()[:, 0]
    token = torch.randint(TOKENS, (count, 3)) + TOKENS * frame[:, None]
    weight = torch.rand(count, 3)
    tokens = torch.randn(3 * TOKENS, CHANNELS)
    dense = scattered(foreground, (tokens[token] * weight[..., None]).sum(1)).permute(0, 2, 3, 1)
    mask = point_mask(foreground)
    found = begin_point_sampling(mask, foreground, token, weight, tokens=3 * TOKENS).finish()(tokens)
    torch.testing.assert_close(found, dense[mask], rtol=1e-4, atol=1e-6)


def test_mask_is_where_the_dense_feature_is_not_zero() -> None:
    """The mask holds exactly the pixels that mean and resize reach from the foreground."""
    foreground = foregrounds()
    dense = scattered(foreground, torch.ones(int(foreground.sum()), 1))
    assert torch.equal(point_mask(foreground), dense[:, 0] != 0)


def test_matrix_holds_each_token_of_a_pixel_once() -> None:
    """Entries of the same pixel and token are summed, which keeps the matrix small."""
    foreground = foregrounds()[1:2]
    count = int(foreground.sum())
    sampling = begin_point_sampling(
        point_mask(foreground),
        foreground,
        torch.tensor([[0, 1, 2]]).expand(count, 3),
        torch.rand(count, 3),
        3,
    ).finish()
    assert len(sampling.token) == 3 * len(sampling.starts)


def test_pieces_are_the_rows_and_join_again() -> None:
    """Split anywhere, also into empty pieces, each piece samples its own pixels, also after joining in another
    order.
    """
    torch.manual_seed(3)
    foreground = foregrounds()[:1]
    count = int(foreground.sum())
    sampling = begin_point_sampling(
        point_mask(foreground), foreground, torch.randint(TOKENS, (count, 3)), torch.rand(count, 3), TOKENS
    ).finish()
    tokens = torch.randn(TOKENS, CHANNELS)
    whole, counts = sampling(tokens), [0, 1, 700, 0, len(sampling) - 701]
    pieces = list(sampling.split(counts))
    for piece, rows in zip(pieces, torch.split(whole, counts), strict=True):
        torch.testing.assert_close(piece(tokens), rows)
    joined = TokenSampling.join([pieces[4], pieces[1]])
    torch.testing.assert_close(joined(tokens), torch.cat([whole[701:], whole[:1]]))


def test_unused_tokens_can_be_dropped() -> None:
    """With only the used tokens, numbered anew, the pixels get the same features."""
    sampling = TokenSampling(torch.tensor([7, 2, 7, 4]), torch.rand(4), torch.tensor([0, 2]))
    tokens = torch.randn(9, CHANNELS)
    used = sampling.used(len(tokens))
    assert used.nonzero()[:, 0].tolist() == [2, 4, 7]
    torch.testing.assert_close(sampling.of_used(used)(tokens[used]), sampling(tokens))


def test_product_with_and_without_scipy_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without scipy composes the same matrix."""
    foreground = foregrounds()
    count = int(foreground.sum())
    token, weight = torch.randint(TOKENS, (count, 3)), torch.rand(count, 3)
    arguments = (point_mask(foreground), foreground, token, weight, TOKENS)
    tokens = torch.randn(TOKENS, CHANNELS)
    found = begin_point_sampling(*arguments).finish()(tokens)
    monkeypatch.setitem(sys.modules, "scipy.sparse", None)
    torch.testing.assert_close(begin_point_sampling(*arguments).finish()(tokens), found)


def test_no_pixels_give_no_features() -> None:
    """An empty mask is not an error."""
    empty = torch.zeros(2, 224, 224, dtype=torch.bool)
    assert not point_mask(empty).any()
    assert bilinear_sampling(empty)(torch.randn(2 * 784, 5)).shape == (0, 5)
    sampling = begin_point_sampling(
        empty, empty, torch.empty(0, 3, dtype=torch.long), torch.empty(0, 3), 4
    ).finish()
    assert sampling(torch.randn(4, 5)).shape == (0, 5)


def test_weights_fall_with_the_squared_distance() -> None:
    """Weights are 1/(d² + 1e-8), normalised. A point on its centre stays finite and takes nearly all of it."""
    weight = inverse_distance_weights(torch.tensor([[1e-6, 2e-6, 4e-6], [0.0, 1e-6, 1e-6]]))
    assert weight.sum(1).tolist() == pytest.approx([1, 1])
    assert (weight[0, 0] / weight[0, 1]).item() == pytest.approx(2.01e-6 / 1.01e-6)
    assert weight[1, 0] > 0.98
