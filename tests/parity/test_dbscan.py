"""Connected components on the pixel grid against DBSCAN on the cloud, which the literature uses."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from cmfm_worker.cfm.background import signed_height
from cmfm_worker.cfm.clusters import clean_clusters, joining_distance_m
from cmfm_worker.cfm.prepare import SIZE_PX, BackgroundOptions, support_planes
from cmfm_worker.cfm.prepare import resize as to_grid

REAL_FRAMES = ("learn0", "learn13", "learn20", "learn28", "learn35", "test0", "test15", "test30")
PUBLISHED_CORE = 30
"""Points about a core point, itself included; on the grid of a Kinect-class sensor 8 are as dense as it gets."""

GRID_CORE = 8


def dbscan(points: NDArray[np.float32], eps_m: float, core: int) -> NDArray[np.int64]:
    """Ester et al. 1996: the number of every point's cluster, -1 for noise; a border point takes any core's
    cluster.
    """
    pairs = cKDTree(points).query_pairs(eps_m, output_type="ndarray")
    is_core = np.bincount(pairs.ravel(), minlength=len(points)) + 1 >= core
    edges = pairs[is_core[pairs].all(1)].T
    graph = coo_array((np.ones(edges.shape[1]), (edges[0], edges[1])), shape=(len(points),) * 2)
    cluster = np.where(is_core, connected_components(graph, directed=False)[1], -1)
    mixed = pairs[is_core[pairs].sum(1) == 1]
    first_is_core = is_core[mixed[:, 0]]
    cores, borders = (np.where(first_is_core, mixed[:, i], mixed[:, 1 - i]) for i in (0, 1))
    cluster[borders] = cluster[cores]
    found: NDArray[np.int64] = cluster.astype(np.int64)
    return found


def largest(cluster: NDArray[np.int64]) -> NDArray[np.bool_]:
    """The points of the largest cluster; none if all are noise."""
    counts = np.bincount(cluster[cluster >= 0], minlength=1)
    found: NDArray[np.bool_] = (cluster == counts.argmax()) & (cluster >= 0)
    return found


@pytest.mark.parametrize("name", REAL_FRAMES)
def test_largest_piece_is_the_largest_cluster_of_dbscan(name: str, shared: Path) -> None:
    """On every real capture both keep the same pixels; with the published 30 points a core, DBSCAN keeps at least
    95 % of them.

    The clouds of these frames are too coarse for the published 6 mm (with 30 points everything is noise), so the
    distance is that of the components, 4.5 times the pitch of the points.
    """
    xyz = torch.from_numpy(tifffile.imread(shared / "real_frames" / "xyz" / f"{name}.tiff"))[None]
    size = (xyz.shape[1], xyz.shape[2])
    options = BackgroundOptions(plane_distance_m=0.01)
    _, points, valid = to_grid(torch.zeros(xyz.shape, dtype=torch.uint8), xyz)
    plane = support_planes(points, valid, size, options)
    height = signed_height(points, plane)
    above = valid & (height > options.plane_distance_m)
    footprint = (points - height[:, None] * plane[:, :3, None, None]).nan_to_num(0.0)
    kept = clean_clusters(footprint, above, "largest", scale=SIZE_PX / max(size)).kept[above].numpy()
    cloud, eps_m = points.permute(0, 2, 3, 1)[above].numpy(), float(joining_distance_m(footprint, above))
    assert (kept == largest(dbscan(cloud, eps_m, GRID_CORE))).all()
    published = largest(dbscan(cloud, eps_m, PUBLISHED_CORE))
    assert not (published & ~kept).any()
    assert published.sum() >= 0.95 * kept.sum()
    assert not largest(dbscan(cloud, 0.006, PUBLISHED_CORE)).any()
