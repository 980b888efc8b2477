"""Values to registers and back, in either order of words. Bytes within a register are as the protocol has them."""

import struct
from collections.abc import Mapping, Sequence
from typing import Final

from cmfm_gateway.modbus.registers import Kind, Register, WordOrder

WORD_MAX: Final = 0xFFFF
_FORMATS: Final[Mapping[Kind, str]] = {Kind.UDINT: ">I", Kind.DINT: ">i", Kind.REAL: ">f"}
_REAL_MAX: Final = 3.4028234663852886e38


def to_words(kind: Kind, value: float, order: WordOrder) -> tuple[int, ...]:
    """Return the registers of a value. Integers are cut to their range, numbers beyond REAL become infinite."""
    if kind.words == 1:
        return (min(max(int(value), 0), WORD_MAX),)
    if kind is Kind.REAL:
        number = float(value)
        data = struct.pack(">f", number if abs(number) <= _REAL_MAX else number * float("inf"))
    elif kind is Kind.DINT:
        data = struct.pack(">i", (int(value) + 2**31) % 2**32 - 2**31)
    else:
        data = struct.pack(">I", int(value) % 2**32)
    high, low = struct.unpack(">HH", data)
    return (high, low) if order == "high_first" else (low, high)


def from_words(kind: Kind, words: Sequence[int], order: WordOrder) -> float:
    """Return the value of registers; an int for all kinds but REAL."""
    if kind.words == 1:
        return int(words[0])
    high, low = (words[0], words[1]) if order == "high_first" else (words[1], words[0])
    value: float = struct.unpack(_FORMATS[kind], struct.pack(">HH", high, low))[0]
    return value


class Image:
    """A run of registers by address, filled and read by the table's rows."""

    def __init__(self, first: int, end: int, order: WordOrder) -> None:
        self.first, self.end = first, end
        self._order = order
        self.words = [0] * (end - first)

    def put(self, register: Register, value: float) -> None:
        """Write a value."""
        at = register.address - self.first
        self.words[at : at + register.kind.words] = to_words(register.kind, value, self._order)

    def get(self, register: Register) -> float:
        """Read a value."""
        at = register.address - self.first
        return from_words(register.kind, self.words[at : at + register.kind.words], self._order)

    def number(self, register: Register) -> int:
        """Read a whole number."""
        return int(self.get(register))
