"""The sparse matrix from tokens to pixels of one modality, and the form whose size is still on its way to the host."""

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

    Row p has the entries of `token` (int64) and `weight` (float32) from `starts[p]` to the start of the next row.
    `known` maps rows to starts that are known on the host: those of `known_rows`, and the end of the last row.
    """

    token: Tensor
    weight: Tensor
    starts: Tensor
    known: Mapping[int, int] | None = None

    def __len__(self) -> int:
        return len(self.starts)

    def __call__(self, tokens: Tensor) -> Tensor:
        """Sample tokens (T, C) at the pixels: (P, C)."""
        if len(self) == 0:
            return tokens.new_empty((0, tokens.shape[1]))
        sampled: Tensor = F.embedding_bag(
            self.token, tokens, self.starts, mode="sum", per_sample_weights=self.weight.to(tokens.dtype)
        )
        return sampled

    def split(self, counts: Sequence[int]) -> Iterator[TokenSampling]:
        """Split the rows into pieces of `counts`, whose sum is P. Waits for the device at cuts that are not `known`."""
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
        """Return a mask (tokens,) bool of the tokens that any pixel takes from."""
        used = torch.zeros(tokens, dtype=torch.bool, device=self.token.device)
        used[self.token] = True
        return used

    def of_used(self, used: Tensor) -> TokenSampling:
        """Return the same rows for the `used` tokens alone, numbered anew in their order."""
        return TokenSampling((used.cumsum(0) - 1)[self.token], self.weight, self.starts)

    @staticmethod
    def join(pieces: Sequence[TokenSampling]) -> TokenSampling:
        """Join the rows of pieces. Tokens keep their numbers."""
        firsts = accumulate((len(piece.token) for piece in pieces), initial=0)
        starts = [piece.starts + first for piece, first in zip(pieces, firsts, strict=False)]
        return TokenSampling(
            torch.cat([p.token for p in pieces]), torch.cat([p.weight for p in pieces]), torch.cat(starts)
        )


class PendingSampling(Protocol):
    """A matrix whose number of entries is still on its way to the host."""

    def finish(self) -> TokenSampling:
        """Return the matrix. Waits for that number, and for nothing that was issued after it."""
        ...


class ComposedSampling(NamedTuple):
    """A matrix that is complete already."""

    sampling: TokenSampling

    def finish(self) -> TokenSampling:
        """Return the matrix."""
        return self.sampling


def rows_at_once(pixels: int) -> int:
    """Return the pixels that pass the mappings together off the CPU. Small frames have small chunks, to save memory."""
    steps = -(-pixels // (_PIECES * _ROWS_STEP))
    return min(max(steps, 1) * _ROWS_STEP, _MOST_ROWS)


def known_rows(pixels: int) -> list[int]:
    """Return the rows at which a matrix of so many pixels is split off the CPU, and its end."""
    return [*range(0, pixels, rows_at_once(pixels)), pixels]
