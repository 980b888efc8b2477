"""Text in pictures, in the font that comes with Pillow; that font has no Greek, so the paper's Ψ is drawn.

Other letters that it lacks are written without their accents: a part's name stays readable.
"""

import unicodedata
from functools import lru_cache
from typing import TypeAlias

from PIL import ImageDraw, ImageFont

Font: TypeAlias = ImageFont.FreeTypeFont | ImageFont.ImageFont
Rgb: TypeAlias = tuple[int, int, int]

_PSI_WIDTH = 0.78  # of the font's size


@lru_cache(maxsize=16)
def font(size_px: int) -> Font:
    """Pillow's own scalable font in one size."""
    return ImageFont.load_default(size_px)


def write(draw: ImageDraw.ImageDraw, place: tuple[float, float], text: str, size_px: int, fill: Rgb) -> float:
    """Write one line with its top left corner at `place` (x, y); returns the x at which it ends."""
    x, y = place
    for i, run in enumerate(drawable(text).split("Ψ")):
        if i:
            _psi(draw, x, y, size_px, fill)
            x += _PSI_WIDTH * size_px
        draw.text((x, y), run, font=font(size_px), fill=fill)
        x += font(size_px).getlength(run)
    return x


def width(text: str, size_px: int) -> float:
    """The width of a line of text in pixels."""
    text = drawable(text)
    greek = text.count("Ψ")
    return font(size_px).getlength(text.replace("Ψ", "")) + greek * _PSI_WIDTH * size_px


def drawable(text: str) -> str:
    """The text with letters of the font alone, and Ψ: others lose their accents, and "?" stands for the rest."""
    return "".join(char if char.isascii() or char == "Ψ" else _in_font(char) for char in text)


def shortened(text: str, size_px: int, room_px: float) -> str:
    """The text, cut and ended with dots if it does not fit."""
    if width(text, size_px) <= room_px:
        return text
    while text and width(text + "...", size_px) > room_px:
        text = text[:-1]
    return text + "..."


_SPELT = {
    "ß": "ss",
    "æ": "ae",
    "Æ": "Ae",
    "ø": "o",
    "Ø": "O",
    "ł": "l",
    "Ł": "L",
    "×": "x",
    "–": "-",
    "—": "-",
}


@lru_cache(maxsize=256)
def _in_font(char: str) -> str:
    if unicodedata.combining(char):
        return ""
    if not _is_missing(char):
        return char
    plain = "".join(c for c in unicodedata.normalize("NFKD", char) if not unicodedata.combining(c))
    return _SPELT.get(char) or (plain if plain.isascii() and plain else "?")


def _is_missing(char: str) -> bool:
    drawn, missing = (font(20).getmask(each) for each in (char, "\uffff"))
    return drawn.size == missing.size and bytes(drawn) == bytes(missing)


def _psi(draw: ImageDraw.ImageDraw, x: float, y: float, size_px: int, fill: Rgb) -> None:
    stroke = max(1, round(size_px * 0.085))
    left, right, middle = x + 0.08 * size_px, x + 0.68 * size_px, x + 0.38 * size_px
    top, bowl, foot = y + 0.30 * size_px, y + 0.84 * size_px, y + 1.0 * size_px
    draw.line([(middle, top), (middle, foot)], fill=fill, width=stroke)
    draw.arc([(left, top - (bowl - top)), (right, bowl)], 0, 180, fill=fill, width=stroke)
