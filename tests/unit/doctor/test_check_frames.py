"""The check of the frame sizes: settings, recipes, archived parts and FAULTs against one another."""

import json
from pathlib import Path

import pytest
from tests.unit.made.examined import outcomes, said, settings, sound_recipe, visit
from tests.unit.made.verdicts import evidence, frame, result

from cmfm_protocol.wire.verdict import Reason, Verdict
from cmfm_worker.doctor.check_frames import check_frames
from cmfm_worker.doctor.findings import Outcome
from cmfm_worker.line.records.archive_folder import write_part
from cmfm_worker.line.records.ledger.writer import Ledger
from cmfm_worker.recipes.sections import FrameSection


@pytest.fixture
def line(tmp_path: Path) -> Path:
    """A line with a recipe that was taught on 40 × 40 pixels."""
    sound_recipe(tmp_path, frame=FrameSection(height_px=40, width_px=40))
    return tmp_path


def archive(folder: Path, side_px: int, number: int) -> None:
    (folder / "kept").mkdir(exist_ok=True)
    sent = frame(number, side_px)
    write_part(folder / "kept", evidence(number, recipe="part"), sent, "0" * 64, {})


def test_parts_of_the_taught_size_are_good(line: Path) -> None:
    """The newest archived parts show what the camera sends."""
    for number in (1, 2):
        archive(line, 40, number)
    found = check_frames(visit(line))
    assert outcomes(found) == [Outcome.GOOD]
    assert "40×40 pixels, as the 2 newest archived parts" in found[0].seen


def test_parts_of_another_size_are_to_do(line: Path) -> None:
    """The camera's region of interest was changed."""
    archive(line, 40, 1)
    archive(line, 48, 2)
    told = said(check_frames(visit(line)), Outcome.TO_DO)
    assert "taught on 40×40 pixels; of the newest archived parts 1 of 48×48" in told


def test_archived_part_that_is_damaged_says_nothing(line: Path) -> None:
    """It is left out, and no size is known then."""
    archive(line, 40, 1)
    (path,) = (line / "kept").glob("*/result.json")
    facts = json.loads(path.read_text())
    path.write_text(json.dumps(facts | {"size_px": ["forty", None]}))
    assert "no archived part shows" in said(check_frames(visit(line)), Outcome.NOTE)
    path.write_text("{")
    assert "no archived part shows" in said(check_frames(visit(line)), Outcome.NOTE)


def test_recipe_larger_than_the_ring_is_to_do(tmp_path: Path) -> None:
    """Every frame of it would be refused as too large."""
    sound_recipe(tmp_path, frame=FrameSection(height_px=1000, width_px=2000))
    found = check_frames(visit(tmp_path))
    assert "set [ring] max_pixels to at least 2000000" in said(found, Outcome.TO_DO)


def test_recipe_larger_than_the_warm_up_is_noted(tmp_path: Path) -> None:
    """Memory for a backlog of it is not taken at the start."""
    sound_recipe(tmp_path, frame=FrameSection(height_px=80, width_px=100))
    assert "warmup_px = [[80, 100]]" in said(check_frames(visit(tmp_path)), Outcome.NOTE)
    given = settings(tmp_path, device={"name": "cpu", "warmup_px": [[80, 100]]})
    assert "warmup_px" not in said(check_frames(visit(tmp_path, settings=given)), Outcome.NOTE)


def test_faults_of_another_geometry_are_to_do(line: Path) -> None:
    """The ledger's newest rows tell what was refused."""
    ledger = Ledger(line / "ledger.sqlite", flush_ms=10)
    for number in range(1, 4):
        ledger.append(result(number, Verdict.FAULT, reason=Reason.OTHER_GEOMETRY))
    ledger.append(result(4))
    ledger.close()
    assert "of the newest 4 parts in the ledger: 3 other_geometry" in said(
        check_frames(visit(line)), Outcome.TO_DO
    )
