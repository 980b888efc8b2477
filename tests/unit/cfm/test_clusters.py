"""Connected pieces of the foreground: what is connected, what is dropped, and that both algorithms agree."""

import pytest
import torch
from torch import Tensor

from cmfm_worker.cfm.clusters import clean_clusters, label_pieces, propagate_labels

SIDE = 64
PITCH_M = 0.001
EPS_M = torch.tensor([0.006])


def flat_points() -> Tensor:
    """A surface that faces the sensor, a millimetre a pixel: (1, 3, 64, 64)."""
    steps = torch.arange(SIDE) * PITCH_M
    y, x = torch.meshgrid(steps, steps, indexing="ij")
    return torch.stack([x, y, torch.full_like(x, 0.5)])[None]


def mask_of(*boxes: tuple[int, int, int, int]) -> Tensor:
    """The union of (row0, row1, column0, column1), ends excluded: (1, 64, 64) bool."""
    mask = torch.zeros(1, SIDE, SIDE, dtype=torch.bool)
    for row0, row1, column0, column1 in boxes:
        mask[:, row0:row1, column0:column1] = True
    return mask


def same_partition(one: Tensor, other: Tensor, kept: Tensor) -> bool:
    """Return True if two labellings (1, N) group the kept pixels in the same way."""
    a, b = one[kept.flatten(1)], other[kept.flatten(1)]
    pairs = torch.stack([a, b]).unique(dim=1).shape[1]
    return bool(pairs == len(a.unique()) == len(b.unique()))


def snake() -> Tensor:
    """One line through the whole image, the longest path that a label can have."""
    mask = torch.zeros(1, SIDE, SIDE, dtype=torch.bool)
    mask[:, ::4] = True
    for turn, row in enumerate(range(0, SIDE - 4, 4)):
        mask[:, row : row + 4, -1 if turn % 2 == 0 else 0] = True
    return mask


@pytest.mark.parametrize("gap", [1, 2])
@pytest.mark.parametrize("axis", [1, 2])
def test_a_crack_of_missing_points_does_not_split_a_part(gap: int, axis: int) -> None:
    """One or two missing lines through a part do not split it."""
    kept = mask_of((10, 50, 10, 50))
    kept.narrow(axis, 30, gap).fill_(False)
    assert torch.equal(clean_clusters(flat_points(), kept, "largest", scale=1.0).kept, kept)


def test_the_largest_of_two_separate_parts_stays() -> None:
    """A neighbour ten pixels away is dropped by "largest" and kept by "all"."""
    kept = mask_of((10, 50, 5, 25), (10, 50, 35, 60))
    points = flat_points()
    assert torch.equal(clean_clusters(points, kept, "largest", scale=1.0).kept, mask_of((10, 50, 35, 60)))
    assert torch.equal(clean_clusters(points, kept, "all", scale=1.0).kept, kept)


def test_neighbours_in_the_image_that_are_far_in_space_are_separate() -> None:
    """Neighbouring pixels whose footprints are 5 cm apart belong to two pieces."""
    points = flat_points()
    points[:, 0, :, 30:] += 0.05
    kept = mask_of((10, 50, 10, 50))
    assert torch.equal(clean_clusters(points, kept, "largest", scale=1.0).kept, mask_of((10, 50, 10, 30)))


def test_of_two_equal_parts_the_first_stays() -> None:
    """Of two equal pieces, the first in row-major order is kept."""
    kept = mask_of((40, 50, 5, 25), (10, 20, 35, 55))
    assert torch.equal(
        clean_clusters(flat_points(), kept, "largest", scale=1.0).kept, mask_of((10, 20, 35, 55))
    )


def test_specks_are_dropped_at_the_size_of_the_image() -> None:
    """25 grid pixels are a speck if each is one image pixel, and a piece if they stand for 100."""
    kept = mask_of((10, 50, 10, 40), (5, 10, 55, 60))
    points = flat_points()
    assert torch.equal(clean_clusters(points, kept, "all", scale=1.0).kept, mask_of((10, 50, 10, 40)))
    assert torch.equal(clean_clusters(points, kept, "all", scale=0.5).kept, kept)


def test_a_coarse_grid_has_a_wider_reach() -> None:
    """At 2 cm a pixel, neighbours are more than 6 mm apart and still connected."""
    kept = mask_of((10, 50, 10, 50))
    assert torch.equal(clean_clusters(flat_points() * 20, kept, "largest", scale=1.0).kept, kept)


@pytest.mark.parametrize("keep", ["largest", "all"])
def test_empty_foreground_stays_empty(keep: str) -> None:
    """An empty belt has an empty foreground."""
    kept = mask_of()
    left = clean_clusters(flat_points(), kept, "largest" if keep == "largest" else "all", scale=1.0).kept
    assert not left.any()


@pytest.mark.parametrize("share", [0.03, 0.08, 0.15, 0.4, 1.0])
def test_label_propagation_finds_the_pieces_of_the_graph(share: float) -> None:
    """The algorithms for CUDA and CPU group random pixels at random depths in the same way."""
    noise = torch.Generator().manual_seed(int(share * 100))
    kept = torch.rand(2, SIDE, SIDE, generator=noise) < share
    points = flat_points().repeat(2, 1, 1, 1)
    points[:, 2] += 0.012 * torch.rand(2, SIDE, SIDE, generator=noise)
    eps = torch.tensor([0.006, 0.007])
    found, expected = propagate_labels(points, kept, eps), label_pieces(points, kept, eps)
    for one in range(2):
        assert same_partition(found[one : one + 1], expected[one : one + 1], kept[one : one + 1])


@pytest.mark.parametrize("turn", [0, 1, 2, 3])
def test_label_propagation_reaches_the_end_of_the_longest_way(turn: int) -> None:
    """A line that winds through the whole image is one piece."""
    kept = snake().rot90(turn, (1, 2))
    labels = propagate_labels(flat_points(), kept, EPS_M)
    assert len(labels[kept.flatten(1)].unique()) == 1
    assert len(label_pieces(flat_points(), kept, EPS_M)[kept.flatten(1)].unique()) == 1


def test_frames_of_a_batch_do_not_mix() -> None:
    """Every frame of a batch is cleaned as it is alone."""
    kept = torch.cat([mask_of((10, 50, 5, 25), (10, 50, 35, 60)), mask_of(), snake()])
    points = flat_points().repeat(3, 1, 1, 1)
    together = clean_clusters(points, kept, "largest", scale=1.0).kept
    alone = [clean_clusters(points[i : i + 1], kept[i : i + 1], "largest", scale=1.0).kept for i in range(3)]
    assert torch.equal(together, torch.cat(alone))
