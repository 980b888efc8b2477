"""`cmfm-camera calibrate` on rendered pictures of boards, whose lenses and places are known."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

pytest.importorskip("cv2")
import cv2
import tifffile
from tests.unit.made.board_pictures import picture, places, points
from tests.unit.made.known_scene import View, turn

from cmfm_cameras.app import main
from cmfm_cameras.calibration.board import Board
from cmfm_cameras.calibration.coverage import fit_problems
from cmfm_cameras.calibration.views import read_grey
from cmfm_cameras.errors import InputError
from cmfm_cameras.geometry.calibration_file import read_calibration

CHARUCO = Board("charuco", 8, 6, 0.03, 0.023, "DICT_4X4_50")
CHECKERBOARD = Board("checkerboard", 9, 6, 0.026)
DEPTH = View(480, 360, 520.0, 522.0, 237.0, 182.0, (-0.11, 0.04, 0.0006, -0.0004, 0.0))
PICTURE = View(
    560,
    420,
    640.0,
    638.0,
    283.0,
    207.0,
    (-0.18, 0.05, -0.0005, 0.0008, 0.0),
    turn(1.5, -8.0, 1.0),
    np.array([0.075, 0.003, 0.01]),
)


def write_views(folder: Path, board: Board, count: int) -> Path:
    """Pictures of both devices, NAME.picture.png and NAME.depth.png, and the depth sensor's points."""
    folder.mkdir()
    for number, (rotation, translation) in enumerate(places(board, count)):
        xyz = points(board, DEPTH, rotation, translation)
        tifffile.imwrite(folder / f"v{number:02}.xyz.tiff", xyz, photometric="minisblack")
        for side, view in (("picture", PICTURE), ("depth", DEPTH)):
            cv2.imwrite(str(folder / f"v{number:02}.{side}.png"), picture(board, view, rotation, translation))
    return folder


@pytest.fixture(scope="module")
def charuco_views(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_views(tmp_path_factory.mktemp("charuco") / "views", CHARUCO, 10)


def run(*arguments: object) -> int:
    with pytest.raises(SystemExit) as ended:
        main([str(argument) for argument in arguments])
    return int(ended.value.code or 0)


OPTIONS = {
    "charuco": ("--squares", "8x6", "--square-mm", 30, "--marker-mm", 23, "--dictionary", "DICT_4X4_50"),
    "checkerboard": ("--board", "checkerboard", "--squares", "9x6", "--square-mm", 26),
}


def registration_error_px(path: Path) -> float:
    """Where points over the tray land in the picture by the file, against where they truly land, at most."""
    found = read_calibration(path)
    places_m = np.stack(
        np.meshgrid(np.linspace(-0.12, 0.12, 7), np.linspace(-0.09, 0.09, 5), [0.45, 0.55]), axis=-1
    )
    truth = PICTURE.pixels(PICTURE.seen(places_m))
    columns, rows = found.picture.lens.project(found.pose.pose.apply(places_m))
    inside = ((truth >= 0) & (truth <= [559, 419])).all(-1)
    assert inside.mean() > 0.8
    return float(np.hypot(columns - truth[..., 0], rows - truth[..., 1])[inside].max())


def test_a_charuco_board_gives_the_truth(
    charuco_views: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Intrinsics to half a per cent, the motion to a millimetre, points registered to a third of a pixel."""
    out = tmp_path / "cell.toml"
    assert run("calibrate", charuco_views, *OPTIONS["charuco"], "--out", out, "--calib-id", "cell-7") == 0
    shown = capsys.readouterr().out
    assert "v00" in shown
    assert "mm apart" in shown
    found = read_calibration(out)
    assert found.calib_id == "cell-7"
    assert found.depth is not None
    for lens, truth in ((found.picture, PICTURE), (found.depth, DEPTH)):
        assert lens.fx_px == pytest.approx(truth.fx_px, rel=5e-3)
        assert lens.fy_px == pytest.approx(truth.fy_px, rel=5e-3)
        assert (lens.cx_px, lens.cy_px) == pytest.approx((truth.cx_px, truth.cy_px), abs=3.0)
        assert lens.error_px is not None
        assert lens.error_px < 0.2
    np.testing.assert_allclose(found.pose.translation_m, PICTURE.translation_m, atol=1e-3)
    assert registration_error_px(out) < 0.3


def test_two_pictures_alone_register_to_a_few_pixels(charuco_views: Path, tmp_path: Path) -> None:
    """Without points the motion is as good as both lenses' middles are known."""
    views = changed(charuco_views, tmp_path / "views", "")
    for path in views.glob("*.xyz.tiff"):
        path.unlink()
    out = tmp_path / "cell.toml"
    assert run("calibrate", views, *OPTIONS["charuco"], "--out", out) == 0
    assert registration_error_px(out) < 4.0
    assert "by two pictures" in read_calibration(out).made


def test_a_checkerboard_gives_the_truth(tmp_path: Path) -> None:
    """Its corners have no numbers: both devices take the same corner for the first one."""
    views = write_views(tmp_path / "views", CHECKERBOARD, 10)
    out = tmp_path / "cell.toml"
    assert run("calibrate", views, *OPTIONS["checkerboard"], "--out", out) == 0
    assert registration_error_px(out) < 0.3


def test_a_board_that_is_turned_round_is_the_same_board() -> None:
    """A picture turned by 180° has the same corners under the same numbers."""
    rotation, translation = places(CHECKERBOARD, 1)[0]
    straight = picture(CHECKERBOARD, DEPTH, rotation, translation)
    first, second = CHECKERBOARD.find(straight), CHECKERBOARD.find(np.ascontiguousarray(straight[::-1, ::-1]))
    assert first is not None
    assert second is not None
    np.testing.assert_allclose(second.pixels, [479, 359] - first.pixels, atol=1.0)


def refused(views: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], *options: object) -> str:
    """Calibrate, see that nothing is written, and return the reasons."""
    out = tmp_path / "cell.toml"
    assert run("calibrate", views, *(options or OPTIONS["charuco"]), "--out", out, "--json") == 2
    assert not out.exists()
    return "\n".join(json.loads(capsys.readouterr().out)["problems"])


def changed(views: Path, folder: Path, change: str) -> Path:
    """The views, made bad."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    for path in views.glob("*.tiff"):
        shutil.copy(path, folder)
    for path in sorted(views.glob("*.png")):
        image: NDArray[np.uint8] = np.asarray(cv2.imread(str(path), cv2.IMREAD_GRAYSCALE))
        if change == "few" and path.name >= "v05":
            continue
        if change == "left" and "picture" in path.name:
            image = image.copy()
            image[:, 280:] = 150
        if change == "moved" and "depth" in path.name:
            shift = rng.uniform(-25, 25, 2)
            image = np.asarray(
                cv2.warpAffine(
                    image, np.array([[1, 0, shift[0]], [0, 1, shift[1]]]), image.shape[::-1], borderValue=150
                )
            )
        cv2.imwrite(str(folder / path.name), image)
    return folder


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("few", ["picture: the board is found in 5 views", "at least 8"]),
        ("left", ["picture: corners lie in", "at the right"]),
        ("moved", ["both devices together fit to", "still"]),
    ],
)
def test_views_that_say_too_little_are_refused(
    charuco_views: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], change: str, words: list[str]
) -> None:
    """Too few, all on one side, or a board that moved between the devices: the reason says what to do."""
    problems = refused(changed(charuco_views, tmp_path / "views", change), tmp_path, capsys)
    for word in words:
        assert word in problems


def test_views_that_are_too_alike_are_refused() -> None:
    """Boards that all lie flat leave focal length and distance open, and so does an uncertain focal length."""
    flat = np.tile([0.0, 0.0, 1.0], (12, 1))
    assert "tilt it by 20" in fit_problems(flat, 0.001)[0]
    tilted = np.stack([turn(x_deg=degrees)[:, 2] for degrees in (-15, 0, 15)])
    assert fit_problems(tilted, 0.001) == []
    assert "uncertain by 1.0%" in fit_problems(tilted, 0.01)[0]


def test_one_bad_view_is_left_out(
    charuco_views: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A picture bent by a fault of its own is named as an outlier, and the rest calibrates."""
    views = changed(charuco_views, tmp_path / "views", "")
    path = views / "v04.depth.png"
    image = np.asarray(cv2.imread(str(path), cv2.IMREAD_GRAYSCALE))
    columns, rows = np.meshgrid(np.arange(480, dtype=np.float32), np.arange(360, dtype=np.float32))
    cv2.imwrite(str(path), cv2.remap(image, columns + 4 * np.sin(rows / 40), rows, cv2.INTER_LINEAR))
    out = tmp_path / "cell.toml"
    assert run("calibrate", views, *OPTIONS["charuco"], "--out", out, "--json") == 0
    report = json.loads(capsys.readouterr().out)
    assert {view["name"]: view["left_out"] for view in report["views"] if view["left_out"]} == {
        "v04": "outlier"
    }
    assert registration_error_px(out) < 0.3


def test_another_board_is_named_as_the_cause(
    charuco_views: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Not the coverage of nothing."""
    wrong = [*OPTIONS["charuco"]]
    wrong[wrong.index("DICT_4X4_50")] = "DICT_6X6_50"
    problems = refused(charuco_views, tmp_path, capsys, *wrong)
    assert "--dictionary" in problems
    assert "fields" not in problems


def test_points_of_another_unit_are_refused(
    charuco_views: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Millimetres, or a board whose squares are not as large as was said."""
    views = changed(charuco_views, tmp_path / "views", "")
    wrong = [*OPTIONS["charuco"]]
    wrong[wrong.index(30)] = 33
    assert "a square is 30 mm, by --square-mm 33" in refused(views, tmp_path, capsys, *wrong)


@pytest.mark.parametrize(
    ("options", "word"),
    [
        (("--board", "checkerboard", "--squares", "8x6", "--square-mm", 20), "turned by 180"),
        (("--board", "charuco", "--squares", "9x7", "--square-mm", 20, "--marker-mm", 25), "--marker-mm"),
        (
            (
                "--board",
                "charuco",
                "--squares",
                "9x7",
                "--square-mm",
                20,
                "--marker-mm",
                15,
                "--dictionary",
                "DICT_9",
            ),
            "DICT_5X5_100",
        ),
        (("--board", "charuco", "--squares", "30x20", "--square-mm", 20, "--marker-mm", 15), "100 markers"),
        (("--board", "charuco", "--squares", "9-7", "--square-mm", 20, "--marker-mm", 15), "9x7"),
    ],
)
def test_a_board_that_cannot_be_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], options: tuple[object, ...], word: str
) -> None:
    """Before any picture is read."""
    assert run("calibrate", tmp_path, *options, "--out", tmp_path / "cell.toml") == 2
    assert word in capsys.readouterr().err


def test_a_view_of_one_device_is_named(
    charuco_views: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As is a folder that is not there, and a picture of another size."""
    views = changed(charuco_views, tmp_path / "views", "")
    cv2.imwrite(str(views / "v03.depth.png"), np.zeros((10, 20), np.uint8))
    assert run("calibrate", views, *OPTIONS["charuco"], "--out", tmp_path / "x.toml") == 2
    assert "v03.depth.png is (20, 10)" in capsys.readouterr().err
    (views / "v03.depth.png").unlink()
    assert run("calibrate", views, *OPTIONS["charuco"], "--out", tmp_path / "x.toml") == 2
    assert "v03 has no depth picture" in capsys.readouterr().err
    assert run("calibrate", tmp_path / "absent", *OPTIONS["charuco"], "--out", tmp_path / "x.toml") == 2
    assert "no such folder" in capsys.readouterr().err


def test_sixteen_bit_pictures_are_read(tmp_path: Path) -> None:
    """Infrared pictures of 12 bits in 16, dark to an eye, are stretched; a file that is no picture is named."""
    path = tmp_path / "a.png"
    grey = picture(CHARUCO, DEPTH, *places(CHARUCO, 1)[0])
    cv2.imwrite(str(path), grey.astype(np.uint16) * 12)
    found = CHARUCO.find(read_grey(path))
    assert found is not None
    assert len(found.ids) > 25
    path.write_bytes(b"no picture")
    with pytest.raises(InputError, match=r"a\.png cannot be read"):
        read_grey(path)
