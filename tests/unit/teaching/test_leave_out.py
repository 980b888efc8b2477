"""Nominal parts are left out by name, and stay out when a recipe is calibrated again."""

from __future__ import annotations

import shutil
import unicodedata
from pathlib import Path

import pytest
from tests.unit.made.dataset import fit, frame, run, write_part

from cmfm_protocol.files.part_files import PartFiles
from cmfm_worker.errors import InputError
from cmfm_worker.recipes.recipe import read_recipe_file
from cmfm_worker.teaching.leave_out import names_left_out
from cmfm_worker.teaching.which_parts import choose_parts


def part(split: str, stem: str) -> PartFiles:
    """A part of the category "dome" that no test reads."""
    path = Path(split) / f"{stem}.png"
    return PartFiles(id=f"dome-{split}-good-{stem}", split=split, defect="good", rgb=path, xyz=path, gt=None)


PARTS = [part("train", stem) for stem in ("000", "001", "Prüfling 7")] + [part("validation", "001")]


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("dome-train-good-001", "dome-train-good-001"),
        ("000", "dome-train-good-000"),
        ("000.png", "dome-train-good-000"),
        ("Prüfling 7", "dome-train-good-Prüfling 7"),
        (unicodedata.normalize("NFD", "dome-train-good-Prüfling 7.tiff")[16:], "dome-train-good-Prüfling 7"),
    ],
)
def test_a_part_is_named_by_its_id_or_by_its_file(name: str, meant: str) -> None:
    """With or without the ending, and in either of Unicode's spellings."""
    assert names_left_out(PARTS, [name, name]) == (meant,)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("dome-train-good-01", "no such nominal part; the nearest name is 'dome-train-good-001'"),
        ("Prufling 7", "the nearest name is 'Prüfling 7'"),
        ("001", "several parts have this name; give one of dome-train-good-001, dome-validation-good-001"),
    ],
)
def test_a_name_that_is_wrong_or_not_enough_is_refused(name: str, said: str) -> None:
    """The message says which name was meant, or which of several parts to give."""
    with pytest.raises(InputError, match="--leave-out") as refused:
        names_left_out(PARTS, [name])
    assert said in str(refused.value)


def test_left_out_parts_are_neither_fitted_on_nor_used_for_limits(
    taught: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The recipe says which parts were left out, and `calibrate` does not take them for parts not yet used."""
    data, recipe = tmp_path / "data", tmp_path / "dome"
    shutil.copytree(taught[0], data)
    write_part(data / "dome" / "train" / "good", "größter Teil", *frame(50, stained=True))
    names = ["--leave-out", "größter Teil", "--leave-out", "dome-validation-good-002"]
    assert fit(data, recipe, *names) == 0
    made = read_recipe_file(recipe)
    assert made.provenance.left_out == ("dome-train-good-größter Teil", "dome-validation-good-002")
    assert made.provenance.train_parts == 4
    assert made.threshold is not None
    assert made.threshold.validation_parts == 4
    where = ["--recipe", recipe, "--root", data, "--category", "dome", "--dry-run", "--no-labelled"]
    capsys.readouterr()
    assert run("calibrate", *where) == 0
    assert "4 of data/dome/validation" in capsys.readouterr().out
    assert run("calibrate", *where, "--split", "train") == 2
    assert "was fitted on all 4 parts" in capsys.readouterr().err
    assert run("calibrate", *where, "--leave-out", "000", "--leave-out", "004") == 0
    assert "2 of data/dome/validation" in capsys.readouterr().out
    assert run("calibrate", *where, "--leave-out", "00") == 2
    assert "nearest name" in capsys.readouterr().err


def test_nothing_left_is_refused_by_name(taught: tuple[Path, Path]) -> None:
    """A category whose every training part is left out teaches nothing; the message names the folder."""
    with pytest.raises(InputError, match=r"no part of .*train is left"):
        choose_parts(taught[0], "dome", leave_out=[f"dome-train-good-00{i}" for i in range(4)])


def test_held_out_parts_are_drawn_from_what_is_left(taught: tuple[Path, Path], tmp_path: Path) -> None:
    """Without a validation split a part that is left out is not held out for it either."""
    shutil.copytree(taught[0] / "dome" / "train", tmp_path / "dome" / "train")
    for seed in range(6):
        parts = choose_parts(tmp_path, "dome", seed=seed, leave_out=["002"])
        used = {part.id[-3:] for part in (*parts.train, *parts.validation)}
        assert used == {"000", "001", "003"}
