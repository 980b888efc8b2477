"""Check of the chain of pages in a TIFF, before a reader follows it: a damaged link can make it a circle.

TIFF 6.0, section 2 (image file header, image file directory), and the same with 64-bit offsets (BigTIFF). Only the
links are read; the reader finds whatever else is wrong.
"""

import struct
from typing import BinaryIO, Final

MAX_PAGES: Final = 8192
"""A picture with one page a row has so many (MAX_SIDE_PX)."""

_ORDERS: Final = {b"II": "<", b"MM": ">"}
_CLASSIC: Final = 42
_BIG: Final = 43


def broken_chain(file: BinaryIO) -> str | None:
    """The error in the chain of pages, or None if the chain ends. `file` is open for reading bytes."""
    try:
        return _follow(file)
    except struct.error:
        return "the chain of pages leads out of the file"


def _follow(file: BinaryIO) -> str | None:
    file.seek(0)
    order = _ORDERS.get(file.read(2))
    if order is None:
        return "it does not start like a TIFF"
    (version,) = struct.unpack(f"{order}H", file.read(2))
    if version not in (_CLASSIC, _BIG):
        return f"TIFF version {version}; 42 and 43 are known"
    count_type, entry_bytes, link_type, first = (
        ("H", 12, "I", 4) if version == _CLASSIC else ("Q", 20, "Q", 8)
    )
    offset, seen = _number(file, first, order + link_type), set[int]()
    while offset:
        if offset in seen:
            return "the chain of pages is a circle"
        if len(seen) == MAX_PAGES:
            return f"more than {MAX_PAGES} pages"
        seen.add(offset)
        count_bytes = struct.calcsize(order + count_type)
        entries = _number(file, offset, order + count_type)
        offset = _number(file, offset + count_bytes + entries * entry_bytes, order + link_type)
    return None


def _number(file: BinaryIO, offset: int, form: str) -> int:
    """Raises struct.error beyond the end of the file."""
    if offset >= 1 << 63:
        raise struct.error
    file.seek(offset)
    value: int = struct.unpack(form, file.read(struct.calcsize(form)))[0]
    return value
