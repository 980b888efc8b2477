"""Rows of a sparse matrix in which entries of the same column are summed, without waiting for the device.

All rows have the same number of entries at first. Sorting each by its columns brings those of one column together; how
many are left the host learns from a read-back that `finish` waits for. Between the two the device can be given other
work, and then nothing stands still.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from cmfm_worker.cfm.fast.mask_indices import indices_by_running_count
from cmfm_worker.cfm.fast.read_back import ReadBack
from cmfm_worker.cfm.mapping.token_sampling import TokenSampling, known_rows, rows_at_once


class MergedRows:
    """Begins with `token` (P, K) int64, where `absent` (more than any token) has no entry, and `weight` (P, K)."""

    def __init__(self, token: Tensor, weight: Tensor, absent: int) -> None:
        self._token, order = token.sort(dim=1, stable=True)
        # A run's sum is the difference of two sums from the row's start; in float64 nothing of it is lost.
        self._sum = weight.gather(1, order).double().cumsum(1)
        ends_run = F.pad(self._token[:, 1:] != self._token[:, :-1], (0, 1), value=True)
        self._kept = ends_run & (self._token < absent)
        counts = self._kept.sum(1)
        ends = counts.cumsum(0)
        self._starts = ends - counts
        self._known = ReadBack(torch.cat([self._starts[:: rows_at_once(len(token))], ends[-1:]]))

    def finish(self) -> TokenSampling:
        """The matrix of what is left."""
        entries = self._known.wait()[0].tolist()
        places = indices_by_running_count(self._kept.flatten(), entries[-1] if entries else 0)
        row = places // self._token.shape[1]
        sums = self._sum.flatten()[places]
        before = F.pad(torch.where(row[1:] == row[:-1], sums[:-1], 0.0), (1, 0))
        return TokenSampling(
            self._token.flatten()[places],
            (sums - before[: len(sums)]).float(),
            self._starts,
            dict(zip(known_rows(len(self._starts)), entries, strict=False)),
        )
