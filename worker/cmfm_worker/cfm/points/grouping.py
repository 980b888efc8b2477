"""Point groups of F_3D: farthest-point centres, nearest neighbours (paper § 4; docs/method.md, 3D features).

A frame's foreground points keep the row-major order of their pixels, so that indices are the same on every device.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cmfm_worker.cfm.points import farthest_points_cuda

CENTRES = 1024
"""Groups a cloud, as in the paper. A cloud must have at least as many points."""

_DISTANCES_AT_ONCE = 1 << 22
"""Pairs of points whose distances are held at once off the CPU: 16 MB of float32."""


@dataclass(frozen=True)
class Groups:
    """The groups of B clouds: `centres` (B, 1024, 3) and the points' `offsets` from them (B, 1024, G, 3), metres."""

    centres: Tensor
    offsets: Tensor


def group_points(clouds: list[Tensor], group_size: int) -> Groups:
    """Cut each cloud (N, 3) float32 in metres into 1024 groups of `group_size` points."""
    return gather_groups(clouds, choose_centres(clouds), group_size)


def choose_centres(clouds: list[Tensor]) -> Tensor:
    """Return 1024 farthest points of each cloud: (B, 1024, 3)."""
    chosen = farthest_points_of_all(clouds, CENTRES)
    return torch.stack([cloud[index] for cloud, index in zip(clouds, chosen, strict=True)])


def gather_groups(clouds: list[Tensor], centres: Tensor, group_size: int) -> Groups:
    """Collect the `group_size` points nearest to each centre of its cloud."""
    offsets = [
        cloud[nearest(cloud, centre, group_size)[0]] - centre[:, None]  # (1024, G, 3) - (1024, 1, 3)
        for cloud, centre in zip(clouds, centres, strict=True)
    ]
    return Groups(centres, torch.stack(offsets))


def farthest_points_of_all(clouds: list[Tensor], count: int) -> list[Tensor]:
    """Run `farthest_points` for several clouds on one device; on CUDA in one launch if there is a kernel for it."""
    if clouds[0].device.type == "cuda":
        kernel = farthest_points_cuda.find_kernel()
        if kernel is not None:
            return kernel(clouds, count)
    return [farthest_points(cloud, count) for cloud in clouds]


def farthest_points(points: Tensor, count: int) -> Tensor:
    """Choose `count` of the points (N, 3) by farthest point sampling, starting at point 0: indices (count,) int64.

    The next point is always the one farthest from all chosen ones; of equals, the one with the lowest index. Squared
    distances are (Δx² + Δy²) + Δz² in float32 on every device, so that all devices choose the same points.
    """
    if points.device.type == "cpu":
        return torch.from_numpy(_farthest_on_cpu(points.numpy(), count))
    return farthest_points_in_torch(points, count)


def _farthest_on_cpu(points: NDArray[np.float32], count: int) -> NDArray[np.int64]:
    """Choose on three flat arrays, which stay in the cache. The loop allocates nothing."""
    x, y, z = (np.ascontiguousarray(axis) for axis in points.T)
    chosen = np.zeros(count, dtype=np.int64)
    nearest_m2 = np.full(len(x), np.inf, dtype=np.float32)
    d2, term = np.empty_like(x), np.empty_like(x)
    for i in range(1, count):
        last = chosen[i - 1]
        np.subtract(x, x[last], out=d2)
        np.multiply(d2, d2, out=d2)
        for axis in (y, z):
            np.subtract(axis, axis[last], out=term)
            np.multiply(term, term, out=term)
            np.add(d2, term, out=d2)
        np.minimum(nearest_m2, d2, out=nearest_m2)
        chosen[i] = nearest_m2.argmax()
    return chosen


def farthest_points_in_torch(points: Tensor, count: int) -> Tensor:
    """Choose the same points by tensor operations: no value leaves the device inside the loop."""
    axes = points.T.contiguous()  # N 3 -> 3 N
    chosen = torch.zeros(count, dtype=torch.long, device=points.device)
    nearest_m2 = torch.full_like(axes[0], torch.inf)
    for i in range(1, count):
        dx, dy, dz = (axes - axes.index_select(1, chosen[i - 1 : i])).square_()
        torch.minimum(nearest_m2, dx.add_(dy).add_(dz), out=nearest_m2)
        chosen[i] = nearest_m2.max(0).indices  # of equals the first
    return chosen


def nearest(points: Tensor, queries: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Find the k of `points` (N, 3) nearest to each query (Q, 3): indices and squared distances, (Q, k) each.

    The nearest comes first. A k-d tree is used on the CPU and a partial sort in chunks elsewhere, never a full sort.
    """
    if points.device.type == "cpu":
        try:
            from pykdtree.kdtree import KDTree
        except ImportError:  # the method also runs with torch alone
            return _nearest_in_chunks(points, queries, k)
        d2, index = KDTree(points.numpy()).query(queries.numpy(), k=k, sqr_dists=True)
        shape = (len(queries), k)
        return torch.from_numpy(index.astype(np.int64)).view(shape), torch.from_numpy(d2).view(shape)
    return _nearest_in_chunks(points, queries, k)


def _nearest_in_chunks(points: Tensor, queries: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Find them by squared differences: a matrix product would lose millimetres at a metre's distance."""
    rows = max(1, _DISTANCES_AT_ONCE // len(points))
    found = [_squared_distances(some, points).topk(k, largest=False) for some in torch.split(queries, rows)]
    return torch.cat([f.indices for f in found]), torch.cat([f.values for f in found])


def _squared_distances(a: Tensor, b: Tensor) -> Tensor:
    """Compute squared distances of (A, 3) and (B, 3): (A, B)."""
    d2 = (a[:, None, 0] - b[:, 0]).square_()
    for axis in (1, 2):
        d2 += (a[:, None, axis] - b[:, axis]).square_()
    return d2
