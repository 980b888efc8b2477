"""The calibration file: what is written is read again, and a wrong value is named."""

from pathlib import Path

import numpy as np
import pytest
from tests.unit.made.known_scene import turn

from cmfm_cameras.errors import InputError
from cmfm_cameras.geometry.calibration_file import FORMAT, Calibration, calibration_text, read_calibration
from cmfm_cameras.geometry.pose import Pose

POSE = Pose.of(turn(3.0, -12.0, 1.0), np.array([0.08, -0.01, 0.02]))
TEXT = calibration_text(
    Calibration.model_validate(
        {
            "format": FORMAT,
            "calib_id": "cell-7",
            "picture": {
                "width_px": 1920,
                "height_px": 1200,
                "fx_px": 2012.25,
                "fy_px": 2010.5,
                "cx_px": 958.75,
                "cy_px": 601.5,
                "distortion": (-0.12, 0.03, 0.0004, -0.0002, 0.001),
            },
            "pose": {"rotation": POSE.rotation, "translation_m": POSE.translation_m},
        }
    )
)


def written(tmp_path: Path, text: str = TEXT) -> Path:
    path = tmp_path / "cell.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    """To the last digit."""
    calibration = read_calibration(written(tmp_path))
    assert calibration.picture.lens.fx_px == 2012.25
    assert calibration.picture.lens.distortion == (-0.12, 0.03, 0.0004, -0.0002, 0.001)
    assert calibration.pose.pose == POSE
    assert calibration_text(calibration) == TEXT


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("fx_px = 2012.25", "fx_pix = 2012.25", ["picture.fx_pix", "did you mean 'fx_px'"]),
        ("fx_px = 2012.25", "", ["picture.fx_px", "missing"]),
        ("fx_px = 2012.25", "fx_px = 2012250.0", ["picture", "focal length in pixels"]),
        ("fx_px = 2012.25", "fx_px = nan", ["picture.fx_px"]),
        ("-0.12", "-0.12,\n    0.0", ["picture", "6 numbers", "k4"]),
        ("-0.12", "-12.0", ["picture", "cannot be inverted"]),
        ("cx_px = 958.75", "cx_px = 9587.5", ["picture", "principal point"]),
        ("0.08", "80.0", ["pose", "metres, not millimetres"]),
        (FORMAT, "cmfm two-device calibration 9", ["format"]),
        ("[pose]", "[extrinsics]", ["extrinsics", "pose"]),
        ("[picture]", "[picture", ["cannot be read as TOML"]),
    ],
)
def test_a_wrong_value_is_named(tmp_path: Path, old: str, new: str, words: list[str]) -> None:
    """The message names file, key and what was expected."""
    assert old in TEXT
    path = written(tmp_path, TEXT.replace(old, new, 1))
    with pytest.raises(InputError) as error:
        read_calibration(path)
    for word in [str(path), *words]:
        assert word in str(error.value)


def test_a_rotation_that_mirrors_or_scales_is_refused(tmp_path: Path) -> None:
    """Two axes swapped, or a matrix in which a scale hides, would put every point somewhere else."""
    table = read_calibration(written(tmp_path)).model_dump()
    for rotation, word in ((POSE.matrix[[1, 0, 2]], "mirrors"), (POSE.matrix * 1.001, "not perpendicular")):
        table["pose"]["rotation"] = rotation.tolist()
        with pytest.raises(ValueError, match=word):
            Calibration.model_validate(table)


def test_a_missing_file_says_what_makes_one(tmp_path: Path) -> None:
    """The command is named."""
    with pytest.raises(InputError, match="cmfm-camera calibrate"):
        read_calibration(tmp_path / "none.toml")
