"""`cmfm-worker evaluate` computes the figures of a recipe on a test split."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image
from tests.unit.made.dataset import read_json, run


def evaluate(root: Path, recipe: Path, *more: object) -> int:
    return run(
        "evaluate", "--recipe", recipe, "--dataset", "mvtec3d", "--root", root, "--category", "dome", *more
    )


@pytest.fixture
def own_data(taught: tuple[Path, Path], tmp_path: Path) -> Path:
    """A copy of the data set that the test may damage."""
    shutil.copytree(taught[0], tmp_path / "data")
    return tmp_path / "data"


def test_figures_have_the_names_scripts_rely_on(
    taught: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The JSON file has the documented keys, stained parts are separated from good ones, and tables go to stdout."""
    assert evaluate(*taught, "--json", tmp_path / "figures.json") == 0
    figures = read_json(tmp_path / "figures.json")
    for key in ("aupro", "aupro_99", "aupro_foreground"):
        assert list(figures[key]) == ["0.3", "0.1", "0.05", "0.01"]
        assert all(0 <= value <= 1 for value in figures[key].values())
    assert set(figures["per_defect"]) == {"stain"}
    assert set(figures["per_defect"]["stain"]) == {"i_auroc", "aupro", "aupro_foreground"}
    assert figures["i_auroc"] == 1.0
    assert figures["aupro"]["0.3"] > 0.5
    assert 0 <= figures["p_auroc"] <= 1
    assert figures["frames"] == 4
    assert figures["fps"] > 0
    assert sum(figures["verdicts"].values()) == sum(figures["reasons"].values()) == 4
    assert figures["escapes"] + figures["verdicts"]["FAIL"] + figures["verdicts"]["UNDECIDED"] >= 2
    assert "I-AUROC" in capsys.readouterr().out


def test_parts_from_another_distance_are_faults_on_the_line(
    own_data: Path, taught: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """They are measured, counted as the FAULTs that they would be, and named with both distances."""
    for path in (own_data / "dome" / "test").rglob("*.tiff"):
        tifffile.imwrite(path, tifffile.imread(path) + np.array([0, 0, 0.2], np.float32), photometric="rgb")
    assert evaluate(own_data, taught[1], "--json", tmp_path / "figures.json") == 0
    figures = read_json(tmp_path / "figures.json")
    assert figures["verdicts"]["FAULT"] == 4
    assert figures["frames"] == 4
    assert "the recipe was taught at" in figures["other_geometry"]["dome-test-good-000"]
    assert figures["reasons"] == {"other_geometry": 4}
    assert "4 parts would be FAULTs on the line (other_geometry)" in capsys.readouterr().err


def test_parts_outside_the_limits_are_counted_by_reason(
    own_data: Path, taught: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A part at the edge and one with a second piece beside it are UNDECIDED, as on the line; the table names both."""
    edge, beside = sorted((own_data / "dome" / "test" / "good" / "xyz").glob("*.tiff"))
    for path, piece in ((edge, np.s_[40:56, 0:40]), (beside, np.s_[2:10, 2:10])):
        xyz = tifffile.imread(path)
        xyz[(*piece, 2)] = 0.47
        tifffile.imwrite(path, xyz, photometric="rgb")
    assert evaluate(own_data, taught[1], "--json", tmp_path / "figures.json") == 0
    figures = read_json(tmp_path / "figures.json")
    assert figures["verdicts"]["UNDECIDED"] == figures["false_rejects"] == 2
    assert (figures["reasons"]["out_of_view"], figures["reasons"]["unexpected_piece"]) == (1, 1)
    assert "1 out_of_view, 1 unexpected_piece" in capsys.readouterr().out


def test_batching_changes_no_figure(taught: tuple[Path, Path], tmp_path: Path) -> None:
    """Batches of one give the same figures as batches of three."""
    figures = []
    for batch in (1, 3):
        assert evaluate(*taught, "--batch", batch, "--json", tmp_path / f"{batch}.json") == 0
        figures.append(read_json(tmp_path / f"{batch}.json"))
    for key in ("i_auroc", "p_auroc", "frames", "verdicts"):
        assert figures[0][key] == pytest.approx(figures[1][key], rel=1e-4)
    assert figures[0]["aupro"] == pytest.approx(figures[1]["aupro"], rel=1e-3)


def test_only_good_parts_leave_figures_undefined(
    own_data: Path, taught: tuple[Path, Path], tmp_path: Path
) -> None:
    """For a split without defects undefined figures are null; there is no error."""
    shutil.rmtree(own_data / "dome" / "test" / "stain")
    assert evaluate(own_data, taught[1], "--json", tmp_path / "figures.json") == 0
    figures = read_json(tmp_path / "figures.json")
    assert figures["i_auroc"] is None
    assert figures["aupro"]["0.3"] is None
    assert figures["frames"] == 2


def test_part_that_cannot_be_inspected_is_named(
    own_data: Path, taught: tuple[Path, Path], tmp_path: Path
) -> None:
    """A part without 3D is named and counted as a FAULT; the others are measured."""
    bad = own_data / "dome" / "test" / "good" / "xyz" / "001.tiff"
    tifffile.imwrite(bad, np.zeros_like(tifffile.imread(bad)), photometric="rgb")
    assert evaluate(own_data, taught[1], "--json", tmp_path / "figures.json") == 0
    figures = read_json(tmp_path / "figures.json")
    assert list(figures["not_inspected"]) == ["dome-test-good-001"]
    assert figures["frames"] == 3
    assert figures["verdicts"]["FAULT"] == 1


@pytest.mark.parametrize(
    ("path", "part"),
    [
        ("good/rgb/001.png", "dome-test-good-001"),
        ("stain/xyz/000.tiff", "dome-test-stain-000"),
        ("stain/gt/001.png", "dome-test-stain-001"),
    ],
)
def test_damaged_file_is_named_and_the_others_are_measured(
    own_data: Path,
    taught: tuple[Path, Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    path: str,
    part: str,
) -> None:
    """A part with a truncated file is named, counted as torn and has no verdict; the others are measured."""
    file = own_data / "dome" / "test" / path
    file.write_bytes(file.read_bytes()[:60])
    assert evaluate(own_data, taught[1], "--batch", 3, "--json", tmp_path / "figures.json") == 0
    shown = capsys.readouterr()
    assert f"torn: {part}: {file}" in shown.err
    assert "3 inspected, 0 not, 1 torn" in shown.out
    figures = read_json(tmp_path / "figures.json")
    assert list(figures["torn"]) == [part]
    assert figures["frames"] == sum(figures["verdicts"].values()) == 3


def test_data_set_of_damaged_files_only_is_refused(
    own_data: Path, taught: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """If no part can be read, the command fails and names the first one."""
    for file in (own_data / "dome" / "test").rglob("rgb/*.png"):
        file.write_bytes(b"\x89PNG torn")
    assert evaluate(own_data, taught[1], "--json", tmp_path / "figures.json") == 2
    assert "none of 4 parts can be read; the first, dome-test-good-000" in capsys.readouterr().err
    assert not (tmp_path / "figures.json").exists()


@pytest.mark.parametrize(
    ("content", "said"),
    [(None, "is missing"), (b"II*\0", "is a TIFF file"), ((10, 10), "is 10×10; expected 96×96")],
)
def test_wrong_ground_truth_is_refused_before_any_work(
    own_data: Path,
    tmp_path: Path,
    taught: tuple[Path, Path],
    capsys: pytest.CaptureFixture[str],
    content: bytes | tuple[int, int] | None,
    said: str,
) -> None:
    """A ground truth that is missing, damaged or of another size is named before any part is inspected."""
    file = own_data / "dome" / "test" / "stain" / "gt" / "001.png"
    if content is None:
        file.unlink()
    elif isinstance(content, bytes):
        file.write_bytes(content)
    else:
        Image.new("L", content).save(file)
    assert evaluate(own_data, taught[1], "--json", tmp_path / "figures.json") == 2
    message = capsys.readouterr().err
    assert f"{file} {said}" in message
    assert "inspecting" not in message
    assert "Traceback" not in message


def test_no_recipe(taught: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A folder that is not a recipe is refused by name."""
    (tmp_path / "empty").mkdir()
    assert evaluate(taught[0], tmp_path / "empty") == 2
    assert "not a recipe" in capsys.readouterr().err
