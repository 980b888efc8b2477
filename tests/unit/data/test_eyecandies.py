"""Eyecandies on disk: parts, points, defects, and the errors for damaged or missing files."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.made_eyecandies import (
    CATEGORY,
    CONVEYOR,
    CONVEYOR_M,
    SIDE_PX,
    Ball,
    ball_depth,
    candy,
    conveyor_depth,
    on_conveyor,
    write_depth,
)

from cmfm_protocol.files.dataset import (
    DatasetError,
    PartFiles,
    categories,
    has_split,
    list_parts,
    read_part,
    read_part_ground_truth,
)
from cmfm_protocol.files.depth_picture import (
    decode_depth,
    points_from_depth,
    read_depth_bounds,
    read_depth_points,
)


@pytest.fixture
def root(eyecandies_root: Path, tmp_path: Path) -> Path:
    """A copy that a test may damage."""
    shutil.copytree(eyecandies_root, tmp_path / "data")
    return tmp_path / "data"


def parts(root: Path, split: str, light: int = 4) -> list[PartFiles]:
    return list_parts(root, CATEGORY, split, "eyecandies", light=light)


def data(root: Path, split: str = "train") -> Path:
    return root / CATEGORY / split / "data"


def test_splits_are_found_under_their_own_names(eyecandies_root: Path) -> None:
    """train, val and test_public are train, validation and test; parts come by number, all good but in test."""
    assert categories(eyecandies_root, "eyecandies") == [CATEGORY]
    assert has_split(eyecandies_root, CATEGORY, "validation", "eyecandies")
    assert [len(parts(eyecandies_root, split)) for split in ("train", "validation", "test")] == [4, 5, 7]
    assert {part.defect for split in ("train", "validation") for part in parts(eyecandies_root, split)} == {
        "good"
    }
    assert [part.rgb.name for part in parts(eyecandies_root, "train")] == [
        f"0{i}_image_4.png" for i in range(4)
    ]


def test_numbers_order_parts_however_many_digits_they_have(root: Path) -> None:
    """Part 9 comes before part 10, as in a split of a thousand."""
    for file in sorted(data(root).glob("03_*")):
        file.rename(file.with_name(file.name.replace("03_", "10_")))
    assert [part.id.rsplit("-", 1)[1] for part in parts(root, "train")] == ["00", "01", "02", "10"]


def test_defects_are_what_the_masks_say(eyecandies_root: Path) -> None:
    """Their kind comes from metadata, else from the masks of single kinds, else it is "defect"."""
    found = parts(eyecandies_root, "test")
    kinds = ["good", "good", "bumps", "colors", "combined", "defect", "good"]
    assert [part.defect for part in found] == kinds
    assert found[2].id == "GummyBear-test-bumps-02"
    for part, kind in zip(found, kinds, strict=True):
        assert read_part_ground_truth(part, SIDE_PX, SIDE_PX).any() == (kind != "good")
    assert (read_part_ground_truth(found[2], SIDE_PX, SIDE_PX) == candy(12, ["bumps"]).masks["bumps"]).all()


def test_light_chooses_the_picture_and_nothing_else(eyecandies_root: Path) -> None:
    """Image 4 is the default; the points are the same for every light; a seventh light is refused."""
    rgb, xyz = read_part(parts(eyecandies_root, "train")[0])
    other, same = read_part(parts(eyecandies_root, "train", light=2)[0])
    assert rgb.shape == other.shape == (SIDE_PX, SIDE_PX, 3)
    assert np.abs(rgb.astype(int) - other).mean() > 5
    np.testing.assert_array_equal(xyz, same)
    with pytest.raises(DatasetError, match="light 6 is not one of 0 to 5"):
        parts(eyecandies_root, "train", light=6)


def test_depth_is_decoded_to_the_step_of_its_16_bits(tmp_path: Path) -> None:
    """Every level of the picture becomes its depth; a depth is preserved within half a step."""
    levels = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    decoded = decode_depth(levels, 0.31, 0.57)
    assert (decoded[0, 0], decoded[-1, -1]) == (0.31, pytest.approx(0.57, abs=1e-15))
    np.testing.assert_allclose(np.diff(decoded.ravel()), (0.57 - 0.31) / 65535, rtol=1e-9)
    depth_m = candy(1).depth_m
    step_m = write_depth(tmp_path, "00", depth_m)
    points = read_depth_points(tmp_path / "00_depth.png", tmp_path / "00_info_depth.yaml")
    float32_m = np.spacing(np.float32(depth_m.max()))
    assert np.abs(points[..., 2] - depth_m).max() <= step_m / 2 + float32_m
    assert step_m < 3e-6


def test_flat_conveyor_gives_its_plane(tmp_path: Path) -> None:
    """The points of a tilted plane lie on it, with its own normal and distance, to the step of the depth."""
    step_m = write_depth(tmp_path, "00", conveyor_depth())
    points = read_depth_points(tmp_path / "00_depth.png", tmp_path / "00_info_depth.yaml")
    assert np.abs(points.astype(float) @ CONVEYOR + CONVEYOR_M).max() < step_m
    assert np.ptp(points[..., 0]) > 0.3
    assert points[256, 256, :2].tolist() == [0.0, 0.0]  # the optical axis
    assert points[256, 300, 0] > 0 > points[200, 256, 1]  # x along columns, y along rows


def test_sphere_measures_its_radius(tmp_path: Path) -> None:
    """Every point on a candy lies at the candy's radius from its centre: depth is along z, not along the ray."""
    ball = Ball(on_conveyor(0.04, -0.03), 0.05)
    surface = ball_depth(ball)
    step_m = write_depth(tmp_path, "00", np.minimum(surface, conveyor_depth()))
    points = read_depth_points(tmp_path / "00_depth.png", tmp_path / "00_info_depth.yaml").astype(float)
    on_ball = points[surface < conveyor_depth()]
    assert len(on_ball) > 10_000
    assert np.abs(np.linalg.norm(on_ball - ball.centre_m, axis=1) - ball.radius_m).max() < 2 * step_m


def test_nothing_measured_is_no_point() -> None:
    """A depth of 0 becomes the origin, which counts as an invalid point."""
    assert not points_from_depth(np.array([[0.0, -1.0]]), 700.0).any()


@pytest.mark.parametrize("focal_px", [0.0, -1.0, float("nan"), float("inf")])
def test_focal_length_that_is_none_is_refused(focal_px: float) -> None:
    """A focal length that is not positive and finite is a ValueError."""
    with pytest.raises(ValueError, match="focal length"):
        points_from_depth(np.ones((2, 2)), focal_px)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("normalization: [0.1", "is not YAML"),
        ("", "holds nothing; expected a map"),
        ("- 1\n- 2\n", "holds a list; expected a map"),
        ("normalisation: {min: 0.1, max: 0.2}", "has no normalization.min"),
        ("normalization: 3", "has no normalization.min"),
        ("normalization: {min: 0.1}", "has no normalization.max"),
        ("normalization: {min: low, max: 0.2}", "normalization.min is 'low'; expected a number"),
        ("normalization: {min: .nan, max: 0.2}", "normalization.min is 'nan'; expected a number"),
        ("normalization: {min: 0.3, max: 0.2}", "expected 0 ≤ min ≤ max"),
        ("normalization: {min: -0.3, max: 0.2}", "expected 0 ≤ min ≤ max"),
        ("!!python/object/apply:os.system ['true']", "is not YAML"),
        ("a: 1\n" * 20_000, "is larger than 65536 bytes"),
    ],
)
def test_unit_that_is_none_is_named_with_its_key(tmp_path: Path, content: str, said: str) -> None:
    """The error names the file, the key and what was expected; nothing in the file is executed."""
    info = tmp_path / "00_info_depth.yaml"
    info.write_text(content)
    with pytest.raises(DatasetError, match=r"00_info_depth\.yaml") as error:
        read_depth_bounds(info)
    assert said in str(error.value)


def _shrink(depth: Path) -> None:
    Image.fromarray(np.zeros((480, 640), np.uint16)).save(depth)


def _eight_bits(depth: Path) -> None:
    Image.fromarray(np.zeros((512, 512), np.uint8)).save(depth)


def _cut(depth: Path) -> None:
    depth.write_bytes(depth.read_bytes()[:5000])


def _tiff(depth: Path) -> None:
    depth.write_bytes(b"II*\0" + bytes(100))


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (_shrink, "is 640×480; expected 512×512"),
        (_eight_bits, "has 8 bits a channel; expected a grey 16-bit PNG"),
        (_cut, "is torn or damaged"),
        (_tiff, "is a TIFF file; expected a grey 16-bit PNG"),
        (Path.unlink, "is missing"),
    ],
)
def test_depth_picture_that_is_none_is_named(root: Path, damage: Callable[[Path], None], said: str) -> None:
    """The error names the file, what it is, and what was expected."""
    part = parts(root, "train")[1]
    damage(part.xyz)
    with pytest.raises(DatasetError, match=r"01_depth\.png") as error:
        read_part(part)
    assert said in str(error.value)


def test_colour_picture_of_16_bits_is_no_depth(root: Path) -> None:
    """A depth picture in colour is refused."""
    part = parts(root, "train")[1]
    content = bytearray(part.xyz.read_bytes())
    content[25] = 2  # the colour type
    part.xyz.write_bytes(content)
    with pytest.raises(DatasetError, match=r"01_depth\.png is in colour; expected a grey 16-bit PNG"):
        read_part(part)


def test_picture_of_another_size_than_the_depth_is_refused(root: Path) -> None:
    """The error names both files."""
    part = parts(root, "train")[0]
    Image.new("RGB", (64, 64)).save(part.rgb)
    with pytest.raises(DatasetError, match=r"00_depth\.png is 512×512, but .*00_image_4\.png is 64×64"):
        read_part(part)


@pytest.mark.parametrize("item", ["image_4.png", "depth.png", "info_depth.yaml", "mask.png"])
def test_part_that_lacks_a_file_is_named_when_parts_are_listed(root: Path, item: str) -> None:
    """A missing file of a part is an error when the parts are listed."""
    (data(root, "test_public") / f"03_{item}").unlink()
    with pytest.raises(DatasetError, match=rf"03_{item} is missing; expected <Category>"):
        parts(root, "test")


def test_nominal_splits_need_neither_masks_nor_what_is_not_read(root: Path) -> None:
    """Normals, poses, the other lights and the masks of good parts may be left out."""
    for pattern in ("*_mask.png", "*_normals.png", "*_pose.txt", "*_image_[01235].png"):
        for file in data(root).glob(pattern):
            file.unlink()
    assert len(parts(root, "train")) == 4


def test_torn_metadata_is_named(root: Path) -> None:
    """Metadata that cannot be read is an error that names the file."""
    file = data(root, "test_public") / "02_metadata.yaml"
    file.write_text("bumps: many\n")
    with pytest.raises(DatasetError, match=r"02_metadata\.yaml: bumps is 'many'; expected a number"):
        parts(root, "test")


def test_folder_in_another_layout_is_told_which_one_it_has(root: Path, synthetic_root: Path) -> None:
    """A data set of another layout is an error that names its layout."""
    with pytest.raises(DatasetError, match=r"has train/good; .*it has the layout 'eyecandies'"):
        categories(root)
    with pytest.raises(DatasetError, match=r"has train/data; .*it has the layout 'mvtec3d'"):
        categories(synthetic_root, "eyecandies")


def test_category_without_training_parts_is_named(root: Path) -> None:
    """The error names the missing folder train/data, and does not say that the category is missing."""
    (root / "Confetto" / "val" / "data").mkdir(parents=True)
    with pytest.raises(DatasetError, match=r"Confetto/train/data is missing; expected <Category>"):
        list_parts(root, "Confetto", "train", "eyecandies")
    with pytest.raises(DatasetError, match=r"no category 'Lollipop'; it has GummyBear"):
        list_parts(root, "Lollipop", "train", "eyecandies")
