"""The least work of each stage: multiplications and additions, and bytes in and out.

Operations are those of the rewritten method (docs/method.md, exact speed), not of the literal one. Only matrix
products are counted, and the farthest points. Every input is read once, every output written once, and weights are
read once a batch. A floor from these numbers can only be too low.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from cmfm_worker.bench.mapping_work import mapping_of_pixels, mapping_of_tokens
from cmfm_worker.bench.picture_work import Picture, picture_work, transformer
from cmfm_worker.bench.sizes import F32, Sizes, Work
from cmfm_worker.cfm.mapping.pair import MappingPair
from cmfm_worker.cfm.points.features import TAPS
from cmfm_worker.cfm.points.grouping import CENTRES
from cmfm_worker.cfm.prepare import SIZE_PX

LITE_FLOP: Final = 0.993e9
LITE_WEIGHTS: Final = 700_704
"""EfficientNet-Lite0 up to 1/16 of an input of 320×320: operations of its convolutions as published, and weights."""

_POINT = 12
_POINT_WIDTH, _MAP_PX = 384, SIZE_PX**2
_POINT_MACS = 3 * 128 + 128 * 256 + 128 * 512 + 512 * _POINT_WIDTH
_GROUP_MACS = 256 * 512


def paper_work(
    sizes: Sizes,
    blocks: int,
    group_size: int,
    mapping: MappingPair,
    dtype_bytes: int,
    picture: Picture = Picture(),
) -> Mapping[str, Work]:
    """Return stage → work for the `paper` preset, with weights of `dtype_bytes` a number."""
    points, groups = sizes.points, sizes.frames * CENTRES
    pairs = groups * group_size
    tap_width = _POINT_WIDTH * len(TAPS[blocks])
    pointnet_weights = dtype_bytes * (_POINT_MACS + _GROUP_MACS)
    transformer_weights = dtype_bytes * blocks * 12 * _POINT_WIDTH**2
    return {
        **_prepare(sizes),
        "image": picture_work(sizes, blocks, dtype_bytes, picture),
        "fps": Work(9 * points * (CENTRES - 1), (points + groups) * _POINT),
        "knn": Work(0, (points + groups + pairs) * _POINT),
        "pointnet": Work(
            2 * (pairs * _POINT_MACS + groups * _GROUP_MACS),
            pairs * _POINT + groups * _POINT_WIDTH * F32 + pointnet_weights,
        ),
        "transformer": Work(
            sizes.frames * transformer(CENTRES, _POINT_WIDTH, blocks),
            groups * (_POINT_WIDTH + tap_width) * F32 + transformer_weights,
        ),
        "sampling": Work(0, points * _POINT + sizes.entries * 2 * F32),
        "mapping": mapping_of_tokens(sizes, mapping, dtype_bytes),
        "aggregate": _aggregate(sizes),
    }


def classic_work(sizes: Sizes, mapping: MappingPair) -> Mapping[str, Work]:
    """Return stage → work for the `classic` preset: filters move bytes, the networks multiply."""
    pixels, width = sizes.pixels, mapping.d2 + mapping.d3
    prepared = sizes.frames * _MAP_PX * 6 * F32
    return {
        **_prepare(sizes),
        "features": Work(0, prepared + pixels * width * F32),
        "mapping": mapping_of_pixels(sizes, mapping),
        "aggregate": _aggregate(sizes),
    }


def lite_work(sizes: Sizes, mapping: MappingPair) -> Mapping[str, Work]:
    """Return stage → work for the `lite` preset: that of `classic` and the network over the square of every frame."""
    work = classic_work(sizes, mapping)
    features = Work(sizes.frames * LITE_FLOP, work["features"].bytes + LITE_WEIGHTS * F32)
    return {**work, "features": features}


def _prepare(sizes: Sizes) -> dict[str, Work]:
    """Count every pixel in and 224×224 out; then the points in, and the part's points out."""
    picture, points = (sizes.frames * _MAP_PX * 3 * F32,) * 2
    return {"resize": Work(0, sizes.input_bytes + picture + points), "background": Work(0, 2 * points)}


def _aggregate(sizes: Sizes) -> Work:
    """Count two products with the matrix of the Gaussian, two maps in, three maps out."""
    return Work(4 * sizes.frames * _MAP_PX * SIZE_PX, 5 * sizes.frames * _MAP_PX * F32)
