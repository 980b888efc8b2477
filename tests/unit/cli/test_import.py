"""`cmfm-worker import`: published mapping networks become a recipe (the real formats: tests/system)."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tests.unit.made.dataset import run
from tests.unit.made.recipes import ColourAndPlace

from cmfm_worker.cfm.extractor import ExtractorIdentity
from cmfm_worker.cfm.image.models import DINO
from cmfm_worker.cfm.mapping.pair import Mapping
from cmfm_worker.recipes.recipe import load_recipe


class Paper(ColourAndPlace):
    """Stands for the `paper` preset, whose weights are too large for a unit test."""

    identity = ExtractorIdentity("paper", "1", 8, 32, {"dino.pth": "ab" * 32}, image=DINO)


@pytest.fixture(autouse=True)
def no_weights_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cmfm_worker.recipes.extractors.build_extractor", lambda *_, **__: Paper())


def published(
    folder: Path, name: str = "bagel", way: str = "2Dto3D", widths: tuple[int, int] = (3, 3)
) -> Path:
    path = folder / f"CFM_{way}_{name}_50ep_4bs.pth"
    torch.save(Mapping(*widths).state_dict(), path)
    return path


def import_pair(there: Path, back: Path, out: Path, *more: object) -> int:
    return run(
        "import",
        "--mapping-2d3d",
        there,
        "--mapping-3d2d",
        back,
        "--weights",
        out.parent,
        "--out",
        out,
        *more,
    )


def test_recipe_from_published_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The recipe holds the networks, what the names say, the published score and no threshold; unknown weights are
    said aloud.
    """
    there, back = published(tmp_path), published(tmp_path, way="3Dto2D")
    assert import_pair(there, back, tmp_path / "bagel-m") == 0
    loaded = load_recipe(tmp_path / "bagel-m")
    recipe = loaded.recipe
    assert (recipe.name, recipe.provenance.category, recipe.provenance.epochs) == ("bagel-m", "bagel", 50)
    assert (recipe.extractor.preset, recipe.extractor.blocks, recipe.extractor.group_size) == ("paper", 8, 32)
    assert recipe.score.normalisation == "published"
    assert recipe.threshold is None
    assert set(recipe.provenance.sources) == {there.name, back.name}
    weights = torch.load(there, weights_only=True)
    assert torch.equal(loaded.mapping.to_3d.output.weight, weights["output.weight"])
    said = capsys.readouterr().err
    assert "dino.pth: unknown sha256" in said
    assert "no threshold" in said


def test_threshold_given(tmp_path: Path) -> None:
    """With --threshold the line accepts the recipe; the options of the background are kept in it."""
    there, back = published(tmp_path), published(tmp_path, way="3Dto2D")
    more = ["--threshold", 1.25, "--background", "none", "--clusters", "all", "--normalisation", "absolute"]
    assert import_pair(there, back, tmp_path / "bagel", *more) == 0
    recipe = load_recipe(tmp_path / "bagel").recipe
    assert recipe.threshold is not None
    assert recipe.threshold.fail_at == 1.25
    assert (recipe.background.method, recipe.background.clusters) == ("none", "all")
    assert recipe.score.normalisation == "absolute"


def test_names_that_do_not_follow_the_published_naming(tmp_path: Path) -> None:
    """Files of any other name are taken as they are."""
    there, back = (published(tmp_path, way=way).rename(tmp_path / way) for way in ("2Dto3D", "3Dto2D"))
    assert import_pair(there, back, tmp_path / "bagel") == 0
    assert load_recipe(tmp_path / "bagel").recipe.provenance.category == ""


def refused(capsys: pytest.CaptureFixture[str], *named: str) -> None:
    message = capsys.readouterr().err
    assert "Traceback" not in message
    for text in named:
        assert text in message


def test_swapped_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Files given the wrong way round are refused, although their shapes would fit."""
    there, back = published(tmp_path), published(tmp_path, way="3Dto2D")
    assert import_pair(back, there, tmp_path / "bagel") == 2
    refused(capsys, there.name, back.name, "--mapping-2d3d")


def test_files_of_two_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A pair of two different products is refused."""
    there, back = published(tmp_path), published(tmp_path, "rope", way="3Dto2D")
    assert import_pair(there, back, tmp_path / "bagel") == 2
    refused(capsys, "one training run")


def test_other_architecture(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Networks for features of other widths are refused with file, key and both shapes."""
    there, back = published(tmp_path, widths=(3, 5)), published(tmp_path, way="3Dto2D")
    assert import_pair(there, back, tmp_path / "bagel") == 2
    refused(capsys, there.name, "output.weight", "(5, ", "(3, ")


def test_torn_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A torn file is refused by name, and so is one that is not there."""
    there, back = published(tmp_path), published(tmp_path, way="3Dto2D")
    there.write_bytes(there.read_bytes()[:200])
    assert import_pair(there, back, tmp_path / "bagel") == 2
    refused(capsys, str(there))
    there.unlink()
    assert import_pair(there, back, tmp_path / "bagel") == 2
    refused(capsys, str(there), "no such file")


def test_infinite_threshold(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A threshold that no score can reach is refused: everything would PASS."""
    there, back = published(tmp_path), published(tmp_path, way="3Dto2D")
    assert import_pair(there, back, tmp_path / "bagel", "--threshold", "inf") == 2
    refused(capsys, "--threshold")
