"""A watched folder as a camera: every form of files, torn ones, and a folder that vanishes."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from PIL import Image
from tests.unit.made.known_scene import Cube, KnownScene, Plane, View
from tests.unit.made.scripted_device import next_capture, refused

from cmfm_cameras.adapters import folder
from cmfm_cameras.errors import DeviceError, InputError, Refusal
from cmfm_cameras.files.ply import read_ply, write_ply
from cmfm_cameras.settings.folder import FolderSection
from cmfm_protocol.files.dataset_error import DatasetError

VIEW = View(width_px=24, height_px=18, fx_px=30.0, fy_px=32.0, cx_px=11.0, cy_px=9.5)
TRUTH_M = KnownScene([Plane((0.2, -0.1, 1.0), 0.62), Cube((0.02, -0.01, 0.5), 0.08)]).points(VIEW)
RGB = np.random.default_rng(3).integers(0, 256, (18, 24, 3), np.uint8)
FAST = {"settle_s": 0.02, "poll_s": 0.005, "missing_s": 30.0}


def device(path: Path, **settings: Any) -> folder.FolderDevice:
    section = FolderSection.model_validate({**FAST, "path": path, "existing": "publish", **settings})
    return folder.open_device(section)


def save(path: Path, form: str, rgb: NDArray[Any], xyz: NDArray[Any]) -> None:
    """A part in one of the forms; rgb_depth saves z in tenths of a millimetre."""
    path.mkdir(exist_ok=True)
    if form == "ply":
        write_ply(path / "p.ply", rgb, xyz.astype(np.float32))
    elif form == "numpy":
        np.save(path / "p.rgb.npy", rgb)
        np.save(path / "p.xyz.npy", xyz)
    else:
        Image.fromarray(rgb).save(path / "p.rgb.png")
    if form == "rgb_xyz":
        tifffile.imwrite(path / "p.xyz.tiff", xyz.astype(np.float32), photometric="rgb", metadata=None)
    if form == "rgb_depth":
        steps = np.nan_to_num(np.round(xyz[..., 2] * 1e4)).astype(np.uint16)
        Image.fromarray(steps).save(path / "p.depth.png")


def save_whole(path: Path, form: str, rgb: NDArray[Any], xyz: NDArray[Any], name: str = "p") -> None:
    """The same while the folder is watched: no file is seen half written."""
    staging = path.with_name("staging")
    save(staging, form, rgb, xyz)
    for file in sorted(staging.iterdir()):
        file.rename(path / file.name.replace("p.", f"{name}.", 1))


@pytest.mark.parametrize(("unit", "metres"), [("m", 1.0), ("mm", 1e-3), ("um", 1e-6)])
@pytest.mark.parametrize("form", ["rgb_xyz", "ply", "numpy"])
def test_points_of_every_form_come_out_in_metres(tmp_path: Path, form: str, unit: str, metres: float) -> None:
    """To a micrometre, with the picture as it was, under the name of the files."""
    truth_m = TRUTH_M.copy()
    truth_m[3, 4] = 0.0  # how many sensors mark what is missing
    truth_m[5, 6] = np.nan
    save(tmp_path, form, RGB, truth_m / metres)
    capture = next_capture(device(tmp_path, form=form, unit=unit))
    assert capture.part_id == "p"
    assert (capture.rgb == RGB).all()
    assert np.isnan(capture.xyz[[3, 5], [4, 6]]).all()
    truth_m[3, 4] = np.nan
    assert np.nanmax(np.abs(capture.xyz - truth_m)) < 1e-6
    assert np.isnan(capture.xyz).sum() == 6


def test_depth_pictures_follow_the_rays_of_their_intrinsics(tmp_path: Path) -> None:
    """Steps become metres, 0 is missing; the principal point counts from the middle of the first pixel."""
    z_m = np.round(TRUTH_M[..., 2:] * 1e4) / 1e4
    truth_m = VIEW.rays() * z_m
    truth_m[2, 2] = np.nan
    save(tmp_path, "rgb_depth", RGB, truth_m)
    lens = {"fx": VIEW.fx_px, "fy": VIEW.fy_px, "cx": VIEW.cx_px, "cy": VIEW.cy_px}
    capture = next_capture(device(tmp_path, form="rgb_depth", depth_scale=1e-4, **lens))
    assert np.nanmax(np.abs(capture.xyz - truth_m)) < 1e-6
    assert np.isnan(capture.xyz).sum() == 3


def test_the_middle_is_the_principal_point_unless_said(tmp_path: Path) -> None:
    """Of 24 columns, 11.5."""
    save(tmp_path, "rgb_depth", RGB, np.full((18, 24, 3), 0.5))
    xyz = next_capture(device(tmp_path, form="rgb_depth", depth_scale=1e-4, fx=30.0)).xyz
    np.testing.assert_allclose(xyz[0, :, 0] + xyz[0, ::-1, 0], 0.0, atol=1e-7)
    np.testing.assert_allclose(xyz[9, 12], [0.5 * 0.5 / 30, 0.5 * 0.5 / 30, 0.5], atol=1e-7)


@pytest.mark.parametrize("form", ["rgb_xyz", "ply", "numpy", "rgb_depth"])
def test_a_torn_file_uses_its_part_s_number(tmp_path: Path, form: str) -> None:
    """It is named; the next part is published."""
    watched = tmp_path / "in"
    save(watched, form, RGB, TRUTH_M)
    torn = max(watched.iterdir())
    torn.write_bytes(torn.read_bytes()[:-900])
    opened = device(watched, form=form, fx=30.0)
    error = refused(opened)
    assert (error.reason, error.part_id) == (Refusal.INCOMPLETE, "p")
    assert torn.name in str(error)
    save_whole(watched, form, RGB, TRUTH_M)
    assert next_capture(opened).part_id == "p"


def test_a_missing_half_uses_its_part_s_number(tmp_path: Path) -> None:
    """It is named, and how long it was waited for."""
    save(tmp_path, "rgb_xyz", RGB, TRUTH_M)
    (tmp_path / "p.rgb.png").unlink()
    error = refused(device(tmp_path, missing_s=0.1))
    assert (error.reason, error.part_id) == (Refusal.INCOMPLETE, "p")
    assert str(error) == "p: p.rgb.png did not come within 0.1 s"


def test_a_file_that_is_written_while_it_is_read_is_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A capture never mixes two versions of a file."""
    save(tmp_path, "rgb_xyz", RGB, TRUTH_M)
    opened = device(tmp_path)
    reads: list[int] = []
    read = opened._form.read

    def interrupted(section: FolderSection, paths: tuple[Path, ...]) -> Any:
        pixels = read(section, paths)
        if not reads:
            save(tmp_path, "rgb_xyz", 255 - RGB, TRUTH_M)
        reads.append(1)
        return pixels

    monkeypatch.setattr(opened, "_form", type(opened._form)(opened._form.endings, interrupted))
    assert (next_capture(opened).rgb == 255 - RGB).all()
    assert len(reads) == 2


@pytest.mark.parametrize("after", ["keep", "delete", "move"])
def test_what_becomes_of_published_files(tmp_path: Path, after: str) -> None:
    """They stay, go, or move to a folder."""
    watched, done = tmp_path / "in", tmp_path / "done"
    save(watched, "rgb_xyz", RGB, TRUTH_M)
    next_capture(device(watched, after=after, done=done))
    names = {"p.rgb.png", "p.xyz.tiff"}
    assert {path.name for path in watched.iterdir()} == (names if after == "keep" else set())
    if after == "move":
        assert {path.name for path in done.iterdir()} == names


def test_a_share_that_vanishes_is_waited_for(tmp_path: Path) -> None:
    """Parts that were saved meanwhile are published, and none twice."""
    watched, away = tmp_path / "in", tmp_path / "away"
    save(watched, "rgb_xyz", RGB, TRUTH_M)
    opened = device(watched)
    next_capture(opened)
    watched.rename(away)
    assert opened.capture(0.05) is None
    away.rename(watched)
    save_whole(watched, "rgb_xyz", RGB, TRUTH_M, name="q")
    assert next_capture(opened).part_id == "q"
    assert opened.capture(0.1) is None


def test_the_folder_must_be_there_and_be_named(tmp_path: Path) -> None:
    """A share that is mounted later is a lost device; no folder at all is a wrong setting."""
    with pytest.raises(DeviceError, match="cannot be read"):
        device(tmp_path / "later")
    with pytest.raises(InputError, match="needs path"):
        folder.check(FolderSection())
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="not a folder"):
        folder.check(FolderSection(path=tmp_path / "file"))
    assert [info.identifier for info in folder.list_devices(FolderSection(path=tmp_path))] == [str(tmp_path)]


HEADER = """ply
format {form} 1.0
comment made by a sensor
{size}
element vertex {count}
property {real} x
property {real} y
property {real} z
property uchar red
property uchar green
property uchar blue
property float intensity
element face 0
property list uchar int vertex_indices
end_header
"""


def ply(form: str, real: str = "float", size: str = "obj_info num_cols 24\nobj_info num_rows 18") -> bytes:
    """A file as other software writes it, with a property and an element of its own."""
    head = HEADER.format(form=form, real=real, size=size, count=18 * 24).encode()
    points, colours = TRUTH_M.reshape(-1, 3), RGB.reshape(-1, 3)
    if form == "ascii":
        rows = zip(points.tolist(), colours.tolist(), strict=True)
        lines = [" ".join(map(repr, [*point, *colour, 0.5])) for point, colour in rows]
        return head + "\n".join(lines).encode() + b"\n"
    order = "<" if "little" in form else ">"
    kind = order + ("f4" if real == "float" else "f8")
    table = np.zeros(
        len(points), [*((axis, kind) for axis in "xyz"), *((c, "u1") for c in "rgb"), ("i", order + "f4")]
    )
    for number in range(3):
        table["xyz"[number]], table["rgb"[number]] = points[:, number], colours[:, number]
    return head + table.tobytes()


def with_blue(blue: bytes) -> bytes:
    """An ASCII cloud whose first point has that text as its blue."""
    head, rows = ply("ascii").split(b"end_header\n")
    first, others = rows.split(b"\n", 1)
    words = first.split()
    words[5] = blue
    return head + b"end_header\n" + b" ".join(words) + b"\n" + others


@pytest.mark.parametrize("real", ["float", "double"])
@pytest.mark.parametrize("form", ["ascii", "binary_little_endian", "binary_big_endian"])
def test_clouds_of_other_software(tmp_path: Path, form: str, real: str) -> None:
    """Every format of PLY, with properties and elements that are not needed."""
    path = tmp_path / "p.ply"
    path.write_bytes(ply(form, real))
    rgb, xyz = read_ply(path)
    assert (rgb == RGB).all()
    assert np.abs(xyz - TRUTH_M).max() < 1e-6


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "not a PLY file"),
        (ply("ascii", size="comment nothing"), "set width and height"),
        (ply("ascii", size="comment width 23 height 18"), "not organised"),
        (ply("ascii").replace(b" red", b" r_"), "no colour"),
        (ply("ascii").replace(b"uchar red", b"float red"), "expected uchar"),
        (ply("ascii").replace(b"property float z\n", b""), "expected x, y, z"),
        (ply("ascii").replace(b"format ascii", b"format morse"), "'morse'"),
        (ply("ascii").replace(b"vertex 432", b"vertex many"), "no count"),
        (ply("ascii")[:-2000], "torn"),
        (ply("binary_little_endian")[:-1], "torn"),
        (ply("ascii").replace(b"0.5\n", b"half\n"), "not a number"),
        *((with_blue(blue), f"{blue.decode()} is no value") for blue in (b"300", b"-1", b"1.5", b"nan")),
    ],
)
def test_clouds_that_cannot_be_used_are_explained(tmp_path: Path, content: bytes, words: str) -> None:
    """An unorganised cloud belongs to no pixels; nothing is guessed."""
    path = tmp_path / "p.ply"
    path.write_bytes(content)
    with pytest.raises(DatasetError, match=words) as error:
        read_ply(path)
    assert str(path) in str(error.value)


def test_the_settings_say_the_size_of_a_cloud_that_does_not(tmp_path: Path) -> None:
    """Rows and columns, as the sensor's software calls them."""
    path = tmp_path / "p.ply"
    path.write_bytes(ply("ascii", size="comment nothing"))
    assert next_capture(device(tmp_path, form="ply", width=24, height=18)).rgb.shape == (18, 24, 3)
