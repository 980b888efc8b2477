"""`cmfm-worker inspect` inspects one part from files and writes maps, a verdict and a picture."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image
from tests.unit.made.dataset import read_json, run, stain, write_part

from cmfm_worker.recipes.recipe import load_recipe


@pytest.fixture
def made(taught: tuple[Path, Path]) -> tuple[Path, Path]:
    """Return the folder of the test split and a recipe; no test changes them."""
    root, recipe = taught
    return root / "dome" / "test", recipe


def inspect(folder: Path, name: str, recipe: Path, out: Path, *more: object) -> int:
    rgb, xyz = folder / "rgb" / f"{name}.png", folder / "xyz" / f"{name}.tiff"
    return run("inspect", "--recipe", recipe, "--rgb", rgb, "--xyz", xyz, "--out", out, *more)


def test_stained_part(made: tuple[Path, Path], tmp_path: Path) -> None:
    """The files hold maps of the documented shapes, a verdict that follows from the score, and a peak on the stain."""
    test, recipe = made
    assert inspect(test / "stain", "000", recipe, tmp_path / "out") == 0
    maps = {name: np.load(tmp_path / "out" / f"{name}.npy") for name in ("psi", "psi_2d", "psi_3d")}
    assert all(m.shape == (224, 224) and m.dtype == np.float32 for m in maps.values())
    foreground = np.load(tmp_path / "out" / "foreground.npy")
    assert foreground.shape == (224, 224)
    assert foreground.dtype == np.bool_
    assert 0.1 < foreground.mean() < 0.5
    result = read_json(tmp_path / "out" / "result.json")
    assert (result["verdict"], result["reason"]) == ("FAIL", "above_threshold")
    assert result["max_psi"] == pytest.approx(float(maps["psi"].max()))
    highest = np.sort(maps["psi"], axis=None)[-result["score_highest_px"] :]
    assert result["score"] > result["score_compress_from"]  # so the map is compressed, and the score is not
    in_the_map = (result["score_compress_from"] * result["score"]) ** 0.5
    assert float(highest.mean()) == pytest.approx(in_the_map, rel=1e-5)
    assert len(highest) == load_recipe(recipe).recipe.score.highest_px > 1
    assert result["score"] >= result["threshold"]
    row, column = (round(index * 96 / 224) for index in result["peak_px"])
    assert stain()[row - 3 : row + 4, column - 3 : column + 4].any()
    region = result["regions"][0]
    row0, column0, row1, column1 = region["bbox"]
    assert row0 <= result["peak_px"][0] < row1
    assert column0 <= result["peak_px"][1] < column1
    assert (region["peak_px"], region["peak"]) == (result["peak_px"], result["max_psi"])
    assert 100 < region["area_mm2"] < 4000  # the stain is 25 mm wide
    assert result["coverage"] == pytest.approx(1, abs=0.3)
    assert len(result["model_sha"]) == 64


def test_part_in_another_region_of_interest_is_a_fault(
    made: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A frame of another size than taught is written as the FAULT that the line would give; impossible points count."""
    test, recipe = made
    rgb = np.asarray(Image.open(test / "good" / "rgb" / "000.png"))[8:88]
    xyz = tifffile.imread(test / "good" / "xyz" / "000.tiff")[8:88]
    xyz[:2, :, 2] = -9999
    write_part(tmp_path / "cut", "000", rgb, xyz)
    assert inspect(tmp_path / "cut", "000", recipe, tmp_path / "out") == 2
    result = read_json(tmp_path / "out" / "result.json")
    assert (result["verdict"], result["reason"], result["score"]) == ("FAULT", "other_geometry", None)
    assert "96×80 pixels; the recipe was taught on 96×96" in result["detail"]
    assert result["impossible_points"] == 192
    assert "192 impossible points" in capsys.readouterr().err


def test_millimetres_are_a_fault(
    made: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Points in another unit are written as the FAULT that the line would give; `--xyz-unit mm` inspects the part."""
    good = made[0].parent / "validation" / "good"
    xyz = tifffile.imread(good / "xyz" / "000.tiff") * np.float32(1000)
    write_part(tmp_path / "mm", "000", np.asarray(Image.open(good / "rgb" / "000.png")), xyz)
    assert inspect(tmp_path / "mm", "000", made[1], tmp_path / "out") == 2
    assert "000.tiff: median distance" in capsys.readouterr().err
    result = read_json(tmp_path / "out" / "result.json")
    assert (result["verdict"], result["reason"], result["score"]) == ("FAULT", "implausible_3d", None)
    assert "millimetres?" in result["detail"]
    assert inspect(tmp_path / "mm", "000", made[1], tmp_path / "in mm", "--xyz-unit", "mm") == 0
    assert read_json(tmp_path / "in mm" / "result.json")["verdict"] == "PASS"


def test_part_over_the_edge_is_undecided(
    made: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A good part that lies half out of the picture: verdict, reason and both numbers; the maps are written."""
    good = made[0].parent / "validation" / "good"
    rgb, xyz = np.asarray(Image.open(good / "rgb" / "000.png")), tifffile.imread(good / "xyz" / "000.tiff")
    moved = np.roll(xyz[..., 2], 48, axis=1)
    moved[:, :48] = 0.5
    xyz[..., 2] = moved
    write_part(tmp_path / "cut", "000", np.roll(rgb, 48, axis=1), xyz)
    assert inspect(tmp_path / "cut", "000", made[1], tmp_path / "out") == 0
    result = read_json(tmp_path / "out" / "result.json")
    assert (result["verdict"], result["reason"]) == ("UNDECIDED", "out_of_view")
    assert result["measures"]["edge_px"] == 0
    assert result["limits"]["edge_px"] > 0
    assert f"nominal parts at least {result['limits']['edge_px']}" in result["detail"]
    assert result["detail"] in capsys.readouterr().err
    assert np.load(tmp_path / "out" / "psi.npy").any()


def test_part_unlike_those_taught_is_undecided(made: tuple[Path, Path], tmp_path: Path) -> None:
    """Another product of the same shape: high Ψ all over, and no defect that stands out from it."""
    good = made[0].parent / "validation" / "good"
    rgb, xyz = np.asarray(Image.open(good / "rgb" / "000.png")), tifffile.imread(good / "xyz" / "000.tiff")
    write_part(tmp_path / "unlike", "000", np.ascontiguousarray(rgb[..., ::-1]), xyz)
    assert inspect(tmp_path / "unlike", "000", made[1], tmp_path / "out") == 0
    result = read_json(tmp_path / "out" / "result.json")
    assert (result["verdict"], result["reason"]) == ("UNDECIDED", "unlike_taught")
    assert result["measures"]["level"] > result["limits"]["level"]


def test_good_part_passes(made: tuple[Path, Path], tmp_path: Path) -> None:
    """A part like those that the recipe was taught from scores below the threshold."""
    assert inspect(made[0].parent / "validation" / "good", "000", made[1], tmp_path / "out") == 0
    result = read_json(tmp_path / "out" / "result.json")
    assert (result["verdict"], result["reason"]) == ("PASS", "below_threshold")
    assert result["regions"] == []


def test_overlay_is_a_picture(made: tuple[Path, Path], tmp_path: Path) -> None:
    """The overlay is a picture of useful size with more than one colour."""
    assert inspect(made[0] / "stain", "001", made[1], tmp_path / "out") == 0
    with Image.open(tmp_path / "out" / "overlay.png") as picture:
        assert picture.width > 600
        assert len(picture.convert("RGB").getcolors(1 << 24) or []) > 100


def test_background_can_be_overridden(made: tuple[Path, Path], tmp_path: Path) -> None:
    """--background none keeps the tray; the result names the background and has its own model id."""
    assert inspect(made[0] / "good", "000", made[1], tmp_path / "a") == 0
    assert inspect(made[0] / "good", "000", made[1], tmp_path / "b", "--background", "none") == 0
    removed, kept = (read_json(tmp_path / name / "result.json") for name in "ab")
    assert kept["foreground_px"] == kept["valid_px"] == 224 * 224
    assert removed["foreground_px"] < 224 * 224 / 2
    assert kept["background"]["method"] == "none"
    assert kept["model_sha"] != removed["model_sha"]


def test_half_of_the_3d_missing_is_undecided(made: tuple[Path, Path], tmp_path: Path) -> None:
    """A good part with half of its 3D missing is UNDECIDED, not PASS."""
    xyz = tifffile.imread(made[0] / "good" / "xyz" / "000.tiff")
    xyz[:48] = np.nan
    write_part(tmp_path, "half", np.asarray(Image.open(made[0] / "good" / "rgb" / "000.png")), xyz)
    assert inspect(tmp_path, "half", made[1], tmp_path / "out") == 0
    result = read_json(tmp_path / "out" / "result.json")
    assert (result["verdict"], result["reason"]) == ("UNDECIDED", "low_coverage")


@pytest.mark.parametrize(("value", "reason"), [(np.nan, "no_valid_3d"), (0.0, "no_valid_3d")])
def test_part_without_3d_is_a_fault(
    made: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str], value: float, reason: str
) -> None:
    """Without 3D there is a FAULT in result.json, exit code 2 and a message that names the file."""
    rgb = np.asarray(Image.open(made[0] / "good" / "rgb" / "000.png"))
    write_part(tmp_path, "blind", rgb, np.full((96, 96, 3), value, np.float32))
    assert inspect(tmp_path, "blind", made[1], tmp_path / "out") == 2
    assert "blind.tiff" in capsys.readouterr().err
    result = read_json(tmp_path / "out" / "result.json")
    assert (result["verdict"], result["reason"], result["score"]) == ("FAULT", reason, None)
    assert not np.load(tmp_path / "out" / "psi.npy").any()


def test_tray_without_a_part_is_a_fault_or_undecided(made: tuple[Path, Path], tmp_path: Path) -> None:
    """An empty tray never passes."""
    rgb, xyz = np.full((96, 96, 3), 110, np.uint8), tifffile.imread(made[0] / "good" / "xyz" / "000.tiff")
    xyz[..., 2] = 0.5
    write_part(tmp_path, "empty", rgb, xyz)
    inspect(tmp_path, "empty", made[1], tmp_path / "out")
    assert read_json(tmp_path / "out" / "result.json")["verdict"] in ("FAULT", "UNDECIDED")


def test_pictures_of_different_size_are_refused(
    made: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """RGB and XYZ of different sizes are refused; the message has both sizes."""
    xyz = tifffile.imread(made[0] / "good" / "xyz" / "000.tiff")
    write_part(tmp_path, "odd", np.zeros((90, 96, 3), np.uint8), xyz)
    assert inspect(tmp_path, "odd", made[1], tmp_path / "out") == 2
    message = capsys.readouterr().err
    assert "96×96" in message
    assert "96×90" in message


@pytest.mark.parametrize("kind", ["rgb", "xyz"])
def test_missing_file_is_named(
    made: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str], kind: str
) -> None:
    """A missing file is named, and no results are written that could be mistaken for its own."""
    shutil.copytree(made[0] / "good", tmp_path / "good")
    next((tmp_path / "good" / kind).glob("000.*")).unlink()
    assert inspect(tmp_path / "good", "000", made[1], tmp_path / "out") == 2
    assert re.search(rf"{kind}/000\.(png|tiff)", capsys.readouterr().err)
    assert not (tmp_path / "out").exists()


def test_no_threshold_no_verdict(made: tuple[Path, Path], tmp_path: Path) -> None:
    """A recipe without a threshold scores a part, and the verdict is UNDECIDED."""
    recipe = tmp_path / "dome"
    shutil.copytree(made[1], recipe)
    text = (recipe / "recipe.toml").read_text()
    (recipe / "recipe.toml").write_text(re.sub(r"\[threshold\].*?\n\n", "", text, flags=re.DOTALL))
    assert inspect(made[0] / "good", "000", recipe, tmp_path / "out") == 0
    result = read_json(tmp_path / "out" / "result.json")
    assert (result["verdict"], result["reason"], result["threshold"]) == ("UNDECIDED", "no_threshold", None)
    assert result["score"] > 0
