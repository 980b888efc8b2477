"""The table of registers: it stays as it was published, documents and numbers follow from it."""

import csv
import io
import math
from pathlib import Path

import pytest

from cmfm_gateway.line_view import Cause
from cmfm_gateway.modbus.gate import EncoderTrack, by_position
from cmfm_gateway.modbus.registers import BITS, REGISTERS, Alarm, Control, Kind, Status
from cmfm_gateway.modbus.symbols import as_csv, as_markdown
from cmfm_gateway.modbus.words import Image, from_words, to_words
from cmfm_gateway.reasons import CAUSE_NUMBERS, REASON_NUMBERS, VERDICT_NUMBERS
from cmfm_gateway.settings.modbus import ModbusSection
from cmfm_protocol.wire.verdict import Reason, Verdict

REPOSITORY = Path(__file__).parents[4]


def test_registers_do_not_overlap_and_wide_ones_are_aligned() -> None:
    """Each address belongs to one register."""
    taken = [address for register in REGISTERS for address in range(register.address, register.end)]
    assert len(taken) == len(set(taken))
    assert all(register.address % 2 == 0 for register in REGISTERS if register.kind.words == 2)


def test_published_registers_stay_where_they_are() -> None:
    """PLC programs have these addresses and codes built in: rows may be added, none moved, renamed or retyped."""
    with (REPOSITORY / "tests" / "vectors" / "modbus_registers.csv").open() as file:
        published = [(row["name"], row["address"], row["type"]) for row in csv.DictReader(file)]
    present = [(row["name"], row["address"], row["type"]) for row in csv.DictReader(io.StringIO(as_csv()))]
    assert len(published) > 80
    assert [row for row in published if row not in present] == []


def test_bits_have_the_order_of_in_sight() -> None:
    """Control and status of Cognex In-Sight over Modbus TCP, from bit 0 on."""
    control = {0: "TRIGGER_ENABLE", 1: "TRIGGER", 2: "BUFFER_RESULTS", 3: "RESULTS_ACK", 4: "EXECUTE_COMMAND"}
    status = {
        0: "TRIGGER_READY",
        1: "TRIGGER_ACK",
        3: "MISSED",
        7: "ONLINE",
        8: "BUSY",
        9: "INSPECTION_COMPLETED",
        10: "BUFFER_OVERRUN",
        11: "RESULTS_VALID",
        12: "COMMAND_EXECUTING",
        13: "COMMAND_COMPLETED",
        14: "COMMAND_FAILED",
        15: "GENERAL_ERROR",
    }
    assert {bit: Control(1 << bit).name for bit in control} == control
    assert Control.SET_OFFLINE == 1 << 7
    assert {flag.value.bit_length() - 1: flag.name for flag in Status} == status


def test_every_bit_reason_verdict_and_cause_has_its_words_and_number() -> None:
    """A reason that the protocol gains needs a number here; numbers are given once."""
    assert set(BITS["control"]) == set(Control)
    assert set(BITS["status"]) == set(Status)
    assert set(BITS["alarms"]) == set(Alarm)
    assert set(REASON_NUMBERS) == set(Reason)
    assert set(VERDICT_NUMBERS) == set(Verdict)
    assert set(CAUSE_NUMBERS) == set(Cause)
    assert sorted(CAUSE_NUMBERS.values()) == list(range(8))
    assert len(set(REASON_NUMBERS.values())) == len(REASON_NUMBERS)


def test_document_has_the_table() -> None:
    """docs/plc.md shows what `symbols --modbus markdown` prints."""
    document = (REPOSITORY / "docs" / "plc.md").read_text()
    assert as_markdown(ModbusSection()).strip() in document


@pytest.mark.parametrize(
    ("kind", "value", "words"),
    [
        (Kind.UINT, 70_000, (65_535,)),
        (Kind.UINT, -1, (0,)),
        (Kind.UDINT, 0x12345678, (0x1234, 0x5678)),
        (Kind.UDINT, 2**32 + 5, (0, 5)),
        (Kind.DINT, -2, (0xFFFF, 0xFFFE)),
        (Kind.REAL, 1.5, (0x3FC0, 0)),
        (Kind.REAL, 1e300, (0x7F80, 0)),
        (Kind.REAL, -1e300, (0xFF80, 0)),
    ],
)
def test_values_in_words(kind: Kind, value: float, words: tuple[int, ...]) -> None:
    """High word first, or low word first; too large numbers are cut, wrapped or infinite, never an error."""
    assert to_words(kind, value, "high_first") == words
    assert to_words(kind, value, "low_first") == words[::-1]
    assert to_words(kind, from_words(kind, words[::-1], "low_first"), "high_first") == words


def test_nan_survives() -> None:
    """A score that was not computed is NaN in the register."""
    image = Image(0, 2, "low_first")
    score = next(register for register in REGISTERS if register.name == "result.score")
    image.first, image.end = score.address, score.end
    image.put(score, math.nan)
    assert math.isnan(image.get(score))


def test_gate_by_position_and_encoder() -> None:
    """The part at the gate, none before the first is there, none between two parts, and over the counter's end."""
    assert [by_position(number, 2) for number in (0, 1, 2, 3, 4)] == [None, None, None, 0, 1]
    track = EncoderTrack()
    assert track.at_gate(0, 0, 100) is None
    for seq, fired in enumerate((2**31 - 150, -(2**31) + 50)):
        track.announced(seq, fired)
    assert track.at_gate(-(2**31) + 850, 1000, 10) == 0
    assert track.at_gate(-(2**31) + 1055, 1000, 10) == 1
    assert track.at_gate(-(2**31) + 950, 1000, 10) is None
