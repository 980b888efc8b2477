"""Indices of a mask's True elements, with and without waiting for their number."""

from __future__ import annotations

import pytest
import torch

from cmfm_worker.cfm.fast.mask_indices import (
    every_nth_true,
    indices_by_running_count,
    indices_of_true,
)


@pytest.mark.parametrize("share", [0.0, 0.001, 0.3, 1.0])
def test_indices_are_those_of_nonzero(share: float) -> None:
    """Indices ascend, for masks from empty to full, in both implementations."""
    mask = torch.rand(2, 40, 30, generator=torch.Generator().manual_seed(1)) < share
    expected = mask.flatten().nonzero()[:, 0]
    assert torch.equal(indices_of_true(mask, len(expected)), expected)
    assert torch.equal(indices_by_running_count(mask.flatten(), len(expected)), expected)


def test_every_nth_pixel_of_each_mask_is_kept() -> None:
    """The first, fifth, … True element of every mask of a batch, wherever they lie."""
    mask = torch.rand(3, 40, 30, generator=torch.Generator().manual_seed(1)) < 0.3
    kept = every_nth_true(mask, 4)
    for one, some in zip(mask, kept, strict=True):
        assert torch.equal(some.flatten().nonzero()[:, 0], one.flatten().nonzero()[::4, 0])
