"""The least work of a 2D extractor (`work.py` says what is counted)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from cmfm_worker.bench.sizes import F32, Sizes, Work
from cmfm_worker.cfm.image.encoder import ImageEncoder
from cmfm_worker.cfm.image.features import GRID, WIDTH
from cmfm_worker.cfm.prepare import SIZE_PX


@dataclass(frozen=True)
class Picture:
    """The shape of a 2D extractor, by default DINO's.

    `grid` tokens lie along a side and have `width` channels in the blocks. `prefix` tokens come before those of the
    patches. `neck` is the width of SAM's neck (0: none). `blocks` None means as many as Point-MAE has.
    """

    grid: int = GRID
    width: int = WIDTH
    prefix: int = 1
    neck: int = 0
    blocks: int | None = None

    @classmethod
    def of(cls, encoder: ImageEncoder) -> Self:
        """Return the shape of an encoder."""
        neck = 0 if encoder.width == encoder.inner_width else encoder.width
        return cls(encoder.grid, encoder.inner_width, encoder.prefix, neck, encoder.blocks)


def picture_work(sizes: Sizes, point_blocks: int, dtype_bytes: int, picture: Picture) -> Work:
    """Count all blocks whole, except the last one: there, queries and the layers after them only for needed tokens.

    A neck, two convolutions of 1×1 and 3×3, needs every token of the last block.
    """
    frames, patches, width = sizes.frames, picture.grid**2, picture.width
    tokens, needed, blocks = patches + picture.prefix, sizes.image_tokens, picture.blocks or point_blocks
    patch = 3 * (SIZE_PX // picture.grid) ** 2
    neck = width * picture.neck + 9 * picture.neck**2
    whole = frames * (2 * patches * (patch * width + neck) + transformer(tokens, width, blocks - 1))
    read = frames * patches if picture.neck else needed
    last = frames * 2 * tokens * 2 * width**2 + read * (2 * 10 * width**2 + 4 * tokens * width)
    weights = dtype_bytes * (blocks * 12 * width**2 + patch * width + neck)
    pixels, out = frames * SIZE_PX**2 * 3, needed * (picture.neck or width)
    return Work(whole + last, (pixels + out) * F32 + weights)


def transformer(tokens: int, width: int, blocks: int) -> float:
    """Count the four projections, the MLP's two layers, and the attention among all tokens."""
    return blocks * (2 * tokens * 12 * width**2 + 4 * tokens**2 * width)
