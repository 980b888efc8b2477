"""Reading PNG and TIFF files: every sound kind is read, every damaged file is a DatasetError."""

import logging
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from PIL import Image

from cmfm_protocol.files.dataset_error import DatasetError
from cmfm_protocol.files.picture_files import read_png, read_tiff

POINTS = np.random.default_rng(3).normal(0.5, 0.1, size=(24, 31, 3)).astype(np.float32)
PICTURE = np.random.default_rng(4).integers(0, 256, size=(24, 31, 3), dtype=np.uint8)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "LA", "P", "1"])
def test_pngs_of_every_8_bit_kind_become_rgb(tmp_path: Path, mode: str) -> None:
    """Colour, grey, palette and black-and-white pictures are read as the RGB that a viewer shows."""
    image = Image.fromarray(PICTURE).convert(mode)
    image.save(tmp_path / "a.png")
    read = read_png(tmp_path / "a.png")
    assert read.shape == (24, 31, 3)
    assert read.dtype == np.uint8
    np.testing.assert_array_equal(read, np.asarray(image.convert("RGB")))
    read[0, 0] = 0  # a reader's caller owns the picture


@pytest.mark.parametrize(
    "options",
    [
        {"photometric": "rgb"},
        {"photometric": "minisblack"},
        {"photometric": "rgb", "compression": "zlib"},
        {"photometric": "rgb", "compression": "lzw"},
        {"photometric": "rgb", "compression": "lzw", "predictor": True},
        {"photometric": "rgb", "compression": "zstd", "predictor": True},
        {"photometric": "rgb", "byteorder": ">"},
        {"photometric": "rgb", "tile": (16, 16)},
    ],
    ids=lambda options: "-".join(str(value) for value in options.values()),
)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_tiffs_of_every_float_kind_are_read_exactly(
    tmp_path: Path, options: dict[str, Any], dtype: type[np.floating[Any]]
) -> None:
    """Compression, predictor, tiling and byte order make no difference to the points."""
    tifffile.imwrite(tmp_path / "a.tiff", POINTS.astype(dtype), **options)
    read = read_tiff(tmp_path / "a.tiff")
    assert read.shape == (24, 31, 3)
    assert read.dtype == np.float32
    assert read.flags.c_contiguous
    np.testing.assert_array_equal(read, POINTS)


def test_a_tiff_of_three_planes_is_read(tmp_path: Path) -> None:
    """A file with three planes has the same points as one with three channels."""
    planes = np.moveaxis(POINTS, -1, 0)
    tifffile.imwrite(tmp_path / "a.tiff", planes, photometric="rgb", planarconfig="separate")
    np.testing.assert_array_equal(read_tiff(tmp_path / "a.tiff"), POINTS)


def test_points_that_were_not_measured_stay_as_they_are(tmp_path: Path) -> None:
    """NaN, infinity and zeros are kept; a double beyond float32 becomes infinite, which also counts as not measured."""
    points = POINTS.astype(np.float64)
    points[0, :4] = np.array([np.nan, np.inf, 0.0, 1e300])[:, None]
    tifffile.imwrite(tmp_path / "a.tiff", points, photometric="rgb")
    read = read_tiff(tmp_path / "a.tiff")
    assert np.isnan(read[0, 0]).all()
    assert np.isinf(read[0, [1, 3]]).all()
    assert (read[0, 2] == 0).all()


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (np.zeros((8, 9, 3), np.uint8), "holds uint8"),
        (np.zeros((8, 9, 3), np.uint16), "holds uint16"),
        (np.zeros((8, 9, 3), np.float16), "holds float16"),
        (np.zeros((8, 9), np.float32), r"shape \(8, 9\)"),
        (np.zeros((8, 9, 4), np.float32), r"shape \(8, 9, 4\)"),
        (np.zeros((2, 8, 9, 3), np.float32), r"shape \(2, 8, 9, 3\)"),
    ],
)
def test_a_tiff_that_holds_no_points_says_what_it_holds(
    tmp_path: Path, values: NDArray[Any], said: str
) -> None:
    """The error names the file, its content, and what was expected."""
    options = {"extrasamples": ["unspecified"]} if values.shape[-1] == 4 else {}
    colour = "rgb" if values.shape[-1] in (3, 4) else "minisblack"
    tifffile.imwrite(tmp_path / "a.tiff", values, photometric=colour, **options)
    with pytest.raises(DatasetError, match=rf"a\.tiff holds .*{said.split()[-1]}.*float32 or float64"):
        read_tiff(tmp_path / "a.tiff")


def test_a_png_that_is_none_says_what_it_is(tmp_path: Path) -> None:
    """A JPEG with the wrong suffix, an empty file, text, a folder and a missing file have errors of their own."""
    Image.fromarray(PICTURE).save(tmp_path / "jpeg.png", format="JPEG")
    (tmp_path / "empty.png").touch()
    (tmp_path / "text.png").write_text("not a picture at all, but long enough")
    (tmp_path / "folder.png").mkdir()
    expected = {
        "jpeg.png": "is a JPEG file",
        "empty.png": "is empty",
        "text.png": "does not start like a PNG",
        "folder.png": "is not a file",
        "gone.png": "is missing",
    }
    for name, said in expected.items():
        with pytest.raises(DatasetError, match=rf"{name} {said}"):
            read_png(tmp_path / name)


def test_a_16_bit_png_is_refused(tmp_path: Path) -> None:
    """A picture of 16 bits is refused instead of cut to 8 bits."""
    Image.fromarray(PICTURE[..., 0].astype(np.uint16) * 256).save(tmp_path / "a.png")
    with pytest.raises(DatasetError, match=r"16 bits a channel; expected an 8-bit PNG"):
        read_png(tmp_path / "a.png")


def test_a_png_that_claims_to_be_huge_is_refused_before_it_is_decoded(tmp_path: Path) -> None:
    """A header of 100000×100000 pixels is refused without allocation or warning."""
    Image.fromarray(PICTURE).save(tmp_path / "a.png")
    data = bytearray((tmp_path / "a.png").read_bytes())
    data[16:24] = (100_000).to_bytes(4, "big") * 2
    (tmp_path / "a.png").write_bytes(data)
    with pytest.raises(DatasetError, match=r"100000×100000 pixels; expected sides of 1 to 8192"):
        read_png(tmp_path / "a.png")


@pytest.mark.parametrize("options", [{}, {"compression": "zlib"}, {"compression": "lzw"}], ids=str)
@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.99])
def test_a_torn_tiff_is_never_read_as_if_it_were_whole(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, options: dict[str, Any], share: float
) -> None:
    """A file cut at any place is one DatasetError that names it, and the library logs nothing."""
    path = tmp_path / "a.tiff"
    tifffile.imwrite(path, POINTS, photometric="rgb", **options)
    data = path.read_bytes()
    path.write_bytes(data[: int(share * len(data))])
    with caplog.at_level(logging.DEBUG), pytest.raises(DatasetError, match=r"a\.tiff is torn or damaged"):
        read_tiff(path)
    assert not caplog.records


@pytest.mark.parametrize("share", [0.001, 0.02, 0.5, 0.95])
def test_a_torn_png_is_never_read_as_if_it_were_whole(tmp_path: Path, share: float) -> None:
    """A file cut at any place is one DatasetError that names it."""
    path = tmp_path / "a.png"
    Image.fromarray(PICTURE).save(path)
    data = path.read_bytes()
    path.write_bytes(data[: int(share * len(data))])
    with pytest.raises(DatasetError, match=r"a\.png (is torn|does not start)"):
        read_png(path)


def test_damage_at_random_is_a_dataset_error_or_a_picture(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A flipped byte anywhere causes no other exception, and no warning or log line."""
    rng = np.random.default_rng(11)
    tifffile.imwrite(tmp_path / "a.tiff", POINTS, photometric="rgb", compression="lzw")
    Image.fromarray(PICTURE).save(tmp_path / "a.png")
    refused = 0
    for name, read in (("a.tiff", read_tiff), ("a.png", read_png)):
        data = np.frombuffer((tmp_path / name).read_bytes(), dtype=np.uint8)
        for _ in range(120):
            damaged = data.copy()
            reach = len(data) if rng.random() < 0.5 else 200  # headers are where it hurts
            damaged[rng.integers(0, reach, size=4)] = rng.integers(0, 256, size=4)
            (tmp_path / name).write_bytes(damaged.tobytes())
            try:
                assert read(tmp_path / name).shape[-1] == 3
            except DatasetError:
                refused += 1
    assert refused > 40
    assert not caplog.records


@pytest.mark.parametrize("form", [None, "bigtiff"])
def test_circle_of_pages_is_refused(tmp_path: Path, form: str | None) -> None:
    """A TIFF whose last page links back to an earlier page is refused, not read for ever."""
    path = tmp_path / "circle.tiff"
    xyz = np.zeros((4, 4, 3), np.float32)
    with tifffile.TiffWriter(path, bigtiff=form == "bigtiff") as tiff:
        for _ in range(3):
            tiff.write(xyz, photometric="rgb", contiguous=False)
    with tifffile.TiffFile(path) as tiff:
        offsets = [page.offset for page in tiff.pages]
    data = bytearray(path.read_bytes())
    link, count = ("<Q", "<Q") if form else ("<I", "<H")
    entries = struct.unpack_from(count, data, offsets[-1])[0]
    end = offsets[-1] + struct.calcsize(count) + entries * (20 if form else 12)
    assert struct.unpack_from(link, data, end)[0] == 0  # the link that ends the chain
    with pytest.raises(DatasetError, match="holds 3 pictures"):
        read_tiff(path)
    struct.pack_into(link, data, end, offsets[1])
    path.write_bytes(data)
    with pytest.raises(DatasetError, match="circle"):
        read_tiff(path)
