"""Farthest point sampling of a batch in one launch, one Triton program a cloud. Importing it needs triton."""

from __future__ import annotations

from itertools import accumulate

import torch
import triton
import triton.language as tl
from torch import Tensor

from cmfm_worker.cfm.fast.read_back import on_device

_TILE = 4096
_WARPS = 16


@triton.jit  # type: ignore[untyped-decorator]  # triton has no types, and reads annotations as its own
def _farthest_kernel(xyz, starts, nearest_m2, chosen, count, total, TILE: tl.constexpr):  # type: ignore[no-untyped-def]  # the same
    """Choose `count` points of cloud number `program_id`.

    `xyz` (3, total) float32 holds the clouds one after another, cloud b from `starts[b]` to `starts[b + 1]`.
    `nearest_m2` (total,) float32 starts at infinity. `chosen` (B, count) int32 receives indices within the cloud.
    """
    cloud = tl.program_id(0)
    first = tl.load(starts + cloud)
    points = tl.load(starts + cloud + 1) - first
    x = xyz + first
    y = x + total
    z = y + total
    nearest = nearest_m2 + first
    chosen += cloud * count
    lane = tl.arange(0, TILE)
    last = tl.full((), 0, tl.int32)
    tl.store(chosen, last)
    for i in range(1, count):
        last_x, last_y, last_z = tl.load(x + last), tl.load(y + last), tl.load(z + last)
        best = tl.full((TILE,), -1.0, tl.float32)
        best_at = tl.full((TILE,), 0, tl.int32)
        for base in range(0, points, TILE):
            at = base + lane
            inside = at < points
            dx = tl.load(x + at, mask=inside, other=0.0) - last_x
            dy = tl.load(y + at, mask=inside, other=0.0) - last_y
            dz = tl.load(z + at, mask=inside, other=0.0) - last_z
            d2 = (dx * dx + dy * dy) + dz * dz
            d2 = tl.minimum(tl.load(nearest + at, mask=inside, other=-1.0), d2)
            tl.store(nearest + at, d2, mask=inside)
            farther = d2 > best  # of equals in one lane the first stays
            best = tl.where(farther, d2, best)
            best_at = tl.where(farther, at, best_at)
        farthest = tl.max(best, 0)
        last = tl.min(tl.where(best == farthest, best_at, 2147483647), 0)  # of equals the lowest index
        tl.store(chosen + i, last)
        tl.debug_barrier()  # other threads' stores must be visible before they are read


def farthest_points_of_all(clouds: list[Tensor], count: int) -> list[Tensor]:
    """Run `grouping.farthest_points` for clouds (N, 3) on one CUDA device: indices (count,) int64 of each."""
    bounds = list(accumulate((len(cloud) for cloud in clouds), initial=0))
    starts = on_device(bounds, clouds[0].device).int()
    xyz = torch.cat(clouds).T.contiguous()  # ΣN 3 -> 3 ΣN
    total = xyz.shape[1]
    nearest_m2 = torch.full((total,), torch.inf, device=xyz.device)
    chosen = torch.empty((len(clouds), count), dtype=torch.int32, device=xyz.device)
    with torch.cuda.device_of(xyz):
        _farthest_kernel[(len(clouds),)](
            xyz,
            starts,
            nearest_m2,
            chosen,
            count,
            total,
            TILE=_TILE,
            num_warps=_WARPS,
            num_stages=1,
            enable_fp_fusion=False,  # a fused multiply-add rounds differently and would choose other points
        )
    return list(chosen.long())
