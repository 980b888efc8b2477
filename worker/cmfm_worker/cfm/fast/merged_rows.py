"""Merging entries of the same column in the rows of a sparse matrix, without making the device idle.

All rows start with the same number of entries. Sorting a row by columns brings entries of one column together. The
host learns from a read-back how many are left; `finish` waits for it. If the device gets other work in between, it is
not idle.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from cmfm_worker.cfm.fast.mask_indices import indices_by_running_count
from cmfm_worker.cfm.fast.read_back import ReadBack
from cmfm_worker.cfm.mapping.token_sampling import TokenSampling, known_rows, rows_at_once


class MergedRows:
    """A matrix in the making, from `token` (P, K) int64 and `weight` (P, K).

    The token `absent`, which is greater than any other, marks entries that do not exist.
    """

    def __init__(self, token: Tensor, weight: Tensor, absent: int) -> None:
        self._token, order = token.sort(dim=1, stable=True)
        # The sum of a run is the difference of two sums from the row's start, which is exact enough in float64.
        self._sum = weight.gather(1, order).double().cumsum(1)
        ends_run = F.pad(self._token[:, 1:] != self._token[:, :-1], (0, 1), value=True)
        self._kept = ends_run & (self._token < absent)
        counts = self._kept.sum(1)
        ends = counts.cumsum(0)
        self._starts = ends - counts
        self._known = ReadBack(torch.cat([self._starts[:: rows_at_once(len(token))], ends[-1:]]))

    def finish(self) -> TokenSampling:
        """Return the merged matrix. Waits for the number of its entries."""
        entries = self._known.wait()[0].tolist()
        kept = indices_by_running_count(self._kept.flatten(), entries[-1] if entries else 0)
        row = kept // self._token.shape[1]
        sums = self._sum.flatten()[kept]
        before = F.pad(torch.where(row[1:] == row[:-1], sums[:-1], 0.0), (1, 0))
        return TokenSampling(
            self._token.flatten()[kept],
            (sums - before[: len(sums)]).float(),
            self._starts,
            dict(zip(known_rows(len(self._starts)), entries, strict=False)),
        )
