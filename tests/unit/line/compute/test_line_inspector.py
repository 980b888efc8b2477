"""The line's side of the inspection: each slot is decided by its own recipe and its own frame's header."""

from dataclasses import replace
from pathlib import Path

import pytest
from tests.unit.made.recipes import ColourAndPlace, frames, model

from cmfm_protocol.wire.verdict import Reason, Verdict
from cmfm_worker.inspection.inspector import Inspector
from cmfm_worker.line.compute.line_inspector import LineInspector
from cmfm_worker.line.intake.ring import FilledSlot
from cmfm_worker.line.messages import LineRecipe, Trigger, TriggerKey
from cmfm_worker.recipes.drift import DriftMonitor
from cmfm_worker.recipes.sections import CalibrationSection, ThresholdSection


def slots(folder: Path, recipe_calibration: str, frame_calibrations: list[str]) -> list[FilledSlot]:
    """Frames that differ in their `calib_id`, all for one recipe that passes every part."""
    taught = model(
        folder,
        threshold=ThresholdSection(fail_at=1e9),
        calibration=CalibrationSection(id=recipe_calibration),
    )
    recipe = LineRecipe(taught, Inspector(ColourAndPlace()))
    rgb, xyz = frames(len(frame_calibrations))
    return [
        FilledSlot(i, Trigger(TriggerKey("a", i), "", "", calib_id, 0, 0, 0, True), recipe, rgb[i], xyz[i], 0)
        for i, calib_id in enumerate(frame_calibrations)
    ]


def test_part_of_another_calibration_is_undecided(tmp_path: Path) -> None:
    """A camera that was calibrated anew gets no PASS from a recipe of before, and the result says which it wants."""
    taken = slots(tmp_path / "part", "cal-2025-10", ["cal-2025-10", "cal-2026-02", ""])
    decisions = LineInspector().inspect(taken, [slot.rgb for slot in taken], [slot.xyz for slot in taken])
    assert [(found.verdict, found.reason) for found in decisions] == [
        (Verdict.PASS, Reason.BELOW_THRESHOLD),
        (Verdict.UNDECIDED, Reason.OTHER_CALIBRATION),
        (Verdict.UNDECIDED, Reason.OTHER_CALIBRATION),
    ]
    assert [("cal-2025-10" in found.detail) for found in decisions] == [False, True, True]
    late = [
        found.for_calibration("cal-2025-10").verdict for found in decisions
    ]  # a message that comes after the frame
    assert late == [Verdict.PASS, Verdict.UNDECIDED, Verdict.PASS]
    assert decisions[2].for_calibration("cal-2026-02").verdict is Verdict.UNDECIDED


def test_a_part_of_another_calibration_joins_no_window(tmp_path: Path) -> None:
    """Its score says nothing about the product. One that a later message gives the right calibration joins it."""
    taken = slots(tmp_path / "part", "cal-2025-10", ["cal-2025-10", "cal-2026-02", ""])
    window = DriftMonitor("part", taken[0].model.model.recipe)
    watched = [replace(slot, model=replace(slot.model, drift=window)) for slot in taken]
    decisions = LineInspector().inspect(watched, [slot.rgb for slot in taken], [slot.xyz for slot in taken])
    assert [found.drift for found in decisions] == [window, None, None]
    late = [found.for_calibration("cal-2025-10").drift for found in decisions]
    assert late == [window, None, window]


@pytest.mark.parametrize("recipe_calibration", ["", "é" * 128])
def test_detail_fits_on_the_wire(tmp_path: Path, recipe_calibration: str) -> None:
    """The longest id that a recipe can name leaves a detail that a result can carry; without one all are accepted."""
    taken = slots(tmp_path / "part", recipe_calibration, ["other"])
    (found,) = LineInspector().inspect(taken, [taken[0].rgb], [taken[0].xyz])
    assert found.verdict is (Verdict.UNDECIDED if recipe_calibration else Verdict.PASS)
    assert len(found.detail.encode()) <= 256
