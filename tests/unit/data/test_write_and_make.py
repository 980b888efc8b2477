"""Writing a synthetic data set, and the command that does it."""

import json
from pathlib import Path

import numpy as np
import pytest
import tifffile
import typer
from numpy.typing import NDArray
from PIL import Image
from typer.testing import CliRunner

from cmfm_protocol.files.dataset import (
    DatasetError,
    categories,
    list_parts,
    read_part,
    read_part_ground_truth,
)
from cmfm_sim.commands.make import make
from cmfm_sim.datasets import second
from cmfm_sim.datasets.synthetic import DEFECTS, render_part
from cmfm_sim.datasets.write import write_dataset


def written(out: Path, **changed: object) -> list[Path]:
    arguments: dict[str, object] = {
        "categories": ("handle",),
        "train": 2,
        "validation": 1,
        "good": 1,
        "per_defect": 1,
        "seed": 3,
        "size_px": 64,
    }
    return write_dataset(out, **(arguments | changed))  # type: ignore[arg-type]  # a table of arguments


def grey(path: Path) -> NDArray[np.uint8]:
    with Image.open(path) as picture:
        assert picture.mode == "L"
        return np.array(picture)


def test_what_is_written_is_read_back_exactly(synthetic_root: Path) -> None:
    """Files lose nothing: pictures, points and ground truth are the rendered ones to the bit."""
    assert categories(synthetic_root) == ["circuit", "praline"]
    for split, defect, index in (("train", "good", 4), ("test", "swap", 0), ("test", "hole", 0)):
        files = [part for part in list_parts(synthetic_root, "circuit", split) if part.defect == defect]
        rgb, xyz = read_part(files[index])
        made = render_part("circuit", seed=7, split=split, defect=defect, index=index, size_px=160)
        np.testing.assert_array_equal(rgb, made.rgb)
        np.testing.assert_array_equal(xyz, made.xyz)
        np.testing.assert_array_equal(read_part_ground_truth(files[index], 160, 160), made.gt)


def test_the_layout_is_that_of_mvtec_3d_ad(tmp_path: Path) -> None:
    """Exactly its folders and zero-padded names, and nothing else but the marker."""
    assert written(tmp_path) == [tmp_path / "handle"]
    files = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}
    expected = {"synthetic.json"}
    for folder, count, kinds in (
        ("train/good", 2, ("rgb", "xyz")),
        ("validation/good", 1, ("rgb", "xyz")),
        *((f"test/{kind}", 1, ("rgb", "xyz", "gt")) for kind in ("good", *DEFECTS)),
    ):
        for kind in kinds:
            suffix = "tiff" if kind == "xyz" else "png"
            expected |= {f"handle/{folder}/{kind}/{i:03d}.{suffix}" for i in range(count)}
    assert files == expected


def test_the_files_are_of_the_kinds_mvtec_uses(tmp_path: Path) -> None:
    """8-bit RGB, float32 with three channels, 8-bit ground truth of 0 and 255, all black for a good part."""
    written(tmp_path)
    hole = tmp_path / "handle" / "test" / "hole"
    with Image.open(hole / "rgb" / "000.png") as picture:
        assert picture.mode == "RGB"
    gt = grey(hole / "gt" / "000.png")
    assert gt.dtype == np.uint8
    assert set(np.unique(gt)) == {0, 255}
    points = tifffile.imread(hole / "xyz" / "000.tiff")
    assert (points.dtype, points.shape) == (np.float32, (64, 64, 3))
    assert not grey(tmp_path / "handle" / "test" / "good" / "gt" / "000.png").any()


def test_making_parts_side_by_side_changes_no_file(tmp_path: Path) -> None:
    """A data set does not depend on the machine's number of cores; progress counts every part once."""
    told: list[tuple[int, int]] = []
    written(tmp_path / "a", jobs=1)
    written(tmp_path / "b", jobs=4, progress=lambda done, total: told.append((done, total)))
    names = sorted(path.relative_to(tmp_path / "a") for path in (tmp_path / "a").rglob("*.*"))
    for name in names:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    parts = 2 + 1 + 1 + len(DEFECTS)
    assert told == [(i, parts) for i in range(1, parts + 1)]


def test_parts_of_an_earlier_run_are_gone(tmp_path: Path) -> None:
    """A smaller data set written over a larger one holds no part of another seed; other categories stay."""
    written(tmp_path, train=3)
    written(tmp_path, categories=("praline",))
    written(tmp_path, train=1, seed=9)
    assert len(list_parts(tmp_path, "handle", "train")) == 1
    assert len(list_parts(tmp_path, "praline", "train")) == 2
    said = json.loads((tmp_path / "synthetic.json").read_text())
    assert said["categories"]["handle"]["seed"] == 9
    assert said["categories"]["praline"]["seed"] == 3


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"categories": ("handle", "bagel")}, "no such category: 'bagel'; there are biscuit"),
        ({"categories": ()}, "no such category: none"),
        ({"train": 0}, "at least 1 train part"),
        ({"good": -1}, "no negative count"),
    ],
)
def test_what_cannot_be_written_is_refused_before_anything_is(
    tmp_path: Path, changed: dict[str, object], said: str
) -> None:
    """The folder is untouched."""
    with pytest.raises(DatasetError, match=said):
        written(tmp_path / "out", **changed)
    assert not (tmp_path / "out").exists()


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    """A file in the way of a folder is a DatasetError, not a traceback."""
    (tmp_path / "file").write_text("x")
    with pytest.raises(DatasetError, match=r"file/out cannot be written"):
        written(tmp_path / "file" / "out")


class Command:
    """`cmfm-sim make` as a user calls it."""

    def __init__(self) -> None:
        self.app = typer.Typer()
        self.app.command()(make)

    def __call__(self, *arguments: str) -> tuple[int, str, str]:
        result = CliRunner().invoke(self.app, [*arguments])
        if isinstance(result.exception, DatasetError):  # `app.main` makes exit code 2 and one line of it
            return 2, result.stdout, str(result.exception)
        return result.exit_code, result.stdout, result.stderr


def test_make_writes_a_data_set_with_a_preview(tmp_path: Path) -> None:
    """One command gives every split, a picture to look at, and a table that says what was written."""
    out = tmp_path / "parts"
    code, said, _ = Command()("--out", str(out), "--parts", "2", "--categories", "circuit", "--size", "64")
    assert code == 0
    assert categories(out) == ["circuit"]
    counts = [len(list_parts(out, "circuit", split)) for split in ("train", "validation", "test")]
    assert counts == [2, 3, 2 + len(DEFECTS)]
    with Image.open(out / "preview.png") as preview:
        assert preview.width > 1000
    assert "circuit" in said
    assert "preview.png" in said


def test_make_writes_products_of_both_families(tmp_path: Path) -> None:
    """Each category has its family's kinds of defect, in one folder and one preview."""
    out = tmp_path / "parts"
    code, said, _ = Command()(
        "--out", str(out), "--parts", "1", "--categories", "handle,tile", "--size", "64"
    )
    assert code == 0
    kinds = [{part.defect for part in list_parts(out, name, "test")} for name in ("handle", "tile")]
    assert kinds == [{"good", *DEFECTS}, {"good", *second.DEFECTS}]
    assert all(kind in said for kind in ("misgrade", "mispaired"))


def test_make_tells_a_program_what_it_wrote(tmp_path: Path) -> None:
    """With --json standard output is one JSON document whose numbers are those on disk."""
    out = tmp_path / "parts"
    arguments = ("--out", str(out), "--parts", "8", "--categories", "praline", "--size", "64", "--json")
    code, said, _ = Command()(*arguments)
    assert code == 0
    summary = json.loads(said)
    assert summary["root"] == str(out)
    counted = summary["categories"]["praline"]
    assert counted["train"] == len(list_parts(out, "praline", "train"))
    assert counted["validation"] == len(list_parts(out, "praline", "validation"))
    assert sum(counted["test"].values()) == len(list_parts(out, "praline", "test"))


def test_make_does_not_write_into_a_strangers_folder(tmp_path: Path) -> None:
    """Exit code 2 and one line that names the folder; --force writes beside what is there."""
    (tmp_path / "thesis.txt").write_text("x")
    arguments = ("--out", str(tmp_path), "--parts", "1", "--categories", "handle", "--size", "64")
    code, _, error = Command()(*arguments)
    assert code == 2
    assert f"--out {tmp_path} is not empty" in error
    assert len(error.strip().splitlines()) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]
    assert Command()(*arguments, "--force")[0] == 0
    assert (tmp_path / "thesis.txt").read_text() == "x"
    assert Command()(*arguments)[0] == 0  # now it is one of ours


@pytest.mark.parametrize(
    ("option", "value", "said"),
    [
        ("--categories", "bagel", "no such category: 'bagel'"),
        ("--parts", "0", "--parts"),
        ("--size", "5", "--size"),
    ],
)
def test_make_names_the_wrong_option(tmp_path: Path, option: str, value: str, said: str) -> None:
    """Exit code 2, and what was wrong."""
    code, _, error = Command()("--out", str(tmp_path / "out"), option, value)
    assert code == 2
    assert said in error


def test_make_refuses_a_file_for_a_folder(tmp_path: Path) -> None:
    """Exit code 2, and the file is named."""
    (tmp_path / "out").write_text("x")
    code, _, error = Command()("--out", str(tmp_path / "out"))
    assert code == 2
    assert "out is a file; expected a folder" in error
