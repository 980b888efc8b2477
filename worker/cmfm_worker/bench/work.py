"""What each stage must at least do, counted: multiplications and additions, and bytes in and out.

Operations are those of the rewritten method (DESIGN § 6), not of the literal one, and only those of matrix
products except for the farthest points; bytes are every input read once, every output written once, weights
once a batch. A floor made of them can only be too low.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from cmfm_worker.cfm.grouping import CENTRES
from cmfm_worker.cfm.image_features import GRID, WIDTH
from cmfm_worker.cfm.mapping import MappingPair
from cmfm_worker.cfm.point_features import TAPS
from cmfm_worker.cfm.prepare import SIZE_PX

_F32, _POINT = 4, 12
_TOKENS_2D, _PATCH = GRID**2, 3 * 8 * 8
_POINT_WIDTH, _MAP_PX = 384, SIZE_PX**2
_POINT_MACS = 3 * 128 + 128 * 256 + 128 * 512 + 512 * _POINT_WIDTH
_GROUP_MACS = 256 * 512


@dataclass(frozen=True)
class Work:
    """Floating-point operations and bytes of one stage of one batch."""

    flop: float
    bytes: float

    def floor_s(self, flop_per_s: float, bytes_per_s: float) -> float:
        """The least time: nothing is faster than its operations or its bytes."""
        return max(self.flop / flop_per_s, self.bytes / bytes_per_s)


@dataclass(frozen=True)
class Sizes:
    """Of one batch: `frames`, host bytes `input_bytes`, foreground `points`, `pixels` of the mask, tokens of the
    picture that they need, `entries` of both sampling matrices.
    """

    frames: int
    input_bytes: int
    points: int
    pixels: int
    image_tokens: int
    entries: int


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
            pairs * _POINT + groups * _POINT_WIDTH * _F32 + pointnet_weights,
        ),
        "transformer": Work(
            sizes.frames * _transformer(CENTRES, _POINT_WIDTH, blocks),
            groups * (_POINT_WIDTH + tap_width) * _F32 + transformer_weights,
        ),
        "sampling": Work(0, points * _POINT + sizes.entries * 2 * _F32),
        "mapping": _mapping_at_tokens(sizes, mapping, dtype_bytes),
        "aggregate": _aggregate(sizes),
    }


def classic_work(sizes: Sizes, mapping: MappingPair) -> Mapping[str, Work]:
    """Stage → work, for the `classic` preset: filters move bytes, the networks multiply."""
    pixels, width = sizes.pixels, mapping.d2 + mapping.d3
    networks = (mapping.to_3d, mapping.to_2d)
    outputs = [(1 if n.spread is None else 2) * n.d_out for n in networks]
    macs = sum(
        n.d_in * n.hidden + n.hidden**2 + n.hidden * out for n, out in zip(networks, outputs, strict=True)
    )
    prepared = sizes.frames * _MAP_PX * 6 * _F32
    return {
        **_prepare(sizes),
        "features": Work(0, prepared + pixels * width * _F32),
        "mapping": Work(2 * pixels * macs, (pixels * width + 2 * pixels + macs) * _F32),
        "aggregate": _aggregate(sizes),
    }


def _prepare(sizes: Sizes) -> dict[str, Work]:
    """Every pixel in, 224×224 out; then the points in, and out again as the part's own."""
    picture, points = (sizes.frames * _MAP_PX * 3 * _F32,) * 2
    return {"resize": Work(0, sizes.input_bytes + picture + points), "background": Work(0, 2 * points)}


def _aggregate(sizes: Sizes) -> Work:
    """Two products with a matrix of box means; two maps in, three out."""
    return Work(4 * sizes.frames * _MAP_PX * SIZE_PX, 5 * sizes.frames * _MAP_PX * _F32)


def _transformer(tokens: int, width: int, blocks: int) -> float:
    """Four projections and two layers of four widths, and attention among all tokens."""
    return blocks * (2 * tokens * 12 * width**2 + 4 * tokens**2 * width)


def _image(sizes: Sizes, blocks: int, dtype_bytes: int) -> Work:
    """All blocks but the last whole; of the last, keys and values everywhere, the rest where it is needed."""
    frames, tokens, needed = sizes.frames, _TOKENS_2D + 1, sizes.image_tokens
    whole = frames * (2 * _TOKENS_2D * _PATCH * WIDTH + _transformer(tokens, WIDTH, blocks - 1))
    last = frames * 2 * tokens * 2 * WIDTH**2 + needed * (2 * 10 * WIDTH**2 + 4 * tokens * WIDTH)
    weights = dtype_bytes * (blocks * 12 * WIDTH**2 + _PATCH * WIDTH)
    return Work(whole + last, frames * _MAP_PX * 3 * _F32 + needed * WIDTH * _F32 + weights)


def _mapping_at_tokens(sizes: Sizes, mapping: MappingPair, dtype_bytes: int) -> Work:
    """First layers and rotations at the tokens, second layers and triangles at the pixels."""
    flop, numbers, pixels = 0.0, 0.0, sizes.pixels
    tokens = {mapping.d2: sizes.image_tokens, mapping.d3: sizes.frames * CENTRES}
    for network in (mapping.to_3d, mapping.to_2d):
        hidden, d_in, d_out = network.hidden, network.d_in, network.d_out
        rank = min(hidden, d_out)
        triangle = rank * hidden - rank * (rank - 1) // 2
        at_tokens = tokens[d_in] * d_in * hidden + tokens[d_out] * d_out**2
        flop += 2 * (at_tokens + pixels * (hidden**2 + triangle))
        numbers += d_in * hidden + d_out**2 + hidden**2 + triangle
    read = (sum(width * count for width, count in tokens.items()) + 2 * pixels) * _F32
    return Work(flop, read + sizes.entries * 2 * _F32 + numbers * dtype_bytes)
