"""Panels: a part's picture, depth and anomaly maps side by side under its verdict."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from cmfm_protocol.pictures.colour_map import DEPTH, HEAT, NO_VALUE, colour_table, colourise
from cmfm_protocol.pictures.lettering import Rgb, shortened, width, write
from cmfm_protocol.pictures.overlay import (
    anomaly_level,
    as_scored,
    depth_picture,
    heat_over_rgb,
    modality_scale_end,
    outline,
)
from cmfm_protocol.pictures.region_floor import region_floor
from cmfm_protocol.wire.anomaly_map import AnomalyMaps

__all__ = [
    "colourise",
    "contact_sheet",
    "depth_picture",
    "heat_over_rgb",
    "maps_panel",
    "outline",
    "outlined",
    "part_panel",
]

OUTLINE: Rgb = (255, 40, 200)
"""Magenta: no product, tray or heat colour comes near it."""
VERDICT_COLOURS: dict[str, Rgb] = {
    "PASS": (24, 138, 66),
    "FAIL": (200, 32, 40),
    "UNDECIDED": (190, 116, 0),
    "FAULT": (112, 62, 160),
}
_INK, _QUIET, _PAPER, _LINE = (28, 30, 36), (108, 112, 122), (247, 247, 249), (206, 208, 214)
_MARGIN, _HEADER, _CAPTION, _FOOT = 16, 92, 30, 40  # px


@dataclass(frozen=True, slots=True)
class _Tile:
    """One square of a panel: its picture, its caption, its colour scale and the labels of the scale's ends.

    A tile without a scale may have a line of text at its foot.
    """

    picture: Image.Image
    caption: str
    scale: tuple[str, ...] | None = None
    ends: tuple[str, str] = ("", "")
    foot: str = ""


def part_panel(
    rgb: NDArray[np.uint8],
    depth: NDArray[Any],
    psi_2d: NDArray[Any],
    psi_3d: NDArray[Any],
    psi: NDArray[Any],
    *,
    threshold: float | None,
    title: str,
    verdict: str,
    score: float | None,
    foreground: NDArray[np.bool_] | None = None,
    reason: str = "",
    tile_px: int = 300,
) -> Image.Image:
    """Draw one part: verdict, score against threshold, and five tiles.

    The tiles are the picture with its defect regions outlined (`region_floor`), depth, Ψ_2D (colour that the shape does
    not predict), Ψ_3D (shape that the colour does not predict), and Ψ over the picture. `rgb` is (H, W, 3) uint8, all
    else (H, W): `depth` metres, 0 for a pixel that was not measured; `psi` in the unit of `threshold` and `score`. A
    part that was not inspected has `score` None. Raises ValueError for arrays of different size.
    """
    shape = rgb.shape[:2]
    for name, values in (("depth", depth), ("psi_2d", psi_2d), ("psi_3d", psi_3d), ("psi", psi)):
        if values.shape != shape:
            raise ValueError(f"{name} {values.shape} is not of the size of the picture {shape}")
    tiles = [
        *_seen_tiles(rgb, depth, psi, threshold, tile_px),
        *_modality_tiles(psi_2d, psi_3d, psi, threshold, tile_px),
        _anomaly_tile(rgb, psi, threshold, foreground, tile_px),
    ]
    side = tile_px + _MARGIN
    size = (_MARGIN + side * len(tiles), _HEADER + _CAPTION + tile_px + _FOOT)
    panel = Image.new("RGB", size, _PAPER)
    draw = ImageDraw.Draw(panel)
    _draw_header(draw, panel.width, (verdict, title, reason), score, threshold)
    for i, tile in enumerate(tiles):
        _draw_tile(panel, draw, (_MARGIN + i * side, _HEADER), tile)
    return panel


def maps_panel(maps: AnomalyMaps, reason: str) -> Image.Image:
    """Draw the part of a map message as `part_panel` does; `reason` is its caption."""
    return part_panel(
        maps.rgb,
        maps.depth,
        maps.psi_2d,
        maps.psi_3d,
        as_scored(maps.psi, maps.score),
        threshold=maps.threshold,
        title=f"{maps.part_id}   recipe {maps.recipe}",
        verdict=str(maps.verdict),
        score=maps.score,
        foreground=maps.foreground,
        reason=reason,
    )


def outlined(
    rgb: NDArray[np.uint8], values: NDArray[Any], level: float, side_px: int, thickness_px: int = 2
) -> Image.Image:
    """Draw the picture (H, W, 3) in a square of `side_px`; outline the pixels whose `values` (H, W) reach `level`."""
    image = _fitted(rgb, side_px)
    # Enlarged before it is cut, so that the outline is smooth.
    field = Image.fromarray(np.nan_to_num(np.asarray(values, dtype=np.float32)))
    above = np.asarray(field.resize(image.size, Image.Resampling.BILINEAR)) >= level
    drawn = np.array(image)
    drawn[outline(above, thickness_px)] = OUTLINE
    return _squared(Image.fromarray(drawn), side_px)


def contact_sheet(rows: Sequence[Sequence[tuple[Image.Image, str]]], title: str) -> Image.Image:
    """Draw rows of pictures of one size, each with a caption below it, under a title."""
    side_w, side_h = rows[0][0][0].size
    gap, foot, head = 10, 26, 54
    columns = max(len(row) for row in rows)
    size = (gap + columns * (side_w + gap), head + len(rows) * (side_h + foot + gap))
    sheet = Image.new("RGB", size, _PAPER)
    draw = ImageDraw.Draw(sheet)
    write(draw, (gap, 10), shortened(title, 24, size[0] - 2 * gap), 24, _INK)
    for i, row in enumerate(rows):
        for j, (picture, caption) in enumerate(row):
            x, y = gap + j * (side_w + gap), head + i * (side_h + foot + gap)
            sheet.paste(picture, (x, y))
            write(draw, (x, y + side_h), shortened(caption, 16, side_w), 16, _QUIET)
    return sheet


def _seen_tiles(
    rgb: NDArray[np.uint8], depth: NDArray[Any], psi: NDArray[Any], threshold: float | None, tile_px: int
) -> list[_Tile]:
    relief, near_m, far_m = depth_picture(depth)
    ends = (f"far {far_m:.3f} m", f"near {near_m:.3f} m") if far_m > 0 else ("", "")
    return [
        _Tile(
            outlined(rgb, *_defects(psi, threshold), tile_px),
            "Picture",
            foot="magenta outline: defect region",
        ),
        _Tile(_squared(_fitted(relief, tile_px), tile_px), "Depth", DEPTH, ends),
    ]


def _modality_tiles(
    psi_2d: NDArray[Any], psi_3d: NDArray[Any], psi: NDArray[Any], threshold: float | None, tile_px: int
) -> list[_Tile]:
    tiles = []
    for caption, values in (("Colour unexpected: Ψ 2D", psi_2d), ("Shape unexpected: Ψ 3D", psi_3d)):
        high = modality_scale_end(values, psi, threshold)
        picture = _squared(_fitted(colourise(values, 0.0, high), tile_px), tile_px)
        tiles.append(_Tile(picture, caption, HEAT, ("0", _number(high))))
    return tiles


def _anomaly_tile(
    rgb: NDArray[np.uint8],
    psi: NDArray[Any],
    threshold: float | None,
    foreground: NDArray[np.bool_] | None,
    tile_px: int,
) -> _Tile:
    level = anomaly_level(psi, threshold)
    heated = heat_over_rgb(rgb, psi, threshold, foreground)
    picture = outlined(heated, *_defects(psi, threshold), tile_px)
    ends = ("0", f"{_number(2 * level)}" + (" = twice the threshold" if threshold is not None else ""))
    return _Tile(picture, "Both: Ψ over the picture", HEAT, ends)


def _defects(psi: NDArray[Any], threshold: float | None) -> tuple[NDArray[np.float64], float]:
    """A field (H, W) to outline and the value that it reaches in defects; without a threshold it reaches it nowhere."""
    if threshold is None:
        return np.zeros(psi.shape), 1.0
    known = np.nan_to_num(np.asarray(psi, dtype=np.float64))
    return known / region_floor(known, anomaly_level(psi, threshold)), 1.0


def _draw_tile(panel: Image.Image, draw: ImageDraw.ImageDraw, place: tuple[int, int], tile: _Tile) -> None:
    x, y = place
    side = tile.picture.width
    write(draw, (x, y), shortened(tile.caption, 19, side), 19, _INK)
    panel.paste(tile.picture, (x, y + _CAPTION))
    if tile.scale is None:
        write(draw, (x, y + _CAPTION + side + 6), shortened(tile.foot, 15, side), 15, _QUIET)
        return
    bar = Image.fromarray(colour_table(tile.scale)[None, :, :]).resize((side, 8))
    foot = y + _CAPTION + side + 4
    panel.paste(bar, (x, foot))
    write(draw, (x, foot + 8), tile.ends[0], 15, _QUIET)
    write(draw, (x + side - width(tile.ends[1], 15), foot + 8), tile.ends[1], 15, _QUIET)


def _draw_header(
    draw: ImageDraw.ImageDraw,
    panel_px: int,
    texts: tuple[str, str, str],
    score: float | None,
    threshold: float | None,
) -> None:
    verdict, title, reason = texts
    badge = 30 + width(verdict, 34)
    fill = VERDICT_COLOURS.get(verdict, _QUIET)
    draw.rounded_rectangle([_MARGIN, 14, _MARGIN + badge, 74], radius=8, fill=fill)
    write(draw, (_MARGIN + 15, 18), verdict, 34, (255, 255, 255))
    gauge_px = min(460, panel_px // 3)
    room = panel_px - badge - gauge_px - 5 * _MARGIN
    write(draw, (_MARGIN * 2 + badge, 12), shortened(title, 26, room), 26, _INK)
    write(draw, (_MARGIN * 2 + badge, 46), shortened(reason, 18, room), 18, _QUIET)
    _draw_gauge(draw, (panel_px - gauge_px - _MARGIN, 16), gauge_px, score, threshold, fill)


def _draw_gauge(
    draw: ImageDraw.ImageDraw,
    place: tuple[int, int],
    gauge_px: int,
    score: float | None,
    threshold: float | None,
    fill: Rgb,
) -> None:
    """Draw the score as a bar that reaches its middle at the threshold, and says if it would be longer."""
    x, y = place
    if score is None or not np.isfinite(score):
        write(draw, (x, y), "no score: not inspected", 20, _INK)
        return
    text = f"score {_number(score)}"
    if threshold is None or not (np.isfinite(threshold) and threshold > 0):
        write(draw, (x, y), text, 20, _INK)
        return
    write(draw, (x, y), f"{text}   threshold {_number(threshold)}", 20, _INK)
    top, middle = y + 34, x + gauge_px // 2
    filled = gauge_px * min(max(score / threshold / 2.0, 0.0), 1.0)
    draw.rectangle([x, top, x + gauge_px, top + 16], fill=(228, 230, 235), outline=_LINE)
    draw.rectangle([x, top, x + filled, top + 16], fill=fill)
    if score >= 2.0 * threshold:
        text = "twice the threshold or more"
        write(draw, (x + gauge_px - width(text, 13) - 6, top), text, 13, _PAPER)
    draw.line([(middle, top - 5), (middle, top + 21)], fill=_INK, width=3)


def _fitted(picture: NDArray[np.uint8], side_px: int) -> Image.Image:
    """The picture enlarged or reduced so that its longer side is `side_px`."""
    image = Image.fromarray(picture)
    scale = side_px / max(image.size)
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    return image.resize(size, Image.Resampling.BICUBIC)


def _squared(image: Image.Image, side_px: int) -> Image.Image:
    square = Image.new("RGB", (side_px, side_px), NO_VALUE)
    square.paste(image, ((side_px - image.width) // 2, (side_px - image.height) // 2))
    return square


def _number(value: float) -> str:
    """Three significant digits, without an exponent for numbers of ordinary size."""
    return f"{value:.3g}" if value == 0 or 1e-3 <= abs(value) < 1e5 else f"{value:.2e}"
