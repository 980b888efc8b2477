"""Pictures of every format, and the codes of the formats."""

import numpy as np
import pytest
from numpy.typing import NDArray
from tests.unit.made.gentl_buffers import BY_NAME, buffer_of

from cmfm_cameras.errors import Refusal, RefusedCaptureError
from cmfm_cameras.gentl.colour import picture, picture_part
from cmfm_cameras.gentl.parts import Part
from cmfm_cameras.gentl.pixel_formats import FORMATS, PixelFormat, pixel_bits

dict_by_ints = pytest.importorskip("harvesters.util.pfnc", reason="needs the extra genicam").dict_by_ints

COLOUR = (200, 90, 30)
PICTURE = np.random.default_rng(5).integers(0, 256, (6, 10, 3), np.uint8)


@pytest.mark.parametrize("found", FORMATS.values(), ids=lambda found: found.name)
def test_codes_are_those_of_the_naming_convention(found: PixelFormat) -> None:
    """Name and occupied bits, against the table of another library."""
    assert dict_by_ints[found.code] == found.name
    bits = found.bits if not found.stored else 8 * np.dtype(found.stored).itemsize
    assert pixel_bits(found.code) == bits * found.channels


def shown(name: str, values: NDArray[np.generic], x_padding: int = 0) -> NDArray[np.uint8]:
    raw, (part,) = buffer_of((name, values), x_padding=x_padding)
    found = picture(raw, part)
    assert found.shape == (*values.shape[:2], 3)
    assert found.dtype == np.uint8
    assert found.flags.c_contiguous
    assert not np.shares_memory(found, np.frombuffer(raw, np.uint8))  # the buffer can be given back
    return found


@pytest.mark.parametrize("x_padding", [0, 3])
@pytest.mark.parametrize("name", [name for name, found in BY_NAME.items() if found.kind == "rgb"])
def test_colours_keep_their_order_and_their_highest_bits(name: str, x_padding: int) -> None:
    """RGB and BGR, with and without alpha, planar, and with more than 8 bits."""
    found = BY_NAME[name]
    values = PICTURE.astype(np.uint32) << (found.bits - 8)
    if found.bits > 8:
        values |= 3
    if found.order == "BGR":
        values = values[..., ::-1]
    if found.channels == 4:
        values = np.concatenate([values, np.full((*values.shape[:2], 1), 77)], axis=-1)
    np.testing.assert_array_equal(shown(name, values, x_padding), PICTURE)


@pytest.mark.parametrize("width", [10, 9, 7])
@pytest.mark.parametrize("name", [name for name, found in BY_NAME.items() if found.kind == "mono"])
def test_grey_becomes_three_equal_channels(name: str, width: int) -> None:
    """Also packed, in rows that end within a byte."""
    found = BY_NAME[name]
    grey = PICTURE[:, :width, 0]
    values = (grey.astype(np.uint32) << (found.bits - 8))[..., None]
    values |= (1 << (found.bits - 8)) - 1
    np.testing.assert_array_equal(shown(name, values, x_padding=2), np.repeat(grey[..., None], 3, axis=-1))


@pytest.mark.parametrize("name", [name for name, found in BY_NAME.items() if found.kind == "bayer"])
def test_mosaics_of_a_plain_colour_show_it(name: str) -> None:
    """The name says which colours the first two pixels of the first row have."""
    found = BY_NAME[name]
    first = found.order
    second = {"RG": "GB", "BG": "GR", "GR": "BG", "GB": "RG"}[first]
    channel = {"R": 0, "G": 1, "B": 2}
    tile = np.array([[COLOUR[channel[letter]] for letter in row] for row in (first, second)], np.uint32)
    mosaic = np.tile(tile, (4, 5)) << (found.bits - 8)
    assert (shown(name, mosaic[..., None]) == COLOUR).all()


def test_one_picture_is_found_among_the_components() -> None:
    """Confidence and points are none; two pictures are ambiguous."""
    one = np.ones((4, 4, 1))
    _, parts = buffer_of(("Confidence8", one), ("Mono8", one), ("Coord3D_C32f", one))
    assert picture_part(parts) is parts[1]
    with pytest.raises(RefusedCaptureError, match="2 pictures"):
        picture_part([parts[1], parts[1]])
    unknown = Part(0x81234567, 0, 1, 1, 1)
    with pytest.raises(
        RefusedCaptureError, match=r"0 pictures of a known format \(0x81234567, Coord3D_C32f\)"
    ) as none:
        picture_part([unknown, parts[2]])
    assert none.value.reason is Refusal.INCOMPLETE
