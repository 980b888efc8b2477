"""Part numbers for PLCs, which compare integers: from the `part_id` by one of three rules."""

import re
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final, Literal

from cmfm_gateway.errors import InputError

MAX_PART_NUMBER: Final = 0xFFFFFFFF
UNKNOWN: Final = 0
"""The part number of a part whose id gives none."""

Rule = Literal["digits", "hash", "table"]
PartNumbers = Callable[[str], int]

_DIGITS: Final = re.compile(r"[0-9]+")


def by_digits(part_id: str) -> int:
    """Return the last run of digits in the id; 0 if it has none, or one above 4294967295."""
    runs = _DIGITS.findall(part_id)
    number = int(runs[-1]) if runs else UNKNOWN
    return number if number <= MAX_PART_NUMBER else UNKNOWN


def by_hash(part_id: str) -> int:
    """Return the CRC-32 (zlib's, ISO-HDLC) of the id's UTF-8 bytes; 0 for an empty id."""
    return zlib.crc32(part_id.encode())


def by_table(table: Mapping[str, int]) -> PartNumbers:
    """Return the rule that looks an id up; 0 for an id that is not in the table."""
    return lambda part_id: table.get(part_id, UNKNOWN)


def part_numbers(rule: Rule, table: Path | None) -> PartNumbers:
    """Return the function of a rule. Raises InputError naming the table's file and line."""
    if rule == "digits":
        return by_digits
    return by_hash if rule == "hash" else by_table(read_table(table))


def read_table(path: Path | None) -> dict[str, int]:
    """Read lines of `part_id,number`; empty lines and those that begin with # are skipped. Raises InputError."""
    if path is None:
        raise InputError('gateway.part_number = "table" needs gateway.part_table')
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"gateway.part_table: {path}: cannot be read: {error}") from error
    table: dict[str, int] = {}
    for position, line in enumerate(lines, 1):
        if not line.strip() or line.startswith("#"):
            continue
        part_id, comma, number = line.rpartition(",")
        if not comma or not number.strip().isdecimal() or not 0 < int(number) <= MAX_PART_NUMBER:
            raise InputError(
                f"{path}:{position}: expected part_id,number with a number from 1 to {MAX_PART_NUMBER}"
            )
        if table.setdefault(part_id.strip(), int(number)) != int(number):
            raise InputError(f"{path}:{position}: {part_id.strip()!r} has two numbers")
    return table
