"""`cmfm-worker import` makes a recipe of published mapping networks (real files: tests/system)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from tests.unit.made.dataset import run

from cmfm_records.recipe_versions import read_versions
from cmfm_worker.bench.seeded import write_seeded_weights
from cmfm_worker.cfm.mapping.pair import Mapping
from cmfm_worker.recipes.recipe import load_recipe

D_2D, D_3D = 768, 384  # widths of DINO's tokens and, with one block, of Point-MAE's


@pytest.fixture(scope="module", autouse=True)
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write one block of DINO and of Point-MAE with seeded weights."""
    folder = tmp_path_factory.mktemp("weights")
    write_seeded_weights(folder, 1)
    return folder


@pytest.fixture
def import_pair(weights: Path) -> Callable[..., int]:
    """Return a function that runs the command on two files."""

    def import_pair(there: Path, back: Path, out: Path, *more: object) -> int:
        files = ("--mapping-2d3d", there, "--mapping-3d2d", back)
        extractor = ("--weights", weights, "--blocks", 1, "--group-size", 32)
        return run("import", *files, *extractor, "--out", out, *more)

    return import_pair


def published(
    folder: Path, name: str = "bagel", way: str = "2Dto3D", widths: tuple[int, int] | None = None
) -> Path:
    path = folder / f"CFM_{way}_{name}_50ep_4bs.pth"
    d_in, d_out = widths or ((D_2D, D_3D) if way == "2Dto3D" else (D_3D, D_2D))
    torch.save(Mapping(d_in, d_out).state_dict(), path)
    return path


def test_recipe_from_published_files(
    import_pair: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The recipe holds the networks, the facts in the files' names, the published score and no threshold; unknown
    weights are named.
    """
    there, back = published(tmp_path), published(tmp_path, way="3Dto2D")
    assert import_pair(there, back, tmp_path / "bagel-m") == 0
    loaded = load_recipe(tmp_path / "bagel-m")
    recipe = loaded.recipe
    assert (recipe.name, recipe.provenance.category, recipe.provenance.epochs) == ("bagel-m", "bagel", 50)
    assert (recipe.extractor.preset, recipe.extractor.blocks, recipe.extractor.group_size) == ("paper", 1, 32)
    assert recipe.score.normalisation == "published"
    assert recipe.threshold is None
    assert set(recipe.provenance.sources) == {there.name, back.name}
    weights = torch.load(there, weights_only=True)
    assert torch.equal(loaded.mapping.to_3d.output.weight, weights["output.weight"])
    said = capsys.readouterr().err
    assert "pth: unknown sha256" in said
    assert "no threshold" in said


def test_threshold_given(import_pair: Callable[..., int], tmp_path: Path) -> None:
    """With --threshold the recipe has a threshold; it also stores the options of background and score."""
    there, back = published(tmp_path), published(tmp_path, way="3Dto2D")
    more = ["--threshold", 1.25, "--background", "none", "--clusters", "all", "--normalisation", "absolute"]
    assert import_pair(there, back, tmp_path / "bagel", *more) == 0
    recipe = load_recipe(tmp_path / "bagel").recipe
    assert recipe.threshold is not None
    assert recipe.threshold.fail_at == 1.25
    assert (recipe.background.method, recipe.background.clusters) == ("none", "all")
    assert recipe.score.normalisation == "absolute"
    assert [(each.why, each.fail_at) for each in read_versions(tmp_path / "bagel")] == [
        ("made from published networks", 1.25)
    ]


def test_names_that_do_not_follow_the_published_naming(
    import_pair: Callable[..., int], tmp_path: Path
) -> None:
    """Files with other names are imported too; the recipe then has no category."""
    there, back = (published(tmp_path, way=way).rename(tmp_path / way) for way in ("2Dto3D", "3Dto2D"))
    assert import_pair(there, back, tmp_path / "bagel") == 0
    assert load_recipe(tmp_path / "bagel").recipe.provenance.category == ""


def refused(capsys: pytest.CaptureFixture[str], *named: str) -> None:
    message = capsys.readouterr().err
    assert "Traceback" not in message
    for text in named:
        assert text in message


def test_swapped_files(
    import_pair: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Files given the wrong way round are refused by their names."""
    there, back = published(tmp_path), published(tmp_path, way="3Dto2D")
    assert import_pair(back, there, tmp_path / "bagel") == 2
    refused(capsys, there.name, back.name, "--mapping-2d3d")


def test_files_of_two_runs(
    import_pair: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A pair from two different products is refused."""
    there, back = published(tmp_path), published(tmp_path, "rope", way="3Dto2D")
    assert import_pair(there, back, tmp_path / "bagel") == 2
    refused(capsys, "one training run")


def test_other_architecture(
    import_pair: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Networks for features of other widths are refused with file, key and both shapes."""
    there, back = published(tmp_path, widths=(D_2D, 5)), published(tmp_path, way="3Dto2D")
    assert import_pair(there, back, tmp_path / "bagel") == 2
    refused(capsys, there.name, "output.weight", "(5, ", f"({D_3D}, ")


def test_torn_file(
    import_pair: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A damaged file is refused by name, and so is a missing one."""
    there, back = published(tmp_path), published(tmp_path, way="3Dto2D")
    there.write_bytes(there.read_bytes()[:200])
    assert import_pair(there, back, tmp_path / "bagel") == 2
    refused(capsys, str(there))
    there.unlink()
    assert import_pair(there, back, tmp_path / "bagel") == 2
    refused(capsys, str(there), "no such file")


def test_infinite_threshold(
    import_pair: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A threshold that no score can reach is refused, as every part would PASS."""
    there, back = published(tmp_path), published(tmp_path, way="3Dto2D")
    assert import_pair(there, back, tmp_path / "bagel", "--threshold", "inf") == 2
    refused(capsys, "--threshold")
