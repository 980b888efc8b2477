"""The verdict on a part from its score and coverage."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from tests.unit.made.recipes import saved

from cmfm_protocol.wire.verdict import REASONS_OF, Reason, Verdict
from cmfm_worker.inspection.decide import decide
from cmfm_worker.recipes.sections import CalibrationSection, CoverageSection, ThresholdSection

FAILED = (Verdict.FAIL, Reason.ABOVE_THRESHOLD)

CASES = [
    (0.1, 1.0, Verdict.PASS, Reason.BELOW_THRESHOLD),
    (0.299, 1.0, Verdict.PASS, Reason.BELOW_THRESHOLD),
    (0.3, 1.0, Verdict.UNDECIDED, Reason.GREY_BAND),
    (0.499, 1.0, Verdict.UNDECIDED, Reason.GREY_BAND),
    (0.5, 1.0, Verdict.FAIL, Reason.ABOVE_THRESHOLD),
    (0.1, 0.5, Verdict.PASS, Reason.BELOW_THRESHOLD),
    (0.1, 0.499, Verdict.UNDECIDED, Reason.LOW_COVERAGE),
    (0.9, 0.499, Verdict.UNDECIDED, Reason.LOW_COVERAGE),
    (0.1, math.nan, Verdict.UNDECIDED, Reason.LOW_COVERAGE),
    (0.1, None, Verdict.PASS, Reason.BELOW_THRESHOLD),
    (math.nan, 1.0, Verdict.FAULT, Reason.WORKER_ERROR),
    (math.inf, 1.0, Verdict.FAULT, Reason.WORKER_ERROR),
    (-math.inf, 1.0, Verdict.FAULT, Reason.WORKER_ERROR),
    (math.nan, 0.1, Verdict.FAULT, Reason.WORKER_ERROR),
]


@pytest.mark.parametrize(("score", "coverage", "verdict", "reason"), CASES)
def test_decisions(
    tmp_path: Path, score: float, coverage: float | None, verdict: Verdict, reason: Reason
) -> None:
    """Decisions follow the table: at the threshold a part FAILs; missing 3D or an invalid score never PASSes."""
    threshold = ThresholdSection(fail_at=0.5, grey_from=0.3)
    coverage_section = CoverageSection(minimum=0.5, nominal_median_px=100)
    recipe = saved(tmp_path / "part", threshold=threshold, coverage=coverage_section).recipe
    assert decide(score, coverage, recipe) == (verdict, reason)
    assert reason in REASONS_OF[verdict]


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
    recipe = saved(tmp_path / "part", calibration=CalibrationSection(id=recipe_id)).recipe
    found = decide(score, 1.0, recipe, calib_id)
    assert found == ((verdict, reason) if score < 0.5 or verdict is Verdict.UNDECIDED else FAILED)
    assert found[1] in REASONS_OF[found[0]]


def test_no_threshold_no_decision(tmp_path: Path) -> None:
    """A recipe without a threshold raises an error instead of deciding."""
    with pytest.raises(ValueError, match="no threshold"):
        decide(0.0, 1.0, saved(tmp_path / "part", threshold=None).recipe)
