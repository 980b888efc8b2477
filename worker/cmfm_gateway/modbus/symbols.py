"""The table of registers for people and for a PLC's import: CSV, Markdown, and lines for mbpoll."""

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from cmfm_gateway.modbus.registers import (
    BLOCK_REGISTERS,
    BLOCKS,
    CONTROL_REGISTERS,
    LINE_REGISTERS,
    REGISTERS,
    ErrorCode,
    Kind,
    Register,
    bit_rows,
)
from cmfm_gateway.reasons import CAUSE_NUMBERS, NOT_VALID, REASON_NUMBERS, VERDICT_NUMBERS
from cmfm_gateway.settings.modbus import ModbusSection

MODICON: Final = 40_001
"""The first holding register where registers are counted from 1 with the area's digit."""

MBPOLL_TYPES: Final = {
    Kind.WORD: "4:hex",
    Kind.UINT: "4",
    Kind.UDINT: "4:int",
    Kind.DINT: "4:int",
    Kind.REAL: "4:float",
}
"""mbpoll prints a DINT and a UDINT alike, as a signed number."""

COLUMNS: Final = ("name", "address", "modicon", "type", "words", "access", "unit", "meaning")

Row = Sequence[str]


def row_of(register: Register) -> Row:
    """Return a register's row in the order of `COLUMNS`."""
    return (
        register.name,
        str(register.address),
        str(MODICON + register.address),
        register.kind.value[0],
        str(register.kind.words),
        "read, write" if register.writable else "read",
        register.unit,
        register.meaning,
    )


def as_csv() -> str:
    """Return all registers, one a line, for import into a PLC's symbol table."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows(row_of(register) for register in REGISTERS)
    return text.getvalue()


def as_markdown(section: ModbusSection) -> str:
    """Return the registers, bits and codes as Markdown, with sample lines for mbpoll by the settings."""
    pieces = [
        "### Control registers, written by the PLC\n",
        _registers(CONTROL_REGISTERS),
        "### Line registers\n",
        _registers(LINE_REGISTERS),
        "### Result blocks\n",
        _table(
            ("block", "addresses", "holds"),
            (
                (f"`{name}`", f"{rows[0].address} to {rows[-1].end - 1}", BLOCKS[name])
                for name, rows in BLOCK_REGISTERS.items()
            ),
        ),
        "Each block has these registers; an offset counts from the block's first address.\n",
        _block_offsets(),
        "### Bits\n",
        _table(
            ("register", "bit", "name", "meaning"), ((f"`{r}`", str(b), n, m) for r, b, n, m in bit_rows())
        ),
        "### Codes\n",
        _table(("register", "code", "meaning"), _codes()),
        "### Samples for mbpoll\n",
        "```\n" + "\n".join(mbpoll_lines(section)) + "\n```\n",
    ]
    return "\n".join(pieces)


def mbpoll_lines(section: ModbusSection) -> list[str]:
    """Return command lines for Debian's mbpoll, which counts registers from 1."""
    host, port = ("127.0.0.1" if section.host in ("0.0.0.0", "::") else section.host), section.port  # noqa: S104
    big = " -B" if section.word_order == "high_first" else ""
    names = {register.name: register for register in REGISTERS}

    def line(name: str, *values: int) -> str:
        register = names[name]
        kind = "4" if values else MBPOLL_TYPES[register.kind]
        written = " ".join(["", *map(str, values)])
        wide = big if register.kind.words == 2 else ""
        return f"mbpoll -m tcp -p {port} -r {register.address + 1} -t {kind}{wide} -1 {host}{written}"

    return [
        f"{line('control', 4)}  # buffer results",
        f"{line('status')}  # bit 11 (0x0800): results valid",
        f"{line('result.result_number')}",
        f"{line('result.verdict')}  # 1 PASS, 2 FAIL, 3 UNDECIDED, 4 FAULT, 0 not valid",
        f"{line('result.score')}",
        f"{line('control', 12)}  # buffer results and results ack",
        f"{line('control', 4)}  # the next result may come",
    ]


def _registers(registers: Iterable[Register]) -> str:
    rows = (
        (f"`{r.name}`", str(r.address), str(MODICON + r.address), r.kind.value[0], r.unit, r.meaning)
        for r in registers
    )
    return _table(("register", "address", "counted from 1", "type", "unit", "meaning"), rows)


def _block_offsets() -> str:
    rows = BLOCK_REGISTERS["result"]
    first = rows[0].address
    return _table(
        ("register", "offset", "type", "unit", "meaning"),
        (
            (f"`{r.name.partition('.')[2]}`", str(r.address - first), r.kind.value[0], r.unit, r.meaning)
            for r in rows
        ),
    )


def _codes() -> Iterator[Row]:
    yield "`verdict`", str(NOT_VALID), "not valid: reject"
    for verdict, number in VERDICT_NUMBERS.items():
        yield "`verdict`", str(number), str(verdict)
    for reason, number in REASON_NUMBERS.items():
        yield "`reason`", str(number), f"`{reason}`"
    for cause, number in CAUSE_NUMBERS.items():
        yield "offline reason", str(number), f"`{cause}`" if cause else "online"
    for code in ErrorCode:
        yield "`error`", str(code.number), code.meaning


def _table(header: Row, rows: Iterable[Row]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "".join("| " + " | ".join(cells) + " |\n" for cells in lines)
