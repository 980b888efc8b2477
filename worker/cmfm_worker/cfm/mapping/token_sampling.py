"""A modality's way from tokens to pixels as a sparse matrix, and one whose size the device still has to tell."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import NamedTuple, Protocol

import torch
from torch import Tensor
from torch.nn import functional as F

_ROWS_STEP, _MOST_ROWS = 1 << 12, 1 << 16
_PIECES = 8


@dataclass(frozen=True)
class TokenSampling:
    """A sparse matrix (P pixels × tokens of the whole batch) in compressed rows.

    Row p holds the entries `starts[p]` up to the next row's start of `token` (int64) and `weight` (float32).
    `known` are starts that the host knows, by their rows: those of `known_rows`, and where the last row ends.
    """

    token: Tensor
    weight: Tensor
    starts: Tensor
    known: Mapping[int, int] | None = None

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
        """Rows in pieces of so many, which add up to P. Waits for the device where it cuts rows not `known`."""
        rows = [0, *accumulate(counts)]
        known = self.known or {}
        if all(row in known for row in rows):
            entries = [known[row] for row in rows]
        else:
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


class PendingSampling(Protocol):
    """A matrix whose number of entries is on its way to the host."""

    def finish(self) -> TokenSampling:
        """The matrix. Waits for that number, and for nothing issued after it."""
        ...


class ComposedSampling(NamedTuple):
    """A matrix that is there already."""

    sampling: TokenSampling

    def finish(self) -> TokenSampling:
        """The matrix."""
        return self.sampling


def rows_at_once(pixels: int) -> int:
    """Pixels that pass the mappings together off the CPU: few of a single frame, so that it takes little memory."""
    steps = -(-pixels // (_PIECES * _ROWS_STEP))
    return min(max(steps, 1) * _ROWS_STEP, _MOST_ROWS)


def known_rows(pixels: int) -> list[int]:
    """Rows at which a matrix of so many is cut off the CPU, and its end."""
    return [*range(0, pixels, rows_at_once(pixels)), pixels]
