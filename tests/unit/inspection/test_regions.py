"""The defect regions of a rejected part: their places, sizes and modalities."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from tests.unit.made.measures import measures
from tests.unit.made.recipes import ColourAndPlace, frames, model, saved

from cmfm_protocol.pictures.region_floor import region_floor
from cmfm_protocol.wire.limits import MAX_REGIONS
from cmfm_protocol.wire.verdict import Verdict
from cmfm_worker.cfm.anomaly_score import score
from cmfm_worker.inspection.inspector import Inspector
from cmfm_worker.inspection.regions import find_regions, regions_of
from cmfm_worker.inspection.result import InspectedPart
from cmfm_worker.line.compute.line_inspector import decision_of
from cmfm_worker.line.messages import LineRecipe
from cmfm_worker.recipes.sections import ScoreSection, ThresholdSection

PITCH_M = 5e-4
SIDE_PX = 224


def plane(tilt_deg: float = 0.0, noise_m: float = 0.0) -> NDArray[np.float32]:
    """Return points (3, 224, 224) of a plane, half a millimetre a pixel across the line of sight."""
    y, x = np.mgrid[:SIDE_PX, :SIDE_PX] * PITCH_M
    z = 0.5 + math.tan(math.radians(tilt_deg)) * (x + y) / math.sqrt(2)
    return np.stack([x, y, z + np.random.default_rng(0).normal(0, noise_m, z.shape)]).astype(np.float32)


def part(
    *spots: tuple[int, int, int, int, float],
    xyz: NDArray[np.float32] | None = None,
    background: float = 0.01,
) -> InspectedPart:
    """Return a part that is measured everywhere, with low Ψ except in rectangles (row0, col0, row1, col1, Ψ)."""
    psi = np.full((SIDE_PX, SIDE_PX), background, dtype=np.float32)
    for row0, col0, row1, col1, value in spots:
        psi[row0:row1, col0:col1] = value
    points = plane() if xyz is None else xyz
    measured = np.asarray(points.any(axis=0))
    return InspectedPart(
        psi=psi,
        psi_2d=np.ones_like(psi),
        psi_3d=np.ones_like(psi),
        rgb=np.zeros((SIDE_PX, SIDE_PX, 3), np.uint8),
        xyz=points,
        foreground=measured,
        valid=measured,
        measures=measures(),
        score=float(psi.max()),
        level=1.0,
        coverage=1.0,
        peak_px=(0, 0),
        peak_xyz_m=None,
        problem=None,
    )


@pytest.mark.parametrize("tilt_deg", [0, 30, 60, 70])
def test_area_is_that_of_the_surface(tilt_deg: float) -> None:
    """The area of a patch on a tilted plane is that on the part, not across the view, even with a noisy sensor."""
    seen_mm2 = 30 * 20 * (PITCH_M * 1e3) ** 2
    for noise_m in (0.0, 0.05 * PITCH_M):
        (region,) = find_regions(part((50, 60, 80, 80, 1.0), xyz=plane(tilt_deg, noise_m)), 0.5)
        assert region.area_mm2 == pytest.approx(seen_mm2 / math.cos(math.radians(tilt_deg)), rel=0.05)


def test_pixels_that_are_not_square_on_the_part() -> None:
    """Areas are right for a sensor whose pitch along the line is four times that across it."""
    xyz = plane()
    xyz[1] *= 4
    (region,) = find_regions(part((0, 0, 224, 224, 1.0), xyz=xyz), 0.5)
    assert region.area_mm2 == pytest.approx(4 * (224 * PITCH_M * 1e3) ** 2, rel=0.05)


def test_edge_is_no_surface() -> None:
    """The gap between a part's edge and something deeper behind it does not count as surface."""
    xyz = plane()
    xyz[2, :, 112:] += 0.05
    (region,) = find_regions(part((50, 100, 90, 124, 1.0), xyz=xyz), 0.5)
    assert region.area_mm2 == pytest.approx(40 * 24 * (PITCH_M * 1e3) ** 2, rel=0.05)


def test_unmeasured_surface_has_no_area() -> None:
    """Only the measured half of a region has an area; a region without any 3D has the area None, not 0 mm²."""
    xyz = plane()
    xyz[:, 20:40, 30:40] = 0
    xyz[:, 100:120, 100:120] = 0
    halved, blind = find_regions(part((20, 20, 40, 40, 1.0), (105, 105, 115, 115, 0.9), xyz=xyz), 0.5)
    assert halved.area_mm2 == pytest.approx(200 * (PITCH_M * 1e3) ** 2, rel=0.05)
    assert halved.area_px == 400
    assert blind.area_mm2 is None
    assert blind.area_px == 100


def test_highest_peak_comes_first() -> None:
    """Regions are ordered by their peaks; each has its half-open box, its pixel count and its peak."""
    found = part((10, 20, 14, 26, 0.7), (100, 100, 103, 104, 0.9), (200, 5, 224, 7, 0.6))
    found.psi[101, 102] = 0.95
    found = replace(found, score=float(np.float32(0.95)))
    first, second, third = find_regions(found, 0.5)
    assert (first.bbox, first.area_px, first.peak_px) == ((100, 100, 103, 104), 12, (101, 102))
    assert first.peak == pytest.approx(0.95)
    assert (second.bbox, second.area_px, second.peak_px) == ((10, 20, 14, 26), 24, (10, 20))
    assert (third.bbox, third.area_px) == ((200, 5, 224, 7), 48)


def test_no_more_regions_than_a_result_may_hold() -> None:
    """If there are more regions than a result may hold, those with the highest peaks are reported."""
    places = [(row, column) for row in range(2, 222, 20) for column in range(2, 222, 20)]
    peaks = np.random.default_rng(1).permutation(np.linspace(0.6, 0.9, len(places)))
    spots = [(r, c, r + 3, c + 3, float(p)) for (r, c), p in zip(places, peaks, strict=True)]
    found = [region.peak for region in find_regions(part(*spots), 0.5)]
    assert found == pytest.approx(sorted(peaks, reverse=True)[:MAX_REGIONS])


def test_touching_at_a_corner_is_one_region() -> None:
    """Two squares that meet at a corner are one defect; a gap of a pixel makes them two."""
    assert len(find_regions(part((10, 10, 20, 20, 1.0), (20, 20, 30, 30, 1.0)), 0.5)) == 1
    assert len(find_regions(part((10, 10, 20, 20, 1.0), (21, 21, 31, 31, 1.0)), 0.5)) == 2


def test_threshold_itself_is_above() -> None:
    """A pixel at the threshold counts, as for the verdict; one just below it does not."""
    exact = float(np.float32(0.3))
    found = part((10, 10, 12, 12, exact), (50, 50, 60, 60, float(np.nextafter(np.float32(0.3), 0))))
    assert [region.area_px for region in find_regions(found, exact)] == [4]
    assert find_regions(found, np.nextafter(exact, 1)) == ()


def test_halo_of_a_strong_defect_is_not_its_extent() -> None:
    """A defect far above the threshold extends to half of its peak, not to the threshold."""
    row, column = np.mgrid[:SIDE_PX, :SIDE_PX] - 100.0
    halo = 2.0 * np.exp(
        -np.hypot(row, column) / 8.0
    )  # reaches 0.1 after 24 pixels, half of its peak after 5.5
    found = part()
    found.psi[:] = halo.astype(np.float32)
    (region,) = find_regions(replace(found, score=2.0), 0.1)
    assert region.area_px == np.count_nonzero(halo >= 1.0)
    assert region.peak_px == (100, 100)


def test_weak_defect_far_from_a_strong_one_is_reported() -> None:
    """A weak defect more than 32 pixels away is reported on its own; a nearer one counts as the strong one's halo."""
    strong = (100, 100, 110, 110, 1.0)
    assert len(find_regions(part(strong, (100, 142, 104, 146, 0.2)), 0.1)) == 2
    assert len(find_regions(part(strong, (100, 137, 104, 141, 0.2)), 0.1)) == 1
    assert len(find_regions(part(strong, (100, 137, 104, 141, 0.5)), 0.1)) == 2


def test_published_scores_meet_the_threshold_on_their_own_scale() -> None:
    """With the published normalisation Ψ/√m is compared with the threshold; the peak stays in the unit of Ψ."""
    found = part((10, 10, 20, 20, 0.04), (50, 50, 60, 60, 0.03), background=0.01)
    m = float(found.psi.mean())
    assert 0.03 / math.sqrt(m) > 0.25 > 0.01 / math.sqrt(m)
    found = replace(found, score=float(score(torch.from_numpy(found.psi)[None], "published")))
    both = find_regions(found, 0.25)
    assert [region.peak for region in both] == pytest.approx([0.04, 0.03])
    between = 0.035 / math.sqrt(m)
    assert [region.area_px for region in find_regions(found, between)] == [100]


def test_part_exactly_at_the_threshold_has_a_region() -> None:
    """A published score that equals the threshold is a FAIL, and rounding does not lose its region."""
    rng = np.random.default_rng(2)
    for _ in range(50):
        psi = rng.random((SIDE_PX, SIDE_PX)).astype(np.float32)
        found = replace(part(), psi=psi, score=float(score(torch.from_numpy(psi)[None], "published")))
        assert [region.area_px for region in find_regions(found, found.score)] == [1]


def test_a_score_of_several_pixels_meets_the_threshold_at_the_peak() -> None:
    """The level of Ψ is the threshold times peak over score, so that only a FAIL has regions."""
    found = part((10, 10, 20, 20, 4.0), (100, 100, 110, 110, 1.5), background=0.5)
    found = replace(found, score=float(score(torch.from_numpy(found.psi)[None], "absolute", 400)))
    assert found.score == pytest.approx((100 * 4.0 + 100 * 1.5 + 200 * 0.5) / 400)
    assert [region.peak for region in find_regions(found, 0.5)] == [4.0, 1.5]
    assert [region.peak for region in find_regions(found, found.score)] == [4.0]
    assert find_regions(found, 1.01 * found.score) == ()


@pytest.mark.parametrize(
    ("level_2d", "level_3d", "modality"), [(3.0, 1.5, "2d"), (1.5, 3.0, "3d"), (2.0, 2.1, ""), (0.0, 0.0, "")]
)
def test_modality_is_the_one_that_stands_out_more(level_2d: float, level_3d: float, modality: str) -> None:
    """Each modality is compared with its own nominal level, so a modality with larger numbers has no advantage."""
    found = part((10, 10, 20, 20, 1.0))
    found.psi_3d[:] = 50.0
    found.psi_2d[10:20, 10:20] = level_2d
    found.psi_3d[10:20, 10:20] = 50.0 * level_3d
    (region,) = find_regions(found, 0.5)
    assert region.modality == modality


def test_a_large_defect_does_not_raise_the_nominal_level() -> None:
    """A second, much stronger 2D defect over an eighth of the part leaves the modality of a weak 2D defect "2d": the
    nominal level is the median of the map, which the defect hardly moves."""
    found = part((10, 10, 20, 20, 1.0), (100, 100, 180, 180, 0.9))
    found.psi_2d[100:180, 100:180] = 100.0
    found.psi_2d[10:20, 10:20] = 2.0
    weak, strong = find_regions(found, 0.5)
    assert weak.bbox == (10, 10, 20, 20)
    assert (weak.modality, strong.modality) == ("2d", "2d")


def test_extent_is_half_of_the_highest_nearby_at_every_pixel() -> None:
    """The floor of a defect's extent is its definition at random pixels of a map, edges and corners included."""
    rng = np.random.default_rng(3)
    psi = rng.random((SIDE_PX, SIDE_PX)).astype(np.float32) ** 20
    floor = region_floor(psi, 0.1)
    places = [(0, 0), (0, 223), (223, 223), (223, 0), *rng.integers(0, SIDE_PX, (200, 2)).tolist()]
    for row, column in places:
        nearby = psi[max(row - 32, 0) : row + 33, max(column - 32, 0) : column + 33]
        assert floor[row, column] == max(0.1, 0.5 * float(nearby.max()))


def test_maps_of_zeros_name_no_modality() -> None:
    """Without a nominal level in either map a region has no modality."""
    found = part((10, 10, 20, 20, 1.0))
    found.psi_2d[:] = found.psi_3d[:] = 0
    assert find_regions(found, 0.5)[0].modality == ""


def test_only_rejected_parts_have_regions(tmp_path: Path) -> None:
    """FAIL and UNDECIDED have regions; PASS and FAULT have none, nor has a recipe without a threshold."""
    found = part((10, 10, 20, 20, 1.0))
    recipe = saved(tmp_path / "a").recipe
    assert recipe.threshold is not None
    for verdict in Verdict:
        asked = verdict in (Verdict.FAIL, Verdict.UNDECIDED)
        assert bool(regions_of(found, verdict, recipe)) is asked
    undecided = recipe.model_copy(update={"threshold": None})
    assert regions_of(found, Verdict.UNDECIDED, undecided) == ()
    assert find_regions(part(), 0.5) == ()


@pytest.mark.parametrize("normalisation", ["absolute", "published"])
def test_line_reports_the_region_of_the_peak(tmp_path: Path, normalisation: str) -> None:
    """A frame that FAILs on the line has its peak's region first; the same frame as a PASS has none."""
    rgb, xyz = frames(1)
    inspector = Inspector(ColourAndPlace())
    scoring = ScoreSection.model_validate({"normalisation": normalisation})
    score = inspector.inspect(rgb, xyz, [model(tmp_path / "a", score=scoring)]).parts()[0].score
    for name, fail_at, fails in (("b", 0.9 * score, True), ("c", 1.1 * score, False)):
        taught = model(tmp_path / name, score=scoring, threshold=ThresholdSection(fail_at=fail_at))
        found = inspector.inspect(rgb, xyz, [taught]).parts()[0]
        decision = decision_of(found, LineRecipe(taught, inspector), "")
        assert decision.verdict is (Verdict.FAIL if fails else Verdict.PASS)
        assert [region.peak_px for region in decision.regions][:1] == ([found.peak_px] if fails else [])


def test_area_survives_the_preparation(tmp_path: Path) -> None:
    """A region over all of a small frame, enlarged to the map, has the area of the plate that lay there."""
    rgb, xyz = frames(1)
    xyz[..., 2] = 0.5 + xyz[..., 0]  # 45°
    inspector, taught = Inspector(ColourAndPlace()), model(tmp_path / "a")
    found = inspector.inspect(rgb, xyz, [taught]).parts()[0]
    found = replace(found, psi=np.ones_like(found.psi), score=1.0)
    (region,) = find_regions(found, 0.5)
    assert region.area_px == SIDE_PX**2
    assert region.area_mm2 == pytest.approx(200 * 200 * math.sqrt(2), rel=0.05)
