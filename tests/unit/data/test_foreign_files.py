"""Files as other tools write them (names, notes in pictures, painted ground truths) are matched or refused by name."""

import io
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from PIL import Image, PngImagePlugin

from cmfm_protocol.files.dataset import (
    DatasetError,
    categories,
    check_ground_truths,
    has_split,
    in_unit,
    list_parts,
    read_ground_truth,
    read_part,
    read_part_ground_truth,
    read_rgb,
    read_xyz,
)
from cmfm_protocol.files.ground_truth import read_mask

PICTURE = np.random.default_rng(4).integers(0, 256, size=(24, 32, 3), dtype=np.uint8)
POINTS = np.random.default_rng(3).normal(0.5, 0.1, size=(24, 32, 3)).astype(np.float32)


@pytest.fixture
def root(synthetic_root: Path, tmp_path: Path) -> Path:
    """A copy of one category that a test may damage."""
    shutil.copytree(synthetic_root / "praline", tmp_path / "data" / "praline")
    return tmp_path / "data"


@pytest.fixture
def hole(root: Path) -> Path:
    """The folder of the parts with holes."""
    return root / "praline" / "test" / "hole"


def test_endings_match_in_any_case_for_all_kinds(root: Path, hole: Path) -> None:
    """A data set with `.PNG` and `.TIFF` in every folder, ground truths included, lists the same parts."""
    before = list_parts(root, "praline", "test")
    for path in [*hole.glob("*/*.png"), *hole.glob("*/*.tiff")]:
        path.rename(path.with_suffix(path.suffix.upper()))
    after = list_parts(root, "praline", "test")
    assert [part.id for part in after] == [part.id for part in before]
    part = next(part for part in after if part.defect == "hole")
    assert part.gt is not None
    assert part.gt.name == "000.PNG"
    assert read_part_ground_truth(part, 160, 160).any()


@pytest.mark.parametrize(
    ("kind", "name", "other"),
    [("xyz", "000.tiff", "000.tif"), ("rgb", "000.png", "000.PNG"), ("gt", "000.png", "000.Png")],
)
def test_two_files_of_one_name_are_refused(root: Path, hole: Path, kind: str, name: str, other: str) -> None:
    """Nothing says which of two files is the part's: both are named, and none is dropped."""
    shutil.copy(hole / kind / name, hole / kind / other)
    with pytest.raises(DatasetError, match=rf"{kind}/000\..* and 000\..* have one name"):
        list_parts(root, "praline", "test")


def to_nowhere(path: Path) -> None:
    path.symlink_to("/nowhere")


def to_itself(path: Path) -> None:
    path.symlink_to(path.name)


@pytest.mark.parametrize(
    ("put", "said"),
    [
        (to_nowhere, "is a link to /nowhere"),
        (to_itself, "is a link to 000"),
        (os.mkfifo, "is a pipe"),
        (os.mkdir, "is a folder"),
    ],
)
def test_a_part_does_not_vanish_with_its_files(
    root: Path, hole: Path, put: Callable[[Path], None], said: str
) -> None:
    """Both files of a part lie on a disk that is not there, or are no files at all: the first is named."""
    for name in ("rgb/000.png", "xyz/000.tiff"):
        (hole / name).unlink()
        put(hole / name)
    with pytest.raises(DatasetError, match=rf"rgb/000\.png {said}"):
        list_parts(root, "praline", "test")


@pytest.mark.parametrize("control", ["\n", "\t", "\x1b", "\x7f"])
def test_control_characters_in_names_are_refused(root: Path, hole: Path, control: str) -> None:
    """A line break would tear tables and logs, an escape sequence repaint the terminal: the name is shown escaped."""
    for kind, ending in (("rgb", "png"), ("xyz", "tiff"), ("gt", "png")):
        (hole / kind / f"000.{ending}").rename(hole / kind / f"0{control}0.{ending}")
    with pytest.raises(DatasetError, match="has a control character in its name") as refused:
        list_parts(root, "praline", "test")
    assert control not in str(refused.value)


def test_accents_match_in_both_of_unicodes_spellings(root: Path, hole: Path) -> None:
    """A file system that takes letters apart does not part a picture from its points."""
    (hole / "rgb" / "000.png").rename(hole / "rgb" / "t\u00fcr.png")
    (hole / "xyz" / "000.tiff").rename(hole / "xyz" / "tu\u0308r.tiff")
    (hole / "gt" / "000.png").rename(hole / "gt" / "tu\u0308r.png")
    part = next(part for part in list_parts(root, "praline", "test") if part.defect == "hole")
    assert read_part_ground_truth(part, 160, 160).any()


def test_a_category_may_end_in_a_slash(root: Path) -> None:
    """Shells complete a folder's name with a slash; parts and their ids are the same."""
    assert list_parts(root, "praline/", "test") == list_parts(root, "praline", "test")
    assert list_parts(root, "./praline", "test") == list_parts(root, "praline", "test")


def test_a_picture_of_another_kind_is_named(root: Path, hole: Path) -> None:
    """The message names the JPEG that lies there in place of the PNG."""
    (hole / "rgb" / "000.png").rename(hole / "rgb" / "000.jpg")
    with pytest.raises(DatasetError, match=r"rgb/000\.png is missing \(000\.jpg is there\)"):
        list_parts(root, "praline", "test")


@pytest.mark.parametrize("name", ["Good", "GOOD", "good ", "ok", "OK", "Nominal"])
def test_good_parts_under_another_name_are_not_counted_as_defective(root: Path, name: str) -> None:
    """A folder that means `good` is refused by its name."""
    test = root / "praline" / "test"
    (test / "good").rename(test / name)
    with pytest.raises(DatasetError, match=f"test/{name}: its parts would count as defective.*'good'"):
        list_parts(root, "praline", "test")


@pytest.mark.parametrize(
    ("folder", "named", "said"),
    [
        ("train/good", "train/Good", "train/Good must be named 'good'"),
        ("train", "Train", "Train must be named 'train'"),
        ("train/good/rgb", "train/good/RGB", "good/RGB must be named 'rgb'"),
        ("train/good/xyz", "train/good/xyz ", "good/xyz  must be named 'xyz'"),
    ],
)
def test_folders_in_another_case_are_named(root: Path, folder: str, named: str, said: str) -> None:
    """The message says which folder to rename."""
    (root / "praline" / folder).rename(root / "praline" / named)
    with pytest.raises(DatasetError, match=said):
        list_parts(root, "praline", "train")


@pytest.mark.parametrize("named", ["Validation", "validation/Good"])
def test_validation_split_under_another_name_is_not_overlooked(root: Path, named: str) -> None:
    """Otherwise training parts would be held out in its place."""
    folder = "validation" if "/" not in named else "validation/good"
    (root / "praline" / folder).rename(root / "praline" / named)
    with pytest.raises(DatasetError, match=f"{named} must be named"):
        has_split(root, "praline", "validation")


@pytest.mark.parametrize("where", ["", "praline/test"])
def test_names_that_are_not_utf8_are_refused(root: Path, where: str) -> None:
    """Such a name cannot be written into a recipe or a table; it is shown with its bytes escaped."""
    folder = Path(os.fsdecode(os.fsencode(root / where) + b"/k\xe4se"))
    shutil.copytree(root / "praline" / "test" / "hole", folder)
    with pytest.raises(DatasetError, match=r"k\\xe4se.* is not named in UTF-8"):
        list_parts(root, "praline", "test") if where else categories(root)


@pytest.mark.parametrize("orientation", [3, 6, 8, 2])
def test_a_turned_png_is_refused(tmp_path: Path, orientation: int) -> None:
    """The pixels of a picture that its EXIF turns would not lie on its points."""
    exif = Image.Exif()
    exif[274] = orientation
    Image.fromarray(PICTURE).save(tmp_path / "a.png", exif=exif)
    with pytest.raises(DatasetError, match=rf"a\.png says that it is turned.*{orientation}"):
        read_rgb(tmp_path / "a.png")
    Image.fromarray(PICTURE[..., 0] // 255 * 255).save(tmp_path / "gt.png", exif=exif)
    with pytest.raises(DatasetError, match=r"gt\.png says that it is turned"):
        read_ground_truth(tmp_path / "gt.png")


def test_an_upright_png_is_read(tmp_path: Path) -> None:
    """EXIF that says "upright", or says nothing about it, is no hindrance."""
    exif = Image.Exif()
    exif[274] = 1
    exif[271] = "camera maker"
    Image.fromarray(PICTURE).save(tmp_path / "a.png", exif=exif)
    np.testing.assert_array_equal(read_rgb(tmp_path / "a.png"), PICTURE)


def _with_chunk(path: Path, name: bytes, data: bytes) -> None:
    """Write PICTURE with one more chunk right behind the header."""
    whole = io.BytesIO()
    Image.fromarray(PICTURE).save(whole, "PNG")
    chunk = io.BytesIO()
    PngImagePlugin.putchunk(chunk, name, data)
    content = whole.getvalue()
    path.write_bytes(content[:33] + chunk.getvalue() + content[33:])


@pytest.mark.parametrize("gamma", [100_000, 55_556])
def test_a_png_with_another_gamma_is_refused(tmp_path: Path, gamma: int) -> None:
    """A linear picture, and one for an old Mac, are not sRGB."""
    _with_chunk(tmp_path / "a.png", b"gAMA", gamma.to_bytes(4, "big"))
    with pytest.raises(DatasetError, match=r"a\.png has a gamma of .* \(gAMA\)"):
        read_rgb(tmp_path / "a.png")


@pytest.mark.parametrize(("chunk", "data"), [(b"gAMA", (45_455).to_bytes(4, "big")), (b"sRGB", b"\0")])
def test_a_png_that_says_srgb_is_read(tmp_path: Path, chunk: bytes, data: bytes) -> None:
    """The gamma of sRGB, and the note that says sRGB, change nothing."""
    _with_chunk(tmp_path / "a.png", chunk, data)
    np.testing.assert_array_equal(read_rgb(tmp_path / "a.png"), PICTURE)


def test_a_png_with_other_primaries_is_refused(tmp_path: Path) -> None:
    """Those of Adobe RGB: a wider green."""
    numbers = (31_270, 32_900, 64_000, 33_000, 21_000, 71_000, 15_000, 6_000)
    _with_chunk(tmp_path / "a.png", b"cHRM", b"".join(n.to_bytes(4, "big") for n in numbers))
    with pytest.raises(DatasetError, match=r"\(cHRM\)"):
        read_rgb(tmp_path / "a.png")


def test_a_colour_code_is_refused_unless_it_is_srgb(tmp_path: Path) -> None:
    """A wide-gamut camera may name its colours by a code; that of sRGB changes nothing."""
    _with_chunk(tmp_path / "a.png", b"cICP", bytes([1, 13, 0, 1]))
    np.testing.assert_array_equal(read_rgb(tmp_path / "a.png"), PICTURE)
    _with_chunk(tmp_path / "a.png", b"cICP", bytes([9, 16, 0, 1]))
    with pytest.raises(DatasetError, match=r"\(cICP\)"):
        read_rgb(tmp_path / "a.png")


def test_a_colour_profile_is_refused_unless_it_is_srgb(tmp_path: Path) -> None:
    """A profile that says sRGB changes nothing; another one does."""
    from PIL import ImageCms

    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    lab = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    Image.fromarray(PICTURE).save(tmp_path / "a.png", icc_profile=srgb)
    np.testing.assert_array_equal(read_rgb(tmp_path / "a.png"), PICTURE)
    for profile in (lab, b"not a profile"):
        Image.fromarray(PICTURE).save(tmp_path / "a.png", icc_profile=profile)
        with pytest.raises(DatasetError, match=r"colour profile .* \(iCCP\)"):
            read_rgb(tmp_path / "a.png")


def test_an_animated_png_is_refused(tmp_path: Path) -> None:
    """Nothing says which of its pictures is the part's."""
    first, second = (Image.fromarray(PICTURE + shift) for shift in (0, 1))
    first.save(tmp_path / "a.png", save_all=True, append_images=[second])
    with pytest.raises(DatasetError, match=r"a\.png is animated and holds 2 pictures"):
        read_rgb(tmp_path / "a.png")


@pytest.mark.parametrize("orientation", [3, 6])
def test_a_turned_tiff_is_refused(tmp_path: Path, orientation: int) -> None:
    """TIFF's tag 274 turns or mirrors the points for a viewer."""
    tag = (274, 3, 1, orientation, True)
    tifffile.imwrite(tmp_path / "a.tiff", POINTS, photometric="rgb", extratags=[tag])
    with pytest.raises(DatasetError, match=rf"a\.tiff says that it is turned.*tag 274 is {orientation}"):
        read_xyz(tmp_path / "a.tiff")
    tifffile.imwrite(tmp_path / "a.tiff", POINTS, photometric="rgb", extratags=[(274, 3, 1, 1, True)])
    np.testing.assert_array_equal(read_xyz(tmp_path / "a.tiff"), POINTS)


def test_a_tiff_with_a_second_page_is_refused(tmp_path: Path) -> None:
    """A preview or a confidence map behind the points: nothing says which page is meant."""
    with tifffile.TiffWriter(tmp_path / "a.tiff") as tiff:
        tiff.write(POINTS, photometric="rgb")
        tiff.write(POINTS[..., 0])
    with pytest.raises(DatasetError, match=r"a\.tiff holds 2 pictures"):
        read_xyz(tmp_path / "a.tiff")


def _square() -> NDArray[np.uint8]:
    mark = np.zeros((160, 160), dtype=np.uint8)
    mark[40:60, 50:80] = 255
    return mark


def _alpha(path: Path) -> None:
    Image.fromarray(np.dstack([np.zeros((160, 160, 3), np.uint8), _square()])).save(path)


def _inverted(path: Path) -> None:
    Image.fromarray(255 - _square()).save(path)


def _white(path: Path) -> None:
    Image.new("L", (160, 160), 255).save(path)


def _soft(path: Path) -> None:
    rows, columns = np.mgrid[:160, :160]
    distance = np.hypot(rows - 80, columns - 80)
    Image.fromarray((255 * np.clip((30 - distance) / 20, 0, 1)).astype(np.uint8)).save(path)


def _jpeg(path: Path) -> None:
    squeezed = io.BytesIO()
    Image.fromarray(_square()).save(squeezed, "JPEG", quality=70)
    Image.open(squeezed).save(path)


def _resized(path: Path) -> None:
    Image.fromarray(_square()).resize((80, 80), Image.Resampling.BICUBIC).resize((160, 160)).save(path)


@pytest.mark.parametrize(
    ("paint", "said"),
    [
        (_alpha, "transparent in places: are the marks in its alpha channel"),
        (_inverted, "is it inverted"),
        (_white, "marks 100% of the picture"),
        (_soft, "soft brush"),
        (_jpeg, "JPEG"),
        (_resized, "grey levels"),
    ],
)
def test_a_ground_truth_painted_in_another_way_is_refused(
    root: Path, hole: Path, paint: Callable[[Path], None], said: str
) -> None:
    """It is refused by name before any work, and again when it is read."""
    paint(hole / "gt" / "000.png")
    parts = list_parts(root, "praline", "test")
    with pytest.raises(DatasetError, match=rf"hole/gt/000\.png .*{said}"):
        check_ground_truths(parts)
    with pytest.raises(DatasetError, match=said):
        read_part_ground_truth(next(part for part in parts if part.defect == "hole"), 160, 160)


@pytest.mark.parametrize(
    "levels", [(255,), (1,), (1, 2, 3), (250, 251, 255)], ids=lambda levels: "-".join(map(str, levels))
)
def test_levels_of_several_kinds_are_one_ground_truth(tmp_path: Path, levels: tuple[int, ...]) -> None:
    """Some data sets give each kind or piece of a defect a number of its own."""
    mark = np.zeros((60, 60), dtype=np.uint8)
    for i, level in enumerate(levels):
        mark[10 * i : 10 * i + 5, :20] = level
    Image.fromarray(mark).save(tmp_path / "gt.png")
    np.testing.assert_array_equal(read_ground_truth(tmp_path / "gt.png"), mark > 0)


def test_rendered_edges_are_no_soft_brush(tmp_path: Path) -> None:
    """Eyecandies' masks are rendered: grey pixels along an edge belong to the defect."""
    _soft(tmp_path / "mask.png")
    grey = np.asarray(Image.open(tmp_path / "mask.png"))
    np.testing.assert_array_equal(read_mask(tmp_path / "mask.png", painted=False), grey > 0)


def test_an_opaque_alpha_channel_is_no_hindrance(tmp_path: Path) -> None:
    """Some tools write an alpha channel that hides nothing."""
    mark = _square()
    Image.fromarray(np.dstack([mark, mark, mark, np.full_like(mark, 255)])).save(tmp_path / "gt.png")
    np.testing.assert_array_equal(read_ground_truth(tmp_path / "gt.png"), mark > 0)


def test_a_black_ground_truth_of_a_defective_part_is_remarked(root: Path, hole: Path) -> None:
    """The part counts as defective; a remark says that its pixels are not marked."""
    Image.new("L", (160, 160)).save(hole / "gt" / "000.png")
    remarks = check_ground_truths(list_parts(root, "praline", "test"))
    assert len(remarks) == 1
    assert "hole/gt/000.png is all black" in remarks[0]


def test_a_mark_on_a_good_part_is_refused(root: Path) -> None:
    """A part cannot be good and have a defect."""
    good = root / "praline" / "test" / "good" / "gt"
    good.mkdir(exist_ok=True)
    Image.fromarray(_square()).save(good / "000.png")
    with pytest.raises(DatasetError, match=r"good/gt/000\.png marks a defect, but its part is a good one"):
        check_ground_truths(list_parts(root, "praline", "test"))


def test_points_in_another_unit_are_converted(root: Path) -> None:
    """The same part in millimetres, read with its unit, has the same points in metres; without it, it is refused."""
    part = list_parts(root, "praline", "train")[0]
    _, metres = read_part(part)
    tifffile.imwrite(part.xyz, metres * np.float32(1000), photometric="rgb")
    with pytest.raises(DatasetError, match=r"000\.tiff: median distance .* m: millimetres\?"):
        read_part(part)
    (in_mm,) = in_unit([part], "mm")
    np.testing.assert_allclose(read_part(in_mm)[1], metres, rtol=1e-6)


def test_byte_order_mark_is_skipped(tmp_path: Path) -> None:
    """Editors of Windows put one before the first line: of a settings file, a recipe, a YAML file and a key."""
    from cmfm_protocol.files.key_files import read_public
    from cmfm_protocol.files.yaml_files import read_yaml
    from cmfm_worker.errors import InputError
    from cmfm_worker.recipes.recipe import read_recipe_file
    from cmfm_worker.settings.load import load_settings

    mark = b"\xef\xbb\xbf"
    (tmp_path / "a.yaml").write_bytes(mark + b"normalization: {min: 1}")
    assert read_yaml(tmp_path / "a.yaml") == {"normalization": {"min": 1}}
    (tmp_path / "a.key").write_bytes(mark + b'public-key = "' + b"a" * 40 + b'"')
    assert read_public(tmp_path / "a.key") == b"a" * 40
    (tmp_path / "recipe.toml").write_bytes(mark + b"format_version = 1")
    with pytest.raises(InputError, match="name"):
        read_recipe_file(tmp_path)
    (tmp_path / "line.toml").write_bytes(mark + b"[line]\nnaem = 1")
    with pytest.raises(InputError, match="naem"):
        load_settings(tmp_path / "line.toml")


def test_parts_are_still_read(root: Path) -> None:
    """The data set that `cmfm-sim make` writes has none of these faults."""
    parts = list_parts(root, "praline", "test")
    assert check_ground_truths(parts) == []
    read_part(parts[0])
