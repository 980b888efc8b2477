"""What each stage must at least do, counted: multiplications and additions, and bytes in and out.

Operations are those of the rewritten method (DESIGN § 6), not of the literal one, and only those of matrix
products except for the farthest points; bytes are every input read once, every output written once, weights
once a batch. A floor made of them can only be too low.
"""

from __future__ import annotations

from collections.abc import Mapping

from cmfm_worker.bench.mapping_work import mapping_of_pixels, mapping_of_tokens
from cmfm_worker.bench.sizes import F32, Sizes, Work
from cmfm_worker.cfm.grouping import CENTRES
from cmfm_worker.cfm.image_features import GRID, WIDTH
from cmfm_worker.cfm.mapping import MappingPair
from cmfm_worker.cfm.point_features import TAPS
from cmfm_worker.cfm.prepare import SIZE_PX

_POINT = 12
_TOKENS_2D, _PATCH = GRID**2, 3 * 8 * 8
_POINT_WIDTH, _MAP_PX = 384, SIZE_PX**2
_POINT_MACS = 3 * 128 + 128 * 256 + 128 * 512 + 512 * _POINT_WIDTH
_GROUP_MACS = 256 * 512


def paper_work(
    sizes: Sizes, blocks: int, group_size: int, mapping: MappingPair, dtype_bytes: int
) -> Mapping[str, Work]:
    """Stage → work, for the `paper` preset with weights of `dtype_bytes` a number."""
    points, groups = sizes.points, sizes.frames * CENTRES
    pairs = groups * group_size
    tap_width = _POINT_WIDTH * len(TAPS[blocks])
    pointnet_weights = dtype_bytes * (_POINT_MACS + _GROUP_MACS)
    transformer_weights = dtype_bytes * blocks * 12 * _POINT_WIDTH**2
    return {
        **_prepare(sizes),
        "image": _image(sizes, blocks, dtype_bytes),
        "fps": Work(9 * points * (CENTRES - 1), (points + groups) * _POINT),
        "knn": Work(0, (points + groups + pairs) * _POINT),
        "pointnet": Work(
            2 * (pairs * _POINT_MACS + groups * _GROUP_MACS),
            pairs * _POINT + groups * _POINT_WIDTH * F32 + pointnet_weights,
        ),
        "transformer": Work(
            sizes.frames * _transformer(CENTRES, _POINT_WIDTH, blocks),
            groups * (_POINT_WIDTH + tap_width) * F32 + transformer_weights,
        ),
        "sampling": Work(0, points * _POINT + sizes.entries * 2 * F32),
        "mapping": mapping_of_tokens(sizes, mapping, dtype_bytes),
        "aggregate": _aggregate(sizes),
    }


def classic_work(sizes: Sizes, mapping: MappingPair) -> Mapping[str, Work]:
    """Stage → work, for the `classic` preset: filters move bytes, the networks multiply."""
    pixels, width = sizes.pixels, mapping.d2 + mapping.d3
    prepared = sizes.frames * _MAP_PX * 6 * F32
    return {
        **_prepare(sizes),
        "features": Work(0, prepared + pixels * width * F32),
        "mapping": mapping_of_pixels(sizes, mapping),
        "aggregate": _aggregate(sizes),
    }


def _prepare(sizes: Sizes) -> dict[str, Work]:
    """Every pixel in, 224×224 out; then the points in, and out again as the part's own."""
    picture, points = (sizes.frames * _MAP_PX * 3 * F32,) * 2
    return {"resize": Work(0, sizes.input_bytes + picture + points), "background": Work(0, 2 * points)}


def _aggregate(sizes: Sizes) -> Work:
    """Two products with a matrix of box means; two maps in, three out."""
    return Work(4 * sizes.frames * _MAP_PX * SIZE_PX, 5 * sizes.frames * _MAP_PX * F32)


def _transformer(tokens: int, width: int, blocks: int) -> float:
    """Four projections and two layers of four widths, and attention among all tokens."""
    return blocks * (2 * tokens * 12 * width**2 + 4 * tokens**2 * width)


def _image(sizes: Sizes, blocks: int, dtype_bytes: int) -> Work:
    """All blocks but the last whole; of the last, keys and values everywhere, the rest where it is needed."""
    frames, tokens, needed = sizes.frames, _TOKENS_2D + 1, sizes.image_tokens
    whole = frames * (2 * _TOKENS_2D * _PATCH * WIDTH + _transformer(tokens, WIDTH, blocks - 1))
    last = frames * 2 * tokens * 2 * WIDTH**2 + needed * (2 * 10 * WIDTH**2 + 4 * tokens * WIDTH)
    weights = dtype_bytes * (blocks * 12 * WIDTH**2 + _PATCH * WIDTH)
    return Work(whole + last, frames * _MAP_PX * 3 * F32 + needed * WIDTH * F32 + weights)
