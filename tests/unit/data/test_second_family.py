"""The second family: repeatable, consistent, true to its ground truth, and of no one else's making."""

import ast
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

import cmfm_sim.datasets.second as second
from cmfm_sim.datasets.second import CATEGORIES, DEFECTS, render_part
from cmfm_sim.datasets.second.render import Part

SIZE_PX = 128


def rendered(category: str, defect: str, index: int = 0) -> Part:
    return render_part(category, seed=5, split="test", defect=defect, index=index, size_px=SIZE_PX)


def height_mm(part: Part) -> NDArray[np.float64]:
    plane = np.array(part.info["plane"])
    return np.asarray(1000.0 * (part.xyz.astype(np.float64) @ plane[:3] + plane[3]), dtype=np.float64)


def test_it_shares_no_code_with_the_first() -> None:
    """The family that confirms choices shares no code with the family that they were made on."""
    files = list(Path(second.__file__).parent.glob("*.py"))
    assert len(files) >= 4
    for file in files:
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.ImportFrom):
                assert "synthetic" not in (node.module or "")


def test_the_same_arguments_give_the_same_part() -> None:
    """And another index another one."""
    first, again, other = (
        rendered("gear", "blot", 1),
        rendered("gear", "blot", 1),
        rendered("gear", "blot", 2),
    )
    np.testing.assert_array_equal(first.rgb, again.rgb)
    np.testing.assert_array_equal(first.xyz, again.xyz)
    assert (first.rgb != other.rgb).mean() > 0.2


@pytest.mark.parametrize("category", CATEGORIES)
def test_points_lie_on_their_pixels_rays_over_a_plane(category: str) -> None:
    """As a camera in metres sees them; the tray is at height 0 all around, the part stands on it."""
    part = rendered(category, "good")
    ok = np.isfinite(part.xyz).all(axis=-1)
    assert 0.75 < ok.mean() < 1.0, "a sensor loses some points, and says so by NaN"
    column = part.xyz[..., 0] / part.xyz[..., 2] * part.info["focal_px"] + SIZE_PX / 2 - 0.5
    expected = np.broadcast_to(np.arange(SIZE_PX), column.shape)
    np.testing.assert_allclose(column[ok], expected[ok], atol=0.05)
    height = height_mm(part)
    assert np.nanmax(np.abs(height[:3])) < 1.5
    assert 6.0 < np.nanpercentile(height, 99.5) < 32.0
    assert not part.gt.any()


@pytest.mark.parametrize("category", CATEGORIES)
@pytest.mark.parametrize("defect", DEFECTS)
def test_every_defect_is_marked_on_the_part(category: str, defect: str) -> None:
    """The ground truth lies where the part stands, and is neither empty nor the whole part."""
    part = rendered(category, defect)
    assert 5 <= part.gt.sum() < 0.15 * part.gt.size
    assert (np.nan_to_num(height_mm(part), nan=9.0)[part.gt] > 1.0).mean() > 0.9


def test_what_does_not_exist_is_refused() -> None:
    """Neither a category nor a defect of the first family is one of the second."""
    for category, defect in (("biscuit", "good"), ("gear", "swap")):
        with pytest.raises(ValueError, match="no such part"):
            rendered(category, defect)
