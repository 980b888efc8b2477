"""Checks of single values: each takes what msgpack gave and returns the value as the message has it.

A message is a table {key: check} (see `record`); the same table is used for sending and receiving, so that
what we send is what we would accept. Nothing here prints a value whose size the other side chose.
"""

import math
import re
from collections.abc import Callable, Collection
from enum import StrEnum
from typing import Any, Final

from cmfm_protocol.wire.errors import Violation
from cmfm_protocol.wire.limits import MAX_COUNT, MAX_TEXT_BYTES, MAX_TIME_NS, NAME_PATTERN, NAME_RULE
from cmfm_protocol.wire.verdict import Reason

Check = Callable[[object], Any]
"""Returns the checked value; raises Violation."""

_NAME: Final = re.compile(NAME_PATTERN)


def text(*, empty: bool = True, max_bytes: int = MAX_TEXT_BYTES) -> Check:
    """Printable text of at most `max_bytes` UTF-8 bytes: it goes into logs, tables and displays as it is."""

    def check(value: object) -> str:
        if not isinstance(value, str):
            raise _expected("text", value)
        if not value.isprintable():  # control characters, line breaks, lone surrogates
            raise _broken("text with a character that cannot be printed")
        if len(value.encode()) > max_bytes:
            raise _broken(f"text longer than {max_bytes} bytes")
        if not value and not empty:
            raise _broken("empty text")
        return value

    return check


def name(*, empty: bool = False) -> Check:
    """A name that is also a folder and a topic (`NAME_PATTERN`)."""

    def check(value: object) -> str:
        checked: str = text()(value)
        if not (checked or not empty) or (checked and not _NAME.fullmatch(checked)):
            raise _broken(NAME_RULE)
        return checked

    return check


def one_of(choices: Collection[str]) -> Check:
    """One of a few texts."""

    def check(value: object) -> str:
        if not isinstance(value, str):
            raise _expected("text", value)
        if value not in choices:
            raise _broken(f"none of {', '.join(choices)}")
        return value

    return check


def member(kind: type[StrEnum]) -> Check:
    """A member of an enumeration, by its value."""
    check_value = one_of([str(item) for item in kind])

    def check(value: object) -> StrEnum:
        return kind(check_value(value))

    return check


def integer(low: int = 0, high: int = MAX_COUNT) -> Check:
    """A whole number; msgpack's booleans and floats are none."""

    def check(value: object) -> int:
        if not isinstance(value, int) or isinstance(value, bool):
            raise _expected("an integer", value)
        if not low <= value <= high:
            raise _broken(f"outside {low} to {high}")
        return value

    return check


def time_ns() -> Check:
    """Nanoseconds since 1970 (or since boot), never negative."""
    return integer(0, MAX_TIME_NS)


def number(low: float = -math.inf, high: float = math.inf) -> Check:
    """A finite number; integers are taken as such, as many msgpack libraries write 100.0 as 100."""

    def check(value: object) -> float:
        if not isinstance(value, int | float) or isinstance(value, bool):
            raise _expected("a number", value)
        if isinstance(value, int) and abs(value) > MAX_TIME_NS:
            raise _broken("an integer of more than 64 bits")
        if not math.isfinite(value) or not low <= value <= high:
            raise _broken(f"not finite or outside {low:g} to {high:g}")
        return float(value)

    return check


def flag(value: object) -> bool:
    """True or false."""
    if not isinstance(value, bool):
        raise _expected("true or false", value)
    return value


def optional(check: Check) -> Check:
    """The value, or nil."""

    def check_unless_nil(value: object) -> Any:
        return None if value is None else check(value)

    return check_unless_nil


def items(check: Check, *, most: int, least: int = 0) -> Check:
    """A list of `least` to `most` values, as a tuple."""

    def check_items(value: object) -> tuple[Any, ...]:
        if not isinstance(value, list):
            raise _expected("a list", value)
        if not least <= len(value) <= most:
            raise _broken(f"{len(value)} items instead of {least} to {most}")
        return tuple(at(f"[{index}]", check, item) for index, item in enumerate(value))

    return check_items


def table_of(keys: Collection[str], check: Check, *, complete: bool) -> Check:
    """A map from some (all, if `complete`) of `keys`, and no others, to checked values."""

    def check_table(value: object) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise _expected("a map", value)
        if not set(value) <= set(keys):
            raise _broken(f"a key that is none of {', '.join(keys)}")
        if complete and (absent := [key for key in keys if key not in value]):
            raise Violation(Reason.MALFORMED, "missing", absent[0])
        return {key: at(key, check, value[key]) for key in keys if key in value}

    return check_table


def at(path: str, check: Check, value: object) -> Any:
    """Check a value and, where it breaks a rule, say in which field."""
    try:
        return check(value)
    except Violation as violation:
        raise violation.under(path) from None


def _expected(what: str, value: object) -> Violation:
    found = "nil" if value is None else type(value).__name__
    return Violation(Reason.MALFORMED, f"expected {what}, got {found}")


def _broken(message: str) -> Violation:
    return Violation(Reason.MALFORMED, message)
