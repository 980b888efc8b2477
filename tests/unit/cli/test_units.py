"""Points in another unit than metres are refused before any work, or converted; impossible points are counted."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import tifffile
from tests.unit.made.dataset import run, write_dataset


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A small data set in millimetres."""
    root = write_dataset(tmp_path / "data", train=2, validation=1, good=1, stains=1)
    for path in root.rglob("*.tiff"):
        tifffile.imwrite(path, tifffile.imread(path) * np.float32(1000), photometric="rgb")
    return root


def given(command: str, data: Path, tmp_path: Path) -> tuple[object, ...]:
    """Return the options of a command that writes to tmp_path/out."""
    category = ("--category", "dome")
    return (command, "--root", data, *category, "--out", tmp_path / "out")


@pytest.mark.parametrize("command", ["fit", "prepare"])
def test_millimetres_are_refused(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    """The message names the file, the distance and the unit that it looks like."""
    assert run(*given(command, data, tmp_path)) == 2
    said = capsys.readouterr().err
    assert "xyz/000.tiff: median distance" in said
    assert "millimetres?" in said
    assert not (tmp_path / "out" / "recipe.toml").exists()


def test_unit_is_converted_and_part_of_a_cache(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`--xyz-unit mm` prepares the parts; a fit that takes them for metres refuses the cache."""
    assert run(*given("prepare", data, tmp_path), "--xyz-unit", "mm", "--json") == 0
    assert json.loads(capsys.readouterr().out)["parts"] == 5
    cache = ("--prepared", tmp_path / "out", "--clusters", "largest")
    assert run("fit", "--root", data, "--category", "dome", "--out", tmp_path / "recipe", *cache) == 2
    assert "was prepared with points in mm, not in m (--xyz-unit)" in capsys.readouterr().err


def test_unit_given_twice_is_refused(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Metres that are converted from micrometres are nearer than any sensor can see."""
    assert run(*given("prepare", data, tmp_path), "--xyz-unit", "um") == 2
    assert "(read as um): median distance" in capsys.readouterr().err


def test_impossible_points_are_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A remark says how many there are and in which part most of them are."""
    root = write_dataset(tmp_path / "data", train=2, validation=1, good=1, stains=0)
    path = root / "dome" / "train" / "good" / "xyz" / "001.tiff"
    xyz = tifffile.imread(path)
    xyz[:3, :, 2] = -9999
    tifffile.imwrite(path, xyz, photometric="rgb")
    assert run(*given("prepare", root, tmp_path), "--json") == 0
    out, err = capsys.readouterr()
    assert "288 impossible points in 1 of the parts count as not measured" in err
    assert json.loads(out)["impossible_points"] == {"dome-train-good-001": 288}
