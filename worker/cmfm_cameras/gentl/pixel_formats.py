"""The pixel formats that are converted, by their codes of the Pixel Format Naming Convention (PFNC 2.4)."""

from dataclasses import dataclass
from typing import Final, Literal

Kind = Literal["mono", "rgb", "bayer", "points", "confidence"]


@dataclass(frozen=True, slots=True)
class PixelFormat:
    """One format. `channels` are interleaved unless `planar`; `axes` are those of points, of A, B, C.

    `bits` are those of a channel. `stored` is its numpy type, and "" for bits that are packed without gaps.
    `order` is that of the colours, or of the first two pixels of a Bayer mosaic.
    """

    name: str
    code: int
    kind: Kind
    channels: int
    bits: int
    stored: str
    planar: bool = False
    axes: str = ""
    order: str = ""


def _mono() -> list[PixelFormat]:
    codes = {8: 0x01080001, 10: 0x01100003, 12: 0x01100005, 14: 0x01100025, 16: 0x01100007}
    plain = [PixelFormat(f"Mono{bits}", code, "mono", 1, bits, _stored(bits)) for bits, code in codes.items()]
    packed = [
        PixelFormat("Mono10p", 0x010A0046, "mono", 1, 10, ""),
        PixelFormat("Mono12p", 0x010C0047, "mono", 1, 12, ""),
    ]
    return plain + packed


def _bayer() -> list[PixelFormat]:
    orders = ("GR", "RG", "GB", "BG")
    plain = [
        PixelFormat(f"Bayer{order}{bits}", first + number, "bayer", 1, bits, _stored(bits), order=order)
        for bits, first in ((8, 0x01080008), (10, 0x0110000C), (12, 0x01100010), (16, 0x0110002E))
        for number, order in enumerate(orders)
    ]
    packed_codes = {
        "BG": (0x010A0052, 0x010C0053),
        "GB": (0x010A0054, 0x010C0055),
        "GR": (0x010A0056, 0x010C0057),
        "RG": (0x010A0058, 0x010C0059),
    }
    packed = [
        PixelFormat(f"Bayer{order}{bits}p", code, "bayer", 1, bits, "", order=order)
        for order, codes in packed_codes.items()
        for bits, code in zip((10, 12), codes, strict=True)
    ]
    return plain + packed


def _rgb() -> list[PixelFormat]:
    return [
        PixelFormat("RGB8", 0x02180014, "rgb", 3, 8, "u1", order="RGB"),
        PixelFormat("BGR8", 0x02180015, "rgb", 3, 8, "u1", order="BGR"),
        PixelFormat("RGBa8", 0x02200016, "rgb", 4, 8, "u1", order="RGB"),
        PixelFormat("BGRa8", 0x02200017, "rgb", 4, 8, "u1", order="BGR"),
        PixelFormat("RGB8_Planar", 0x02180021, "rgb", 3, 8, "u1", planar=True, order="RGB"),
        PixelFormat("RGB10", 0x02300018, "rgb", 3, 10, "<u2", order="RGB"),
        PixelFormat("RGB12", 0x0230001A, "rgb", 3, 12, "<u2", order="RGB"),
        PixelFormat("RGB16", 0x02300033, "rgb", 3, 16, "<u2", order="RGB"),
    ]


def _points() -> list[PixelFormat]:
    def coord(name: str, code: int, axes: str, stored: str, *, planar: bool = False) -> PixelFormat:
        bits = {"u1": 8, "<u2": 16, "<f4": 32}[stored]
        return PixelFormat(f"Coord3D_{name}", code, "points", len(axes), bits, stored, planar, axes)

    return [
        coord("A8", 0x010800AF, "A", "u1"),
        coord("B8", 0x010800B0, "B", "u1"),
        coord("C8", 0x010800B1, "C", "u1"),
        coord("ABC8", 0x021800B2, "ABC", "u1"),
        coord("ABC8_Planar", 0x021800B3, "ABC", "u1", planar=True),
        coord("A16", 0x011000B6, "A", "<u2"),
        coord("B16", 0x011000B7, "B", "<u2"),
        coord("C16", 0x011000B8, "C", "<u2"),
        coord("ABC16", 0x023000B9, "ABC", "<u2"),
        coord("ABC16_Planar", 0x023000BA, "ABC", "<u2", planar=True),
        coord("AC16", 0x022000BB, "AC", "<u2"),
        coord("AC16_Planar", 0x022000BC, "AC", "<u2", planar=True),
        coord("A32f", 0x012000BD, "A", "<f4"),
        coord("B32f", 0x012000BE, "B", "<f4"),
        coord("C32f", 0x012000BF, "C", "<f4"),
        coord("ABC32f", 0x026000C0, "ABC", "<f4"),
        coord("ABC32f_Planar", 0x026000C1, "ABC", "<f4", planar=True),
        coord("AC32f", 0x024000C2, "AC", "<f4"),
        coord("AC32f_Planar", 0x024000C3, "AC", "<f4", planar=True),
    ]


def _confidence() -> list[PixelFormat]:
    return [
        PixelFormat("Confidence8", 0x010800C6, "confidence", 1, 8, "u1"),
        PixelFormat("Confidence16", 0x011000C7, "confidence", 1, 16, "<u2"),
        PixelFormat("Confidence32f", 0x012000C8, "confidence", 1, 32, "<f4"),
    ]


def _stored(bits: int) -> str:
    return "u1" if bits == 8 else "<u2"


FORMATS: Final = {
    found.code: found for group in (_mono(), _bayer(), _rgb(), _points(), _confidence()) for found in group
}
"""By code."""

OCCUPIED_BITS_SHIFT: Final = 16
"""PFNC: bits 16 to 23 of a code are the bits that a pixel occupies."""


def pixel_bits(code: int) -> int:
    """Return the bits that a pixel of a format occupies; a planar format counts all its planes."""
    return (code >> OCCUPIED_BITS_SHIFT) & 0xFF
