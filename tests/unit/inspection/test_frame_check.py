"""A frame in another unit, of another size or from another distance is a FAULT that says so."""

from pathlib import Path

import numpy as np
import pytest
import torch
from tests.unit.made.measures import measures
from tests.unit.made.recipes import ColourAndPlace, draft, frames, model

from cmfm_protocol.wire.points import PointFacts
from cmfm_protocol.wire.verdict import Reason, Verdict
from cmfm_worker.cfm.extractor import PixelFeatures
from cmfm_worker.cfm.prepare import BackgroundOptions, PreparedFrames, prepare
from cmfm_worker.inspection.inspector import Inspector, find_problems
from cmfm_worker.line.compute.line_inspector import LineInspector
from cmfm_worker.line.intake.ring import FilledSlot
from cmfm_worker.line.messages import Decision, LineRecipe, Trigger, TriggerKey
from cmfm_worker.recipes.recipe import load_recipe
from cmfm_worker.recipes.sections import FrameSection, ThresholdSection
from cmfm_worker.teaching.features import TaughtPart
from cmfm_worker.teaching.geometry import frame_section

TAUGHT = FrameSection(height_px=64, width_px=64, distance_m=0.49, distance_tolerance_m=0.05)


def decide(folder: Path, rgb: torch.Tensor, xyz: torch.Tensor, frame: FrameSection = TAUGHT) -> Decision:
    """Return the line's decision on one frame by a recipe that passes every part."""
    taught = model(folder, threshold=ThresholdSection(fail_at=1e9), frame=frame)
    recipe = LineRecipe(taught, Inspector(ColourAndPlace()))
    trigger = Trigger(TriggerKey("a", 0), "", "", "", 0, 0, 0, False)
    (found,) = LineInspector().inspect([FilledSlot(0, trigger, recipe, rgb, xyz, 0)], [rgb], [xyz])
    return found


def test_frame_as_taught_is_inspected(tmp_path: Path) -> None:
    """Size and distance of the recipe: a verdict by its score."""
    (rgb,), (xyz,) = frames(1)
    assert decide(tmp_path / "part", rgb, xyz).verdict is Verdict.PASS


def test_millimetres_on_the_line_are_a_fault(tmp_path: Path) -> None:
    """A camera that says metres and sends millimetres gets a FAULT, not a FAIL that is counted as a defect."""
    (rgb,), (xyz,) = frames(1)
    found = decide(tmp_path / "part", rgb, 1000 * xyz, FrameSection())
    assert (found.verdict, found.reason) == (Verdict.FAULT, Reason.IMPLAUSIBLE_3D)
    assert "millimetres?" in found.detail
    assert found.score is None


class NothingComputed(ColourAndPlace):
    """An extractor that must not be called."""

    def __call__(self, frames: PreparedFrames) -> PixelFeatures:
        raise AssertionError("features were computed")


def test_refused_frames_cost_no_computation_and_leave_others_alone(tmp_path: Path) -> None:
    """A frame in millimetres and one from another distance are refused before they are prepared, a third is decided."""
    rgb, xyz = frames(3)
    shown = [xyz[0], 1000 * xyz[1], xyz[2] + torch.tensor([0, 0, 0.1])]
    taught = model(tmp_path / "part", threshold=ThresholdSection(fail_at=1e9), frame=TAUGHT)

    def inspected(extractor: ColourAndPlace, places: list[int]) -> list[Decision]:
        recipe = LineRecipe(taught, Inspector(extractor))
        slots = [
            FilledSlot(
                i, Trigger(TriggerKey("a", i), "", "", "", 0, 0, 0, False), recipe, rgb[i], shown[i], 0
            )
            for i in places
        ]
        return LineInspector().inspect(slots, [rgb[i] for i in places], [shown[i] for i in places])

    reasons = [Reason.BELOW_THRESHOLD, Reason.IMPLAUSIBLE_3D, Reason.OTHER_GEOMETRY]
    assert [found.reason for found in inspected(ColourAndPlace(), [0, 1, 2])] == reasons
    assert [found.reason for found in inspected(ColourAndPlace(), [2, 0, 1])] == [reasons[2], *reasons[:2]]
    assert [found.reason for found in inspected(NothingComputed(), [1, 2])] == reasons[1:]


def test_other_region_of_interest_is_a_fault(tmp_path: Path) -> None:
    """Another size than taught is told with both sizes."""
    (rgb,), (xyz,) = frames(1)
    found = decide(tmp_path / "part", rgb[:48].contiguous(), xyz[:48].contiguous())
    assert (found.verdict, found.reason) == (Verdict.FAULT, Reason.OTHER_GEOMETRY)
    assert "64×48 pixels" in found.detail
    assert "64×64" in found.detail


def test_other_distance_is_a_fault(tmp_path: Path) -> None:
    """A sensor that was mounted higher is told with both distances."""
    (rgb,), (xyz,) = frames(1)
    found = decide(tmp_path / "part", rgb, xyz + torch.tensor([0, 0, 0.1]))
    assert (found.verdict, found.reason) == (Verdict.FAULT, Reason.OTHER_GEOMETRY)
    assert "median distance 0.59 m" in found.detail


def test_recipe_that_does_not_know_its_frames_compares_nothing(tmp_path: Path) -> None:
    """Imported recipes have no such section."""
    (rgb,), (xyz,) = frames(1)
    apart = xyz + torch.tensor([0, 0, 0.4])
    assert decide(
        tmp_path / "part", rgb[:48].contiguous(), apart[:48].contiguous(), FrameSection()
    ).verdict is (Verdict.PASS)


def test_section_is_kept_in_the_recipe_and_in_no_models_name(tmp_path: Path) -> None:
    """It is read back from recipe.toml; the networks are the same with and without it."""
    plain = model(tmp_path / "plain")
    taught = model(tmp_path / "part", frame=TAUGHT)
    assert load_recipe(tmp_path / "part").recipe.frame == TAUGHT
    assert load_recipe(tmp_path / "plain").recipe.frame == FrameSection()
    assert taught.sha == plain.sha


def _part(size_px: tuple[int, int], distance_m: float | None) -> TaughtPart:
    return TaughtPart("p", measures(), size_px, PointFacts(0, distance_m, None))


def test_section_is_learned_from_the_nominal_parts() -> None:
    """Size if it is one; the median distance, and a tenth of it or twice what the parts differ."""
    alike = frame_section([_part((48, 64), distance) for distance in (0.5, 0.502, 0.498)])
    assert alike == FrameSection(height_px=48, width_px=64, distance_m=0.5, distance_tolerance_m=0.05)
    apart = frame_section(
        [_part((48, side), distance) for side, distance in ((64, 0.5), (65, 0.6), (64, 0.4))]
    )
    assert (apart.height_px, apart.width_px) == (None, None)
    assert apart.distance_tolerance_m == pytest.approx(0.2)
    assert frame_section([_part((48, 64), None)]).distance_m is None


def test_world_frame_is_told_where_no_point_is_left() -> None:
    """z up from a base below the tray: the whole part lies behind the tray's plane, seen from the origin."""
    axis = np.linspace(-0.1, 0.1, 224)
    x, y = np.meshgrid(axis, axis)
    height = np.where(np.maximum(abs(x), abs(y)) < 0.04, 0.02, 0.0)
    xyz = np.stack([x, y, 0.8 + height], axis=-1).astype(np.float32)
    prepared = prepare(
        torch.zeros(1, 224, 224, 3, dtype=torch.uint8), torch.from_numpy(xyz)[None], BackgroundOptions()
    )
    (problem,) = find_problems(prepared, 100)
    assert problem is not None
    assert problem.reason is Reason.TOO_FEW_POINTS
    assert "all points lie on or behind the tray's plane: are they in the sensor's frame?" in problem.detail


def test_draft_has_an_empty_section() -> None:
    """A property that no recipe states is not compared."""
    assert draft().frame.difference(1, 2, 3.0) is None


def test_section_needs_both_of_a_pair() -> None:
    """A height without a width cannot be compared."""
    with pytest.raises(ValueError, match="height_px and width_px need each other"):
        FrameSection(height_px=48)
