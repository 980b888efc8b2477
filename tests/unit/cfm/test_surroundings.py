"""The surroundings of a part: distances to the edges, and other pieces."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from cmfm_worker.cfm.prepare import BackgroundOptions, prepare
from cmfm_worker.cfm.surroundings import Surroundings

TRAY_M = 0.5


def around(
    *blocks: tuple[slice, slice],
    size: tuple[int, int] = (224, 224),
    method: str = "ransac",
    keep: str = "largest",
) -> Surroundings:
    """Return the surroundings of blocks 2 cm high on a tray; the first slices are rows."""
    return look(points(*blocks, size=size), method, keep)


def points(*blocks: tuple[slice, slice], size: tuple[int, int] = (224, 224)) -> Tensor:
    height, width = size
    y, x = torch.meshgrid(torch.arange(height) * 5e-4, torch.arange(width) * 5e-4, indexing="ij")
    z = torch.full(size, TRAY_M)
    for rows, columns in blocks:
        z[rows, columns] -= 0.02
    return torch.stack([x - 0.05, y - 0.05, z], dim=-1)


def look(xyz: Tensor, method: str = "ransac", keep: str = "largest") -> Surroundings:
    rgb = torch.zeros(1, *xyz.shape[:2], 3, dtype=torch.uint8)
    options = BackgroundOptions(method=method, clusters=keep)  # type: ignore[arg-type]
    return Surroundings(*prepare(rgb, xyz[None], options).surroundings[0].tolist())


@pytest.mark.parametrize(
    ("rows", "columns", "edge_px"),
    [
        (slice(60, 120), slice(80, 140), 60),
        (slice(0, 60), slice(80, 140), 0),
        (slice(164, 224), slice(80, 140), 0),
        (slice(60, 120), slice(0, 60), 0),
        (slice(60, 120), slice(164, 224), 0),
        (slice(60, 120), slice(3, 63), 3),
        (slice(60, 120), slice(160, 221), 3),
    ],
)
def test_distance_to_the_nearest_of_the_four_edges(rows: slice, columns: slice, edge_px: int) -> None:
    """0 for a part that touches an edge, else the pixels between them."""
    assert around((rows, columns)) == (edge_px, edge_px, 1, 0)


@pytest.mark.parametrize("size", [(112, 224), (224, 112)])
def test_edge_is_that_of_the_picture_and_not_of_its_square(size: tuple[int, int]) -> None:
    """A picture that is not square is padded; its part touches the edge of the picture."""
    tall = size[0] == 224
    rows, columns = (slice(60, 120), slice(0, 60)) if tall else (slice(0, 60), slice(60, 120))
    assert around((rows, columns), size=size).edge_px == 0


def test_edge_of_the_measured_field() -> None:
    """A part that ends where the sensor measures nothing touches the field, not the picture; strays do not count."""
    xyz = points((slice(60, 120), slice(40, 100)))
    xyz[:, :40] = torch.nan
    xyz[::50, ::20] = points()[::50, ::20]
    found = look(xyz)
    assert (found.edge_px, found.field_px) == (40, 0)


def test_pieces_are_counted_and_measured() -> None:
    """A second part counts; a small piece does not and is measured."""
    part, second, crumb = (
        (slice(20, 80), slice(20, 80)),
        (slice(120, 170), slice(20, 80)),
        (slice(180, 190),) * 2,
    )
    assert around(part)[2:] == (1, 0)
    assert around(part, second)[2:] == (2, 3000)
    assert around(part, crumb)[2:] == (1, 100)
    assert around(part, second, crumb, keep="all")[2:] == (2, 100)


def test_without_a_tray_there_are_no_other_pieces() -> None:
    """All valid points are the part, and the distance is that to the picture's edge."""
    assert around((slice(60, 120), slice(80, 140)), method="none") == (0, 0, 1, 0)
    alone = points((slice(60, 120), slice(80, 140)))
    alone[alone[..., 2] == TRAY_M] = torch.nan
    for method in ("none", "ransac"):
        assert look(alone, method) == (60, 60, 1, 0)
