"""Data sets on disk: the parts that are listed, and the errors for folders that are not data sets."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from cmfm_protocol.files.dataset import (
    DatasetError,
    categories,
    check_ground_truths,
    has_split,
    list_nominal_folder,
    list_parts,
    read_part,
    read_part_ground_truth,
)
from cmfm_sim.datasets.synthetic import DEFECTS


@pytest.fixture
def root(synthetic_root: Path, tmp_path: Path) -> Path:
    """A copy of one category that a test may damage."""
    shutil.copytree(synthetic_root / "praline", tmp_path / "data" / "praline")
    return tmp_path / "data"


def test_categories_are_the_folders_that_can_be_taught_from(root: Path) -> None:
    """A folder without train/good, a hidden folder and a file are not listed as categories."""
    (root / "notes").mkdir()
    (root / ".cache" / "train" / "good").mkdir(parents=True)
    (root / "readme.txt").write_text("x")
    assert categories(root) == ["praline"]


def test_parts_are_listed_in_a_fixed_order_with_their_kind(root: Path) -> None:
    """The test split holds good parts and every defect, sorted; train and validation hold good parts only."""
    test = list_parts(root, "praline", "test")
    kinds = sorted([*DEFECTS, "good", "good"])
    assert [part.defect for part in test] == kinds
    assert [part.label for part in test] == [int(kind != "good") for kind in kinds]
    train = list_parts(root, "praline", "train")
    assert [part.rgb.name for part in train] == [f"{i:03d}.png" for i in range(6)]
    assert {part.defect for part in train} == {"good"}


def test_ids_are_unique_and_can_be_file_names(root: Path) -> None:
    """Two parts never share an id, though MVTec numbers them from 000 in every folder."""
    parts = [part for split in ("train", "validation", "test") for part in list_parts(root, "praline", split)]
    ids = {part.id for part in parts}
    assert len(ids) == len(parts) == 6 + 3 + 2 + len(DEFECTS)
    assert "praline-test-hole-000" in ids
    assert not any("/" in part_id for part_id in ids)


def test_hidden_files_are_not_parts(root: Path) -> None:
    """Hidden files of a file manager ("._000.png") are not listed as pictures."""
    (root / "praline" / "train" / "good" / "rgb" / "._000.png").write_bytes(b"x")
    assert len(list_parts(root, "praline", "train")) == 6


def test_a_good_part_needs_no_ground_truth(root: Path) -> None:
    """A good part's ground truth is empty, with or without a file."""
    shutil.rmtree(root / "praline" / "test" / "good" / "gt")
    good = next(part for part in list_parts(root, "praline", "test") if part.defect == "good")
    assert good.gt is None
    assert not read_part_ground_truth(good, 160, 160).any()


def test_a_missing_ground_truth_of_a_defect_is_named_when_it_is_read(root: Path) -> None:
    """Parts are listed without a ground truth file; the error of reading the ground truth names the file."""
    missing = root / "praline" / "test" / "hole" / "gt" / "000.png"
    missing.unlink()
    hole = next(part for part in list_parts(root, "praline", "test") if part.defect == "hole")
    with pytest.raises(DatasetError, match=r"hole/gt/000\.png is missing"):
        read_part_ground_truth(hole, 160, 160)


def test_ground_truths_are_looked_at_all_at_once(root: Path) -> None:
    """A ground truth that is missing or of another size is found by its first bytes; torn pictures are skipped."""
    test = list_parts(root, "praline", "test")
    check_ground_truths(test)
    hole, stain = (next(part for part in test if part.defect == kind) for kind in ("hole", "stain"))
    hole.rgb.write_bytes(b"torn")
    check_ground_truths(test)
    assert stain.gt is not None
    Image.new("L", (50, 40)).save(stain.gt)
    with pytest.raises(DatasetError, match=r"stain/gt/000\.png is 50×40; expected 160×160"):
        check_ground_truths(test)
    stain.gt.unlink()
    with pytest.raises(DatasetError, match=r"stain/gt/000\.png is missing"):
        check_ground_truths(test)


def test_synthetic_is_another_name_of_the_layout(root: Path) -> None:
    """A data set of `cmfm-sim make` is read like MVTec 3D-AD."""
    assert list_parts(root, "praline", "test", "synthetic") == list_parts(root, "praline", "test")
    assert categories(root, "synthetic") == ["praline"]


def test_splits_that_may_be_missing_can_be_asked_for(root: Path) -> None:
    """`has_split` tells whether a category has a split that may be missing."""
    assert has_split(root, "praline", "validation")
    shutil.rmtree(root / "praline" / "validation")
    assert not has_split(root, "praline", "validation")
    with pytest.raises(DatasetError, match="no category"):
        has_split(root, "bagel", "validation")


def test_a_category_without_training_parts_is_named(root: Path) -> None:
    """The error names the folder that the category lacks, and does not say that the category is missing."""
    (root / "bagel" / "test" / "good").mkdir(parents=True)
    with pytest.raises(DatasetError, match=r"bagel/train/good is missing; expected <category>"):
        list_parts(root, "bagel", "test")


def test_a_ground_truth_of_another_size_is_refused(root: Path) -> None:
    """A ground truth of another size than its part is refused."""
    hole = next(part for part in list_parts(root, "praline", "test") if part.defect == "hole")
    with pytest.raises(DatasetError, match=r"is 160×160; expected 200×100"):
        read_part_ground_truth(hole, 100, 200)


def test_rgb_and_xyz_of_different_size_are_refused(root: Path) -> None:
    """The error names both files and both sizes."""
    part = list_parts(root, "praline", "train")[0]
    Image.new("RGB", (40, 30)).save(part.rgb)
    with pytest.raises(DatasetError, match=r"000\.tiff is 160×160, but .*000\.png is 40×30"):
        read_part(part)


@pytest.mark.parametrize("kind", ["rgb", "xyz"])
def test_a_part_without_one_of_its_pictures_is_named(root: Path, kind: str) -> None:
    """A part without its RGB or XYZ file is an error that names the missing file."""
    folder = root / "praline" / "validation" / "good" / kind
    next(folder.glob("001.*")).unlink()
    with pytest.raises(DatasetError, match=rf"{kind}/001\.\w+ is missing"):
        list_parts(root, "praline", "validation")


def test_both_spellings_of_tiff_are_read(root: Path) -> None:
    """Files that end in .tif are found like .tiff."""
    folder = root / "praline" / "train" / "good" / "xyz"
    (folder / "000.tiff").rename(folder / "000.tif")
    rgb, xyz = read_part(list_parts(root, "praline", "train")[0])
    assert rgb.shape == xyz.shape == (160, 160, 3)


def _empty(folder: Path) -> None:
    folder.mkdir()


def _file(folder: Path) -> None:
    folder.write_text("x")


def _pictures_only(folder: Path) -> None:
    folder.mkdir()
    Image.new("RGB", (4, 4)).save(folder / "000.png")


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (_empty, "is not a data set"),
        (_pictures_only, "is not a data set"),
        (_file, "is a file"),
        (lambda folder: None, "does not exist"),
    ],
)
def test_a_folder_that_is_no_data_set_is_told_the_layout(tmp_path: Path, made: object, said: str) -> None:
    """The error names the folder and the expected layout."""
    folder = tmp_path / "somewhere"
    assert callable(made)
    made(folder)
    with pytest.raises(DatasetError, match=rf"somewhere {said}.*train,validation,test.*rgb/\*\.png"):
        categories(folder)


def test_an_unknown_category_is_told_what_there_is(root: Path) -> None:
    """The error for a misspelt category lists the existing ones."""
    with pytest.raises(DatasetError, match=r"no category 'pralin'; it has praline"):
        list_parts(root, "pralin", "train")


def test_an_unknown_split_is_told_what_there_is(root: Path) -> None:
    """The error for a misspelt split lists the three splits."""
    with pytest.raises(DatasetError, match=r"'val' is not one of train, validation, test"):
        list_parts(root, "praline", "val")


def test_a_split_without_parts_is_an_error(root: Path) -> None:
    """An empty or missing split is an error, not an empty list."""
    shutil.rmtree(root / "praline" / "validation" / "good" / "rgb")
    with pytest.raises(DatasetError, match=r"validation/good/rgb is missing"):
        list_parts(root, "praline", "validation")
    shutil.rmtree(root / "praline" / "test")
    with pytest.raises(DatasetError, match=r"praline/test is missing"):
        list_parts(root, "praline", "test")
    (root / "praline" / "test").mkdir()
    with pytest.raises(DatasetError, match=r"holds no parts"):
        list_parts(root, "praline", "test")


def test_real_captures_are_read(shared: Path) -> None:
    """Frames of a real sensor are read with their size, in metres, and with their missing points."""
    from cmfm_protocol.files.dataset import read_rgb, read_xyz

    rgb = read_rgb(shared / "real_frames" / "rgb" / "learn0.png")
    xyz = read_xyz(shared / "real_frames" / "xyz" / "learn0.tiff")
    assert rgb.shape == xyz.shape == (480, 640, 3)
    assert rgb.dtype == np.uint8
    assert xyz.dtype == np.float32
    missing = (xyz == 0).all(axis=-1).mean()
    assert 0.3 < missing < 0.5
    assert 0.3 < float(xyz[..., 2].max()) < 10.0


def test_a_data_set_as_others_write_it_is_read(tmp_path: Path) -> None:
    """A TIFF of one page a row, RGBA pictures, and no ground truth folder for good parts are read."""
    folder = tmp_path / "bagel" / "train" / "good"
    for kind in ("rgb", "xyz"):
        (folder / kind).mkdir(parents=True)
    points = np.random.default_rng(0).uniform(0.4, 0.6, size=(20, 30, 3)).astype(np.float32)
    tifffile.imwrite(folder / "xyz" / "000.tiff", points, photometric="minisblack")
    Image.new("RGBA", (30, 20), (10, 20, 30, 40)).save(folder / "rgb" / "000.png")
    rgb, xyz = read_part(list_parts(tmp_path, "bagel", "train")[0])
    np.testing.assert_array_equal(xyz, points)
    np.testing.assert_array_equal(rgb[0, 0], [10, 20, 30])


def test_a_plain_folder_of_nominal_parts(root: Path, tmp_path: Path) -> None:
    """The parts in rgb/ and xyz/ of any folder are nominal; their ids contain the folder's name."""
    lot = tmp_path / "lot 7"
    shutil.copytree(root / "praline" / "test" / "hole", lot)
    (part,) = list_nominal_folder(lot)
    assert (part.id, part.label, part.gt) == ("lot 7-000", 0, None)
    assert read_part(part)[0].shape == (160, 160, 3)


@pytest.mark.parametrize(
    ("damage", "named"),
    [
        (shutil.rmtree, "does not exist"),
        (lambda lot: shutil.rmtree(lot / "xyz"), "xyz is missing"),
        (lambda lot: (lot / "xyz" / "000.tiff").unlink(), "000.tiff is missing"),
        (lambda lot: [file.unlink() for file in lot.glob("*/000.*")], "holds no parts"),
    ],
)
def test_a_folder_without_parts_is_said_to_be_none(
    root: Path, damage: Callable[[Path], object], named: str
) -> None:
    """The error names what is missing."""
    lot = root / "praline" / "validation" / "good"
    for file in [*lot.glob("*/001.*"), *lot.glob("*/002.*")]:
        file.unlink()
    damage(lot)
    with pytest.raises(DatasetError, match=named):
        list_nominal_folder(lot)
