"""`cmfm-worker replay-part` reproduces the outcome of an archived part bit for bit, or says why it cannot."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tomli_w
import torch
from tests.unit.made.dataset import read_json, run
from tests.unit.made.recipes import ColourAndPlace, frames, saved
from tests.unit.made.verdicts import result

from cmfm_protocol.files.dataset import PartFiles, read_part
from cmfm_protocol.wire.frame import Frame, FrameHeader
from cmfm_protocol.wire.result import Result
from cmfm_protocol.wire.verdict import Verdict
from cmfm_records.archived_part import part_folders
from cmfm_worker.cli.replay_part import replay_archived
from cmfm_worker.datasets.batches import to_frames
from cmfm_worker.errors import InputError
from cmfm_worker.inspection.inspector import Inspector
from cmfm_worker.line.compute.line_inspector import LineInspector
from cmfm_worker.line.intake.ring import Ring
from cmfm_worker.line.messages import Decision, LineRecipe, Trigger, TriggerKey
from cmfm_worker.line.records.archive import Archive, made_on
from cmfm_worker.line.records.ledger.writer import Ledger
from cmfm_worker.line.records.recorder import Evidence, Recorder
from cmfm_worker.recipes.loaded_model import LoadedModel
from cmfm_worker.recipes.recipe import load_recipe
from cmfm_worker.recipes.sections import ThresholdSection

CPU = torch.device("cpu")


def decided(number: int, decision: Decision) -> Result:
    changes: dict[str, Any] = {
        "reason": decision.reason,
        "score": decision.score,
        "threshold": decision.threshold,
        "model_sha": decision.model_sha,
        "coverage": decision.coverage,
        "recipe": "part",
        "boot_id": "boot",
    }
    return result(number, decision.verdict, **changes)


def inspect_on_the_line(recipes: Path) -> list[tuple[Frame, Decision]]:
    """Inspect four frames in one batch through the ring and the line's inspector; the last one has no 3D."""
    loaded = load_recipe(recipes / "part")
    model = LineRecipe(LoadedModel.of(loaded, CPU), Inspector(ColourAndPlace()), loaded.recipe_sha)
    rgb, xyz = frames(4)
    xyz[3] = torch.nan
    sent = [
        Frame(FrameHeader("a", i, f"p{i}", 0, 100.0, "part"), rgb[i].numpy(), xyz[i].numpy())
        for i in range(4)
    ]
    ring, slots = Ring(slots=4, max_pixels=64 * 64, pinned=False), []
    for i, frame in enumerate(sent):
        trigger = Trigger(TriggerKey("a", i), f"p{i}", "part", "", 0, 0, 1 << 62, simulated=True, frame=frame)
        index = ring.claim()
        assert index is not None
        ring.fill(index, frame, trigger, model, time.monotonic_ns())
        taken = ring.take(timeout_s=1)
        assert taken is not None
        slots.append(taken)
    with torch.inference_mode():
        decisions = LineInspector().inspect(slots, [s.rgb for s in slots], [s.xyz for s in slots])
    return list(zip(sent, decisions, strict=True))


class Line:
    """The files of a line: recipes, archived parts, a ledger and settings."""

    def __init__(
        self,
        folder: Path,
        threshold: ThresholdSection = ThresholdSection(fail_at=0.01),
        *,
        drifts: bool = False,
    ) -> None:
        self.recipes = folder / "recipes"
        self.kept = folder / "kept"
        self.config = folder / "line.toml"
        saved(self.recipes / "part", threshold=threshold)
        table = {"recipes": {"folder": "recipes"}, "device": {"name": "cpu", "threads": 1}}
        self.config.write_text(tomli_w.dumps(table))
        ledger = Ledger(folder / "ledger.sqlite", flush_ms=10)
        parts = Archive(self.kept, max_mb=100, which="rejected", made_on=made_on(CPU, threads=1))
        recorder = Recorder(ledger=ledger, keep=parts.keep)
        for number, (frame, found) in enumerate(inspect_on_the_line(self.recipes), start=1):
            decision = found.as_drifted() if drifts else found
            evidence = Evidence(
                decided(number, decision), frame, decision.maps, decision.recipe_sha, decision.batch
            )
            recorder.record(evidence)
        late = result(
            5, Verdict.FAULT, boot_id="boot", recipe="part", model_sha="", score=None, threshold=None
        )
        recorder.record(Evidence(late, frame))
        recorder.record(Evidence(result(6, Verdict.PASS, boot_id="boot"), frame))
        for closing in (recorder, ledger, parts):
            closing.close()

    def replay(self, part: object, *, as_json: bool = False) -> bool:
        """Replay a part with the extractor of these recipes; return whether the outcome is equal."""
        return replay_archived(str(part), self.config, as_json=as_json, build=lambda *_: ColourAndPlace())

    def folder(self, number: int) -> Path:
        (found,) = [part for part in part_folders(self.kept) if part.name.endswith(f"_{number}")]
        return found


@pytest.fixture
def line(tmp_path: Path) -> Iterator[Line]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield Line(tmp_path)
    torch.set_num_threads(threads)


def test_rejected_parts_come_out_equal(line: Line, capsys: pytest.CaptureFixture[str]) -> None:
    """Parts that shared a batch get the same verdict, score and maps alone, to the last bit."""
    for number in (1, 2, 3):
        assert line.replay(f"boot/{number}", as_json=True)
        said = json.loads(capsys.readouterr().out)
        assert said["equal"]
        assert said["maps_equal"]
        assert said["in_ledger"]
        assert said["recorded"] == said["replayed"]
        assert said["recorded"]["verdict"] == "FAIL"
        assert said["remarks"] == []


@pytest.mark.parametrize(("recorded", "used"), [(3, 3), ("many", 1), (0, 1), (10**9, 1)])
def test_threads_are_those_of_the_recorded_computation(
    line: Line, capsys: pytest.CaptureFixture[str], recorded: object, used: int
) -> None:
    """The replay uses the recorded number of threads, on which last bits depend. If the record is invalid it uses the
    line's number and remarks on it."""
    facts = read_json(line.folder(1) / "result.json") | {"threads": recorded}
    (line.folder(1) / "result.json").write_text(json.dumps(facts))
    assert line.replay("boot/1", as_json=True)
    assert torch.get_num_threads() == used
    remarks = json.loads(capsys.readouterr().out)["remarks"]
    assert remarks == ([] if used == recorded else [f"threads was {recorded}, now it is 1"])


def test_fault_found_in_the_frame_comes_out_equal(line: Line, capsys: pytest.CaptureFixture[str]) -> None:
    """A part without 3D gets the same FAULT again."""
    assert line.replay("boot/4")
    said = capsys.readouterr().out
    assert said.count("FAULT (no_valid_3d), score none") == 2
    assert "equal, bit for bit" in said


def test_part_can_be_named_by_its_folder(line: Line) -> None:
    """A part can be replayed from any folder, also after it has been moved out of the archive."""
    elsewhere = line.kept.parent / "evidence"
    line.folder(2).rename(elsewhere)
    assert line.replay(elsewhere)


def test_fault_of_the_line_is_not_called_equal(line: Line, capsys: pytest.CaptureFixture[str]) -> None:
    """The frame cannot reproduce a deadline: both outcomes are shown, they are not equal, and a note says why."""
    assert not line.replay("boot/5")
    said = capsys.readouterr().out
    assert "recorded  FAULT (deadline)" in said
    assert "replayed  FAULT (no_valid_3d)" in said
    assert "NOT EQUAL" in said
    assert "was not caused by the frame" in said


@pytest.mark.parametrize("what", ["score", "psi"])
def test_one_bit_is_enough(line: Line, capsys: pytest.CaptureFixture[str], what: str) -> None:
    """A score or a map that differs in its last bit is not equal."""
    folder = line.folder(1)
    (line.kept.parent / "ledger.sqlite").unlink()  # its row would contradict the changed score
    if what == "score":
        facts = read_json(folder / "result.json")
        facts["score"] = float(np.nextafter(facts["score"], 2))
        (folder / "result.json").write_text(json.dumps(facts))
    else:
        psi = np.load(folder / "psi.npy")
        psi.view(np.uint32)[100, 100] ^= 1
        np.save(folder / "psi.npy", psi)
    assert not line.replay("boot/1")
    assert "NOT EQUAL" in capsys.readouterr().out


def test_result_that_contradicts_the_ledger_is_refused(line: Line) -> None:
    """A verdict that was changed in result.json is refused, because the ledger has another one."""
    path = line.folder(1) / "result.json"
    path.write_text(path.read_text().replace('"FAIL"', '"PASS"'))
    with pytest.raises(InputError, match="differ in verdict"):
        line.replay("boot/1")


@pytest.mark.parametrize(("change", "what"), [("threshold", "recipe.toml"), ("mapping", "recipe.toml")])
def test_changed_recipe_is_refused(line: Line, change: str, what: str) -> None:
    """A recipe with another threshold or mapping than the recorded one is refused by name."""
    folder = line.recipes / "part"
    for file in folder.iterdir():
        file.unlink()
    folder.rmdir()
    saved(folder, seed=int(change == "mapping"), threshold=ThresholdSection(fail_at=0.02))
    with pytest.raises(InputError, match=f"recipe 'part' has changed since: its {what}"):
        line.replay("boot/1")


def test_a_part_is_replayed_by_the_version_that_decided_it(
    line: Line, capsys: pytest.CaptureFixture[str]
) -> None:
    """After a threshold was changed from the page, a part of before still comes out equal, maps included."""
    assert run("recipe", "threshold", "part", "--config", line.config, "--fail-at", 9.0) == 0
    capsys.readouterr()
    assert line.replay("boot/1", as_json=True)
    said = json.loads(capsys.readouterr().out)
    assert said["maps_equal"]
    assert said["replayed"]["verdict"] == "FAIL"  # by the recipe in use it would PASS
    assert (
        load_recipe(line.recipes / "part").recipe_sha
        != read_json(line.folder(1) / "result.json")["recipe_sha"]
    )


def test_a_part_that_drift_made_undecided_comes_out_equal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The verdict says drift, score and maps are equal, and a note says that the parts before it decided that."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        line = Line(tmp_path, ThresholdSection(fail_at=9.0), drifts=True)
        for number in (1, 2, 3):
            assert line.replay(f"boot/{number}", as_json=True)
            said = json.loads(capsys.readouterr().out)
            assert said["recorded"] == said["replayed"]
            assert said["recorded"]["reason"] == "drift"
            assert said["maps_equal"]
            assert "by itself it would PASS" in said["remarks"][0]
        facts = read_json(line.folder(1) / "result.json")
        facts["score"] = float(np.nextafter(facts["score"], 2))
        (line.folder(1) / "result.json").write_text(json.dumps(facts))
        (tmp_path / "ledger.sqlite").unlink()
        assert not line.replay("boot/1")
    finally:
        torch.set_num_threads(threads)


def test_part_that_passed_is_explained(line: Line) -> None:
    """For a part that was not archived the error names its verdict from the ledger."""
    with pytest.raises(InputError, match=r"the ledger has PASS \(below_threshold\)"):
        line.replay("boot/6")


@pytest.mark.parametrize("wanted", ["boot/77", "boot", "boot/x", "/nowhere/at/all"])
def test_unknown_part_is_named(line: Line, capsys: pytest.CaptureFixture[str], wanted: str) -> None:
    """The command names a part that it cannot find and exits with code 2."""
    assert run("replay-part", wanted, "--config", line.config) == 2
    assert wanted in capsys.readouterr().err


def test_files_of_an_archived_part_can_be_inspected_again(line: Line) -> None:
    """The pictures of an archived part, read as those of any other part, give the recorded score."""
    folder = line.folder(1)
    images = read_part(PartFiles("1", "", "", rgb=folder / "rgb.png", xyz=folder / "xyz.tiff", gt=None))
    model = LoadedModel.of(load_recipe(line.recipes / "part"), CPU)
    with torch.inference_mode():
        again = Inspector(ColourAndPlace()).inspect(*to_frames([images], CPU), [model]).parts()[0]
    assert again.score == read_json(folder / "result.json")["score"]
