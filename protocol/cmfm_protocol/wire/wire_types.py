"""Types of the wire: each has its name in WIRE.md and the check that a value of it passes.

Sender and receiver use the same checks, so what we send is what we would accept. No message of a check contains a
value whose size the other side chose.
"""

import math
import re
from collections.abc import Callable, Collection
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from cmfm_protocol.wire.errors import Violation
from cmfm_protocol.wire.limits import MAX_COUNT, MAX_TEXT_BYTES, MAX_TIME_NS, NAME_PATTERN, NAME_RULE
from cmfm_protocol.wire.verdict import Reason

Check = Callable[[object], Any]
"""Takes a value as msgpack returned it, returns it as the message has it. Raises Violation."""

_NAME: Final = re.compile(NAME_PATTERN)
_SUPERSCRIPTS: Final = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")
_POWERS_FROM_BITS: Final = 32
"""Limits of at least so many bits are named as powers of two."""


@dataclass(frozen=True, slots=True)
class WireType:
    """A type of the wire; stands in the `Annotated` of a field. `name` is the one in WIRE.md's tables."""

    name: str
    check: Check


def text(*, empty: bool = True, max_bytes: int = MAX_TEXT_BYTES) -> WireType:
    """Printable text of at most `max_bytes` UTF-8 bytes. It goes into logs, tables and displays unchanged."""

    def check(value: object) -> str:
        if not isinstance(value, str):
            raise _expected("text", value)
        if not value.isprintable():  # control characters, line breaks, lone surrogates
            raise broken("text with a character that cannot be printed")
        if len(value.encode()) > max_bytes:
            raise broken(f"text longer than {max_bytes} bytes")
        if not value and not empty:
            raise broken("empty text")
        return value

    if max_bytes != MAX_TEXT_BYTES:
        return WireType(f"text, {f'at most {max_bytes}' if empty else f'1 to {max_bytes}'} bytes", check)
    return WireType("text" if empty else "text, not empty", check)


def name() -> WireType:
    """A name that is also a folder and a part of a topic (`NAME_PATTERN`)."""
    check_text = text().check

    def check(value: object) -> str:
        checked: str = check_text(value)
        if not _NAME.fullmatch(checked):
            raise broken(NAME_RULE)
        return checked

    return WireType("name", check)


def one_of(choices: Collection[str]) -> WireType:
    """One of a few texts."""

    def check(value: object) -> str:
        if not isinstance(value, str):
            raise _expected("text", value)
        if value not in choices:
            raise broken(f"not one of {', '.join(choices)}")
        return value

    *first, last = [f"`{choice}`" if choice else "empty" for choice in choices]
    return WireType(f"{', '.join(first)} or {last}" if first else last, check)


def member(kind: type[StrEnum], name: str = "") -> WireType:
    """A member of an enumeration, by its value. `name` replaces the list of all values in WIRE.md."""
    by_value = one_of([str(item) for item in kind])

    def check(value: object) -> StrEnum:
        return kind(by_value.check(value))

    return WireType(name or by_value.name, check)


def integer(low: int = 0, high: int = MAX_COUNT) -> WireType:
    """An integer; msgpack's booleans and floats are refused."""

    def check(value: object) -> int:
        if not isinstance(value, int) or isinstance(value, bool):
            raise _expected("an integer", value)
        if not low <= value <= high:
            raise broken(f"outside {low} to {high}")
        return value

    return WireType(f"int{_integer_range(low, high)}", check)


def time_ns() -> WireType:
    """Nanoseconds since 1970 (or since boot), never negative."""
    return integer(0, MAX_TIME_NS)


def number(low: float = -math.inf, high: float = math.inf) -> WireType:
    """A finite number. An integer is taken as one, because many msgpack libraries write 100.0 as 100."""

    def check(value: object) -> float:
        if not isinstance(value, int | float) or isinstance(value, bool):
            raise _expected("a number", value)
        if isinstance(value, int) and abs(value) > MAX_TIME_NS:
            raise broken("an integer of more than 64 bits")
        if not math.isfinite(value) or not low <= value <= high:
            raise broken(f"not finite or outside {low:g} to {high:g}")
        return float(value)

    if math.isinf(low):
        return WireType("float", check)
    return WireType(f"float, from {low:g}" if math.isinf(high) else f"float, {low:.0f} to {high:.0f}", check)


def flag() -> WireType:
    """True or false."""

    def check(value: object) -> bool:
        if not isinstance(value, bool):
            raise _expected("true or false", value)
        return value

    return WireType("bool", check)


def optional(inner: WireType) -> WireType:
    """The value, or nil."""
    check = inner.check

    def check_unless_nil(value: object) -> Any:
        return None if value is None else check(value)

    return WireType(f"{inner.name}{',' if ',' in inner.name else ''} or nil", check_unless_nil)


def items(inner: WireType, *, most: int, least: int = 0) -> WireType:
    """A list of `least` to `most` values, as a tuple."""
    check = inner.check

    def check_items(value: object) -> tuple[Any, ...]:
        if not isinstance(value, list):
            raise _expected("a list", value)
        if not least <= len(value) <= most:
            raise broken(f"{len(value)} items instead of {least} to {most}")
        checked = []
        for index, item in enumerate(value):
            try:
                checked.append(check(item))
            except Violation as violation:
                raise violation.under(f"[{index}]") from None
        return tuple(checked)

    if least == most:
        return WireType(f"list of {most} {inner.name}", check_items)
    return WireType(f"list of {inner.name}, at most {most}", check_items)


def map_of(keys: Collection[str], inner: WireType, *, complete: bool) -> WireType:
    """A map from some (all, if `complete`) of `keys`, and no others, to values of one type."""

    def check_map(value: object) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise _expected("a map", value)
        if not set(value) <= set(keys):
            raise broken(f"a key that is not one of {', '.join(keys)}")
        if complete and (absent := [key for key in keys if key not in value]):
            raise Violation(Reason.MALFORMED, "missing", absent[0])
        return {key: check_at(key, inner.check, value[key]) for key in keys if key in value}

    return WireType(f"map of {inner.name}", check_map)


def check_at(path: str, check: Check, value: object) -> Any:
    """Check a value. A Violation that is raised names `path` as the field."""
    try:
        return check(value)
    except Violation as violation:
        raise violation.under(path) from None


def broken(message: str) -> Violation:
    """A value that breaks a rule of its type."""
    return Violation(Reason.MALFORMED, message)


def _expected(what: str, value: object) -> Violation:
    found = "nil" if value is None else type(value).__name__
    return broken(f"expected {what}, got {found}")


def _integer_range(low: int, high: int) -> str:
    """The range of an integer for WIRE.md; nothing for 0 to MAX_COUNT, which that document states for all."""
    if low == -high:
        return f", ± ({_limit(high)})"
    if low == 0:
        return "" if high == MAX_COUNT else f", to {_limit(high)}"
    return f", from {low}" if high == MAX_COUNT else f", {low} to {_limit(high)}"


def _limit(value: int) -> str:
    bits = value.bit_length()
    if bits < _POWERS_FROM_BITS or value + 1 != 1 << bits:
        return str(value)
    return f"2{str(bits).translate(_SUPERSCRIPTS)} − 1"
