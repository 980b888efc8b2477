"""Layers of a part: a map lies over the frame where the worker computed it; small pictures; no NaN."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from tests.unit.made.archive import DEFECT, REGION, domed_part

from cmfm_protocol.pictures.colour_map import HEAT, colour_table
from cmfm_protocol.pictures.layers import depth_layer, heat_index, heat_layer, overview
from cmfm_protocol.pictures.map_in_frame import MapInFrame
from cmfm_protocol.pictures.panels import OUTLINE
from cmfm_worker.cfm.prepare import resize

SIZES = [(224, 224), (400, 400), (300, 517), (517, 300), (90, 160)]


def brightest(picture: np.ndarray) -> np.ndarray:
    """Row and column of a picture's centre of mass."""
    rows, cols = np.indices(picture.shape)
    return np.asarray([(rows * picture).sum(), (cols * picture).sum()] / picture.sum())


@pytest.mark.parametrize("size", SIZES)
def test_map_lies_where_the_worker_took_it_from(size: tuple[int, int]) -> None:
    """A spot of the picture that the worker resizes to the map's grid is drawn over the same place of the frame."""
    height, width = size
    rows, cols = np.indices(size)
    at = (0.7 * height, 0.3 * width)
    spot = np.exp(-((rows - at[0]) ** 2 + (cols - at[1]) ** 2) / (2 * (0.03 * max(size)) ** 2))
    rgb = np.repeat((spot * 255).astype(np.uint8)[None, ..., None], 3, axis=-1)
    on_map = resize(torch.from_numpy(rgb), torch.zeros(1, *size, 3))[0][0, 0].numpy()
    drawn = MapInFrame(*size).stretched(on_map)
    assert drawn.shape == size
    np.testing.assert_allclose(brightest(drawn), at, atol=0.01 * max(size))


@pytest.mark.parametrize("size", [(448, 448), (300, 672), *SIZES])
def test_frame_pixels_find_the_map_pixel_of_their_point(size: tuple[int, int]) -> None:
    """The point that the worker takes for a map pixel belongs to that map pixel again, or to its neighbour where the
    sizes are no multiples of one another.
    """
    rows, cols = np.indices(size)
    xyz = np.stack([rows / 1000, cols / 1000, np.ones(size)], axis=-1).astype(np.float32)
    _, points, valid = resize(torch.zeros(1, *size, 3, dtype=torch.uint8), torch.from_numpy(xyz)[None])
    at = np.nonzero(valid[0].numpy())
    taken = np.rint(points[0].numpy()[:2, at[0], at[1]] * 1000).astype(np.intp)
    found = np.array(MapInFrame(*size).pixels(taken[0], taken[1]))
    assert np.abs(found - at).max() <= (0 if max(size) % 224 == 0 else max(1, -(-224 // max(size))))


def test_boxes_of_regions_in_the_frame() -> None:
    """A region's box is given in the frame's pixels and ends at the frame, not in its padding."""
    assert MapInFrame(448, 448).box((10, 20, 30, 40)) == (40, 20, 80, 60)
    assert MapInFrame(224, 448).box((10, 0, 100, 224)) == (0, 0, 448, 88)
    assert MapInFrame(448, 224).box((0, 0, 10, 20)) == (0, 0, 0, 20)
    assert MapInFrame(448, 224).box((0, 60, 10, 100)) == (8, 0, 88, 20)


def test_map_of_another_size_is_refused() -> None:
    """A damaged archive's map cannot be laid over the frame somewhere."""
    with pytest.raises(ValueError, match="a map is 224×224"):
        MapInFrame(100, 100).stretched(np.zeros((10, 10)))


def test_heat_layer_is_dark_at_zero_and_pale_from_twice_the_level() -> None:
    """The layer has the frame's size and the colours of the heat scale; NaN is as dark as 0."""
    psi = np.zeros((224, 224), np.float32)
    psi[:112], psi[112:] = np.nan, 5.0
    layer = heat_layer(psi, 1.0, (120, 160))
    drawn = np.asarray(layer.convert("RGB"))
    assert drawn.shape == (120, 160, 3)
    assert drawn[0, 0].tolist() == colour_table(HEAT)[0].tolist()
    assert drawn[-1, -1].tolist() == colour_table(HEAT)[255].tolist()
    assert heat_index(np.array([-1, 0, 1, 2, 9, np.nan]), 1.0).tolist() == [0, 0, 128, 255, 255, 0]


def test_layers_of_a_large_frame_are_bounded() -> None:
    """Layers of a frame beyond the limit keep its shape and stay within the limit."""
    assert heat_layer(np.ones((224, 224)), 1.0, (2000, 4000)).size == (1280, 640)
    assert depth_layer(np.ones((60, 90, 3), np.float32), 45).size == (45, 30)


def test_depth_layer_shows_a_frame_without_any_point() -> None:
    """A frame in which nothing was measured is grey, not an error."""
    assert len(depth_layer(np.full((20, 30, 3), np.nan, np.float32)).getcolors() or ()) == 1


def test_overview_outlines_the_defect() -> None:
    """The small picture has the outline around the defect, and none with the same map below the threshold."""
    part = domed_part(1, size_px=(300, 400))
    assert part.frame is not None
    assert part.maps is not None
    psi, foreground = part.maps.psi, part.maps.foreground
    drawn = np.asarray(overview(part.frame.rgb, psi, 1.0, foreground, 200))
    assert drawn.shape == (150, 200, 3)
    rim = np.argwhere((drawn == OUTLINE).all(axis=-1))
    left, top, right, bottom = (edge / 2 for edge in MapInFrame(300, 400).box(REGION.bbox))
    assert len(rim)
    assert (rim >= [top - 3, left - 3]).all()
    assert (rim <= [bottom + 3, right + 3]).all()
    assert DEFECT[0] > 100 - 1  # the spot lies within the dome
    calm = np.asarray(overview(part.frame.rgb, psi, 50.0, foreground, 200))
    assert not (calm == OUTLINE).all(axis=-1).any()


def test_overview_without_maps_is_the_picture() -> None:
    """A FAULT without maps still has its picture."""
    rgb = np.full((50, 100, 3), 77, np.uint8)
    drawn = overview(rgb, None, None, None, 40)
    assert isinstance(drawn, Image.Image)
    assert np.unique(np.asarray(drawn)).tolist() == [77]
    assert drawn.size == (40, 20)
