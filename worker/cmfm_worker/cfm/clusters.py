"""Connected pieces of the foreground on the pixel grid, in place of the literature's DBSCAN on the cloud.

Two pixels at most three apart in a row, column or diagonal are connected if the footprints of their points on the
tray lie within eps of each other. So a crack of one or two missing pixels does not split a part. A chip that stands
out of its board stays connected to it, although the sensor saw no wall between them; distances in space would cut it
off. Parts that lie apart on the tray are separate pieces. There are no core points: thin necks connect, and specks
are dropped by their size alone.

DBSCAN on the cloud with the same eps agrees: on eight real captures the largest piece is the largest cluster, pixel
for pixel, if 8 points make a core. With the published 30 the cluster is 96 to 100 % of the piece
(`tests/parity/test_dbscan.py`).
"""

from collections.abc import Iterator
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

REACH_PX = 3  # bridges gaps of two pixels
DIRECTIONS = ((0, 1), (1, 0), (1, 1), (1, -1))  # half of the eight: edges have no direction
EPS_M = 0.006  # the literature's eps, for dense clouds
EPS_PITCHES = (
    4.5  # for sparse clouds: three diagonal steps on a surface that faces the sensor are 4.24 pitches
)
PITCH_STEP_PX = 4  # measured over four pixels, so that the noise of a single one matters little
SPECK_PX = 30  # at full resolution: the literature's least number of points
COUNTED_SHARE = (
    0.1  # of the largest piece: smaller ones are fluff, reflections and noise, and are not counted
)
# Trees of labels merge, and their depth halves, in every iteration. Spirals and random masks of 224×224 need 6.
ITERATIONS = 16
CHUNK_FRAMES = 8  # bounds the table of neighbours off the CPU, which takes 10 MB a frame


class Cleaned(NamedTuple):
    """The pixels that were kept (B, H, W) bool, and what pieces there were, for each frame (B,).

    `pieces` counts the pieces of at least a tenth of the largest one. `beside_px` is the size of the largest of the
    others: all but the largest where that alone was kept, else those that were not counted.
    """

    kept: Tensor
    pieces: Tensor
    beside_px: Tensor


def clean_clusters(
    footprint: Tensor, kept: Tensor, keep: Literal["largest", "all"], *, scale: float
) -> Cleaned:
    """Drop small pieces of `kept` (B, H, W) bool.

    `footprint` (B, 3, H, W) float32 metres. `scale` is the size of the grid over that of the image (0.28 for a side
    of 800). "all" drops pieces of fewer than 30 pixels of the image. "largest" drops all pieces except the largest as
    well; of two equal ones it keeps the first in row-major order.
    """
    labels = label_pieces(footprint, kept, joining_distance_m(footprint, kept))
    flat = kept.flatten(1)
    size = torch.zeros_like(labels).scatter_add_(1, labels, flat.long())
    most = size.amax(1, keepdim=True)
    counted = (size >= COUNTED_SHARE * most) & (size > 0)
    stays, own = size >= SPECK_PX * scale**2, counted
    if keep == "largest":
        number = torch.arange(size.shape[1], device=size.device)
        first = torch.where(size == most, number, size.shape[1]).amin(1, keepdim=True)
        own = number == first
        stays = stays & own
    beside_px = size.masked_fill(own, 0).amax(1)
    return Cleaned((flat & stays.gather(1, labels)).view_as(kept), counted.sum(1), beside_px)


def joining_distance_m(footprint: Tensor, kept: Tensor) -> Tensor:
    """Return the distance within which two points of a frame are connected: (B,) float32 metres."""
    coarse = (..., slice(None, None, PITCH_STEP_PX), slice(None, None, PITCH_STEP_PX))
    points = torch.where(kept[:, None], footprint, torch.nan)[coarse]
    step = (points[..., 1:] - points[..., :-1]).square().sum(1).sqrt()
    pitch = step.flatten(1).nanmedian(1).values / PITCH_STEP_PX
    return (EPS_PITCHES * pitch).nan_to_num(0.0).clamp_min(EPS_M)


def label_pieces(footprint: Tensor, kept: Tensor, eps: Tensor) -> Tensor:
    """Number the pieces: every pixel gets its piece's number, ascending by the piece's first pixel: (B, H·W) int64.

    `eps` (B,) metres. Pixels outside `kept` get some number, too. A graph is used on the CPU and label propagation
    elsewhere; both find the same pieces.
    """
    if footprint.device.type == "cpu":
        label, at_once = _label_by_runs, 1
    else:
        label, at_once = propagate_labels, CHUNK_FRAMES
    chunks = zip(*(torch.split(array, at_once) for array in (footprint, kept, eps)), strict=True)
    return torch.cat([label(*chunk) for chunk in chunks])


def propagate_labels(footprint: Tensor, kept: Tensor, eps: Tensor) -> Tensor:
    """Label every pixel with the least pixel number of its piece: (B, H·W) int64.

    `eps` (B,) metres. Each iteration joins the roots of neighbouring trees and shortens the paths to them. The number
    of iterations is fixed, so that nothing waits for the device.
    """
    neighbours = _neighbours(footprint, kept, eps)  # B 24 N
    label = torch.arange(neighbours.shape[2], device=footprint.device).expand(len(footprint), -1)
    for _ in range(ITERATIONS):
        least = label.gather(1, neighbours.flatten(1)).view_as(neighbours).amin(1).minimum(label)
        label = label.scatter_reduce(1, label, least, "amin").minimum(least)
        label = label.gather(1, label)
        label = label.gather(1, label)
    return label


def _label_by_runs(footprint: Tensor, kept: Tensor, eps: Tensor) -> Tensor:
    """Label one frame on the CPU, inside the box around `kept`. Pixels outside get 0, which no piece has."""
    rows, columns = (np.flatnonzero(kept[0].numpy().any(axis)) for axis in (1, 0))
    label = torch.zeros(kept.shape, dtype=torch.int64)
    if len(rows):
        box = (..., slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1))
        label[box] = _pieces_of_runs(footprint[box], kept[box], eps)
    return label.flatten(1)


def _pieces_of_runs(footprint: Tensor, kept: Tensor, eps: Tensor) -> Tensor:
    """Label pieces by a graph whose nodes are runs of kept pixels in rows: (1, h, w) int64, from 1 within `kept`."""
    starts = kept[0].numpy().copy()
    starts[:, 1:] &= ~_joined(footprint, kept, eps, 0, 1)[0].numpy()
    run = np.cumsum(starts, dtype=np.int32).reshape(starts.shape)  # the number of a kept pixel's run, from 1
    edges = []
    for down, right in _offsets():
        here, there = _windows(down, right)
        new = _joined(footprint, kept, eps, down, right)[0].numpy().copy()
        # A pixel mostly joins the same two runs as the pixel to its left: that edge is already there.
        new[:, 1:] &= ~new[:, :-1] | starts[here][:, 1:] | starts[there][:, 1:]
        edges.append(np.stack([run[here][new], run[there][new]]))
    piece = _connected(np.concatenate(edges, axis=1), int(run[-1, -1]) + 1)
    return torch.from_numpy(piece[run])[None]


def _connected(edges: NDArray[np.int32], number: int) -> NDArray[np.int64]:
    """Return the piece of each of `number` nodes, numbered in the order of first nodes; `edges` (2, n)."""
    from scipy.sparse import coo_array  # late, because a machine with CUDA may lack scipy
    from scipy.sparse.csgraph import connected_components

    graph = coo_array((np.ones(edges.shape[1], np.int8), (edges[0], edges[1])), shape=(number, number))
    return connected_components(graph, directed=False)[1].astype(np.int64)


def _offsets() -> Iterator[tuple[int, int]]:
    return ((down * step, right * step) for step in range(1, REACH_PX + 1) for down, right in DIRECTIONS)


def _windows(down: int, right: int) -> tuple[Any, Any]:
    """Return the index of all pixels with a neighbour `down` and `right` of them, and that of the neighbours."""
    here = (..., slice(None, -down or None), slice(max(-right, 0), -max(right, 0) or None))
    there = (..., slice(down, None), slice(max(right, 0), min(right, 0) or None))
    return here, there


def _joined(footprint: Tensor, kept: Tensor, eps: Tensor, down: int, right: int) -> Tensor:
    """Return a mask of pixels that are kept, near their neighbour and whose neighbour is kept, over their window."""
    here, there = _windows(down, right)
    dx, dy, dz = (footprint[here] - footprint[there]).unbind(1)
    near = dx * dx + dy * dy + dz * dz < (eps * eps)[:, None, None]
    return near & kept[here] & kept[there]


def _neighbours(footprint: Tensor, kept: Tensor, eps: Tensor) -> Tensor:
    """Return the numbers of each pixel's 24 neighbours, its own for those not connected: (B, 24, H·W) int64."""
    height, width = kept.shape[1:]
    own = torch.arange(height * width, device=footprint.device).view(height, width)
    table = own.repeat(len(footprint), 2 * len(DIRECTIONS) * REACH_PX, 1, 1)
    for k, (down, right) in enumerate(_offsets()):
        here, there = _windows(down, right)
        joined = _joined(footprint, kept, eps, down, right)
        table[:, 2 * k][here] = torch.where(joined, own[there], own[here])
        table[:, 2 * k + 1][there] = torch.where(joined, own[here], own[there])
    return table.flatten(2)
