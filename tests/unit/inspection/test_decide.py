"""The verdict on a part from its score, its level and its measures."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from tests.unit.made.measures import measures
from tests.unit.made.recipes import saved

from cmfm_protocol.wire.verdict import REASONS_OF, Reason, Verdict
from cmfm_worker.inspection.decide import decide
from cmfm_worker.inspection.measures import PartMeasures
from cmfm_worker.recipes.limits_section import LimitsSection
from cmfm_worker.recipes.sections import CalibrationSection, CoverageSection, ScoreSection, ThresholdSection

FAILED = (Verdict.FAIL, Reason.ABOVE_THRESHOLD)
PASSED = (Verdict.PASS, Reason.BELOW_THRESHOLD)

NOMINAL = measures(100, length_px=20.0)

CASES = [
    (0.1, 100, Verdict.PASS, Reason.BELOW_THRESHOLD),
    (0.299, 100, Verdict.PASS, Reason.BELOW_THRESHOLD),
    (0.3, 100, Verdict.UNDECIDED, Reason.GREY_BAND),
    (0.499, 100, Verdict.UNDECIDED, Reason.GREY_BAND),
    (0.5, 100, Verdict.FAIL, Reason.ABOVE_THRESHOLD),
    (0.1, 50, Verdict.PASS, Reason.BELOW_THRESHOLD),
    (0.1, 49, Verdict.UNDECIDED, Reason.LOW_COVERAGE),
    (0.9, 49, Verdict.UNDECIDED, Reason.LOW_COVERAGE),
    (0.1, 150, Verdict.PASS, Reason.BELOW_THRESHOLD),
    (0.1, 151, Verdict.UNDECIDED, Reason.HIGH_COVERAGE),
    (math.nan, 100, Verdict.FAULT, Reason.WORKER_ERROR),
    (math.inf, 100, Verdict.FAULT, Reason.WORKER_ERROR),
    (-math.inf, 100, Verdict.FAULT, Reason.WORKER_ERROR),
    (math.nan, 10, Verdict.FAULT, Reason.WORKER_ERROR),
]


@pytest.mark.parametrize(("score", "area_px", "verdict", "reason"), CASES)
def test_decisions(tmp_path: Path, score: float, area_px: int, verdict: Verdict, reason: Reason) -> None:
    """Decisions follow the table: at the threshold a part FAILs; missing 3D or an invalid score never PASSes."""
    threshold = ThresholdSection(fail_at=0.5, grey_from=0.3)
    coverage = CoverageSection(minimum=0.5, maximum=1.5, nominal_median_px=100)
    recipe = saved(tmp_path / "part", threshold=threshold, coverage=coverage).recipe
    found = decide(score, 1.0, measures(area_px), recipe)
    assert (found.verdict, found.reason) == (verdict, reason)
    assert reason in REASONS_OF[verdict]


def test_recipe_without_part_size_has_no_coverage(tmp_path: Path) -> None:
    """An imported recipe does not know how large its parts are, and compares nothing."""
    recipe = saved(tmp_path / "part", coverage=CoverageSection()).recipe
    for area_px in (1, 50_000):
        assert decide(0.1, 1.0, measures(area_px), recipe).verdict is Verdict.PASS


LIMITS = LimitsSection(
    edge_px=10,
    field_px=8,
    pieces=(1, 2),
    beside_px=30,
    outline_px=(100.0, 150.0),
    length_px=(15.0, 25.0),
    filled=(0.7, 0.9),
    compactness=(0.13, 0.5),
)

OUTSIDE: list[tuple[Reason, str, PartMeasures]] = [
    (Reason.OUT_OF_VIEW, "9 px from the edge of the picture", measures(100, length_px=20.0, edge_px=9)),
    (
        Reason.OUT_OF_VIEW,
        "7 px from the edge of the measured field",
        measures(100, length_px=20.0, field_px=7),
    ),
    (Reason.UNEXPECTED_PIECE, "3 pieces", measures(100, length_px=20.0, pieces=3)),
    (Reason.UNEXPECTED_PIECE, "a piece of 31 px beside", measures(100, length_px=20.0, beside_px=31)),
    (Reason.LOW_COVERAGE, "pieces above the tray 0", measures(100, length_px=20.0, pieces=0)),
    (Reason.LOW_COVERAGE, "outline in px 99", measures(80, filled=80 / 99, length_px=20.0)),
    (Reason.LOW_COVERAGE, "length in px 14.9", measures(100, length_px=14.9)),
    (Reason.LOW_COVERAGE, "share of the outline with 3D 0.69", measures(100, filled=0.69, length_px=20.0)),
    (Reason.LOW_COVERAGE, "square of the length 0.128", measures(80, filled=80 / 110, length_px=25.0)),
    (Reason.HIGH_COVERAGE, "square of the length 0.524", measures(118, filled=118 / 140, length_px=15.0)),
    (Reason.HIGH_COVERAGE, "outline in px 151", measures(121, filled=121 / 151, length_px=20.0)),
    (Reason.HIGH_COVERAGE, "length in px 25.1", measures(100, length_px=25.1)),
    (Reason.HIGH_COVERAGE, "share of the outline with 3D 0.91", measures(100, filled=0.91, length_px=20.0)),
]


@pytest.mark.parametrize("score", [0.1, 0.9])
@pytest.mark.parametrize(("reason", "detail", "part"), OUTSIDE)
def test_part_outside_a_limit_is_undecided(
    tmp_path: Path, score: float, reason: Reason, detail: str, part: PartMeasures
) -> None:
    """Each limit has its reason and names both numbers, whatever the score; the same part is decided with it off."""
    recipe = saved(tmp_path / "part", limits=LIMITS, coverage=CoverageSection()).recipe
    found = decide(score, 1.0, part, recipe)
    assert (found.verdict, found.reason) == (Verdict.UNDECIDED, reason)
    assert detail in found.detail
    off = recipe.model_copy(update={"limits": LIMITS.model_copy(update={"off": (str(reason),)})})
    assert decide(score, 1.0, part, off)[:2] == (FAILED if score > 0.5 else PASSED)


def test_nominal_part_keeps_all_limits(tmp_path: Path) -> None:
    """Values at the limits are accepted."""
    recipe = saved(tmp_path / "part", limits=LIMITS, coverage=CoverageSection()).recipe
    for part in (NOMINAL, measures(100, length_px=25.0, edge_px=10, field_px=8, pieces=2, beside_px=30)):
        assert decide(0.1, 1.0, part, recipe)[:2] == PASSED


def test_cause_is_told_before_its_effects(tmp_path: Path) -> None:
    """A part that leaves the picture lacks area, too; half a frame without 3D also has a smaller field."""
    recipe = saved(tmp_path / "part", limits=LIMITS, coverage=CoverageSection()).recipe
    cut = measures(30, length_px=10.0, edge_px=0, field_px=0)
    assert decide(0.1, 1.0, cut, recipe).reason is Reason.OUT_OF_VIEW
    half = measures(30, length_px=10.0, edge_px=30, field_px=0)
    assert decide(0.1, 1.0, half, recipe).reason is Reason.LOW_COVERAGE


UNLIKE = (Verdict.UNDECIDED, Reason.UNLIKE_TAUGHT)


@pytest.mark.parametrize(
    ("score", "level", "expected"),
    [
        (0.1, 2.0, PASSED),
        (0.1, 2.1, UNLIKE),
        (0.5, 2.0, FAILED),
        (1.9, 4.0, UNLIKE),  # 0.475 at the usual level of 1
        (2.0, 4.0, FAILED),
    ],
)
def test_unusual_part_is_undecided_unless_a_defect_stands_out(
    tmp_path: Path, score: float, level: float, expected: tuple[Verdict, Reason]
) -> None:
    """Above the level of nominal parts nothing passes, and only a score that is high even for that level FAILs."""
    limits = LimitsSection(level=2.0, usual_level=1.0)
    recipe = saved(tmp_path / "part", limits=limits, coverage=CoverageSection()).recipe
    assert decide(score, level, NOMINAL, recipe)[:2] == expected
    off = recipe.model_copy(update={"limits": limits.model_copy(update={"off": ("unlike_taught",)})})
    assert decide(score, level, NOMINAL, off)[:2] == (FAILED if score >= 0.5 else PASSED)


@pytest.mark.parametrize(
    ("how", "unlike", "failed"),
    [
        # Ψ has been divided by 1.5 only, although the level is 3
        (ScoreSection(level_range=(0.5, 1.5)), 0.99, 1.01),
        # the score has been divided by √3 already, nominal ones by 1
        (ScoreSection(normalisation="published"), 0.5 * 3**0.5 - 0.01, 0.5 * 3**0.5 + 0.01),
    ],
)
def test_level_counts_once_in_a_score(
    tmp_path: Path, how: ScoreSection, unlike: float, failed: float
) -> None:
    """A score that the recipe has already divided by the level is not divided again."""
    limits = LimitsSection(level=2.0, usual_level=1.0)
    recipe = saved(tmp_path / "part", score=how, limits=limits, coverage=CoverageSection()).recipe
    assert decide(unlike, 3.0, NOMINAL, recipe)[:2] == UNLIKE
    assert decide(failed, 3.0, NOMINAL, recipe)[:2] == FAILED


@pytest.mark.parametrize(
    ("recipe_id", "calib_id", "verdict", "reason"),
    [
        ("cal-1", "cal-1", Verdict.PASS, Reason.BELOW_THRESHOLD),
        ("cal-1", "cal-2", Verdict.UNDECIDED, Reason.OTHER_CALIBRATION),
        ("cal-1", "", Verdict.UNDECIDED, Reason.OTHER_CALIBRATION),
        ("", "cal-2", Verdict.PASS, Reason.BELOW_THRESHOLD),
        ("cal-1", None, Verdict.PASS, Reason.BELOW_THRESHOLD),
    ],
)
@pytest.mark.parametrize("score", [0.1, 0.9])
def test_frame_of_another_calibration_is_undecided(
    tmp_path: Path, score: float, recipe_id: str, calib_id: str | None, verdict: Verdict, reason: Reason
) -> None:
    """A recipe that names a calibration decides no frame of another one, nor one that names none, by its score.

    A recipe without one accepts every frame, and parts of data sets have nothing to compare.
    """
    calibration = CalibrationSection(id=recipe_id)
    recipe = saved(tmp_path / "part", calibration=calibration, coverage=CoverageSection()).recipe
    found = decide(score, 1.0, NOMINAL, recipe, calib_id)[:2]
    assert found == ((verdict, reason) if score < 0.5 or verdict is Verdict.UNDECIDED else FAILED)
    assert found[1] in REASONS_OF[found[0]]


def test_no_threshold_no_decision(tmp_path: Path) -> None:
    """A recipe without a threshold raises an error instead of deciding."""
    with pytest.raises(ValueError, match="no threshold"):
        decide(0.0, 1.0, NOMINAL, saved(tmp_path / "part", threshold=None).recipe)
