"""The table of registers: the one source of the server, the client, the symbols and docs/plc.md.

Control registers are written by the PLC, from address 0; output registers by the gateway, from `OUTPUT`. Reading either
is allowed with function codes 3 and 4. The order of the bits of `control` and `status` is the one that users of Cognex
In-Sight know. New registers are added at the end of a block; none is ever moved or given another meaning.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, IntFlag
from typing import Final, Literal

MAP_VERSION: Final = 1
"""Register `map_version`: rises when registers are added."""

CONTROL: Final = 0
OUTPUT: Final = 100
"""First addresses of the two areas, counted from 0 as in the protocol; 40001 and 40101 where PLCs count from 1."""

WordOrder = Literal["high_first", "low_first"]


class Kind(Enum):
    """The type of a value: its IEC 61131 name and its length in registers."""

    WORD = ("WORD", 1)
    UINT = ("UINT", 1)
    UDINT = ("UDINT", 2)
    DINT = ("DINT", 2)
    REAL = ("REAL", 2)

    @property
    def words(self) -> int:
        """Registers that a value takes."""
        return self.value[1]


class Control(IntFlag):
    """Bits of register `control`, written by the PLC."""

    TRIGGER_ENABLE = 1 << 0
    TRIGGER = 1 << 1
    BUFFER_RESULTS = 1 << 2
    RESULTS_ACK = 1 << 3
    EXECUTE_COMMAND = 1 << 4
    SET_OFFLINE = 1 << 7
    CLEAR_ERROR = 1 << 10


class Status(IntFlag):
    """Bits of register `status`, written by the gateway. Bits 4 to 6 hold the offline reason."""

    TRIGGER_READY = 1 << 0
    TRIGGER_ACK = 1 << 1
    MISSED = 1 << 3
    ONLINE = 1 << 7
    BUSY = 1 << 8
    INSPECTION_COMPLETED = 1 << 9
    BUFFER_OVERRUN = 1 << 10
    RESULTS_VALID = 1 << 11
    COMMAND_EXECUTING = 1 << 12
    COMMAND_COMPLETED = 1 << 13
    COMMAND_FAILED = 1 << 14
    GENERAL_ERROR = 1 << 15


OFFLINE_REASON_SHIFT: Final = 4


class Alarm(IntFlag):
    """Bits of register `alarms`; each stays until `clear error` and is a part of `general error`."""

    ACK_LATE = 1 << 0
    PLC_SILENT = 1 << 1
    OVERRUN = 1 << 2
    RESULTS_LOST = 1 << 3
    WRONG_ACK = 1 << 4


BITS: Final[Mapping[str, Mapping[IntFlag, str]]] = {
    "control": {
        Control.TRIGGER_ENABLE: "triggers may be announced",
        Control.TRIGGER: "rising: announce a trigger with the argument registers; hold it until trigger ack",
        Control.BUFFER_RESULTS: "1: results wait in a queue until they are acknowledged. 0: the newest result is shown",
        Control.RESULTS_ACK: "rising: the shown result has been read. Let it fall when results valid has fallen",
        Control.EXECUTE_COMMAND: "rising: execute `command`; hold it until command completed or failed",
        Control.SET_OFFLINE: "1: no further result is shown, no verdict is valid, no trigger is announced",
        Control.CLEAR_ERROR: "rising: clears `alarms`, `error` and buffer overrun",
    },
    "status": {
        Status.TRIGGER_READY: "a trigger would be announced",
        Status.TRIGGER_ACK: "the trigger was taken; falls with the control bit",
        Status.MISSED: "the last trigger was not announced",
        Status.ONLINE: "verdicts may be acted on; 0: see offline reason (bits 4 to 6)",
        Status.BUSY: "parts are being inspected",
        Status.INSPECTION_COMPLETED: "toggles with each result",
        Status.BUFFER_OVERRUN: "results were dropped because the queue was full, or replaced unread",
        Status.RESULTS_VALID: "the block `result` holds a result that was not acknowledged",
        Status.COMMAND_EXECUTING: "a command is executing",
        Status.COMMAND_COMPLETED: "the command is done; falls with execute command",
        Status.COMMAND_FAILED: "the command failed, `error` says why; falls with execute command",
        Status.GENERAL_ERROR: "an alarm is set",
    },
    "alarms": {
        Alarm.ACK_LATE: "a result was not acknowledged, or an acknowledge not taken back, in time",
        Alarm.PLC_SILENT: "the PLC did not change `plc_heartbeat` in time",
        Alarm.OVERRUN: "as buffer overrun",
        Alarm.RESULTS_LOST: "results were lost between worker and gateway",
        Alarm.WRONG_ACK: "`ack_number` was not the number of the shown result: it was not acknowledged",
    },
}


@dataclass(frozen=True, slots=True)
class Register:
    """One value: its name, type, unit and meaning. `address` counts from 0."""

    name: str
    kind: Kind
    meaning: str
    unit: str = ""
    address: int = -1
    writable: bool = False

    @property
    def end(self) -> int:
        """The first address after it."""
        return self.address + self.kind.words


def _placed(first: int, rows: Sequence[Register], *, writable: bool) -> tuple[Register, ...]:
    """Return the rows one after another from an address on; two-word values start at even addresses."""
    placed: list[Register] = []
    address = first
    for row in rows:
        address += address % row.kind.words
        placed.append(Register(row.name, row.kind, row.meaning, row.unit, address, writable))
        address += row.kind.words
    return tuple(placed)


_CONTROL_ROWS: Final = (
    Register("control", Kind.WORD, "control bits, see below"),
    Register(
        "plc_heartbeat", Kind.UINT, "the PLC changes it all the time; it is watched from its first change on"
    ),
    Register("command", Kind.UINT, "1 select recipe, 2 announce trigger, 3 reset counters, 4 drain"),
    Register(
        "recipe_argument", Kind.UINT, "recipe number for command 1 and triggers; 0: the selected recipe"
    ),
    Register("camera_argument", Kind.UINT, "camera number for triggers and the gate; 0: camera 1"),
    Register("deadline_argument", Kind.UINT, "deadline of a trigger; 0: worker.deadline_ms", "ms"),
    Register("part_argument", Kind.UDINT, "part number of a trigger; 0: none"),
    Register("trigger_argument", Kind.UDINT, "the PLC's number of a trigger, from 1; 0: the gateway counts"),
    Register("encoder_argument", Kind.DINT, "encoder count at the trigger", "counts"),
    Register("ack_number", Kind.UDINT, "with results ack: `result_number` that was read; 0: not said"),
    Register("part_wanted", Kind.UDINT, "part number whose newest result the block `part` shows"),
    Register("gate_trigger", Kind.UDINT, "number of the newest trigger, from 1, for the gate by position"),
    Register("gate_encoder", Kind.DINT, "encoder count now, for the gate by encoder", "counts"),
    Register(
        "decided_part", Kind.UDINT, "part number of the part that the PLC decided last; read by `grade --plc`"
    ),
    Register(
        "decision", Kind.UINT, "what it did: 1 let through, 2 rejected, 3 diverted; read by `grade --plc`"
    ),
)

_LINE_ROWS: Final = (
    Register("status", Kind.WORD, "status bits, see below"),
    Register("alarms", Kind.WORD, "alarm bits, see below"),
    Register(
        "heartbeat",
        Kind.UINT,
        "counts ten times a second; if it stays the same, the gateway has stopped",
    ),
    Register("error", Kind.UINT, "why the last command or trigger failed, see below"),
    Register("map_version", Kind.UINT, f"version of this table, {MAP_VERSION}"),
    Register("recipe", Kind.UINT, "number of the selected recipe; 0: none"),
    Register("buffers_left", Kind.UINT, "free places in the queue of results, at most 65535", "results"),
    Register("waiting", Kind.UINT, "results in the queue, the shown one included, at most 65535", "results"),
    Register("settings_checksum", Kind.UDINT, "CRC-32 of the settings in force: it changes when they change"),
    Register("newest_number", Kind.UDINT, "number of the newest result"),
    Register("overruns", Kind.UDINT, "results dropped or replaced unread", "results"),
    Register("acks_late", Kind.UDINT, "acknowledges that were late"),
    Register("triggers_missed", Kind.UDINT, "triggers that were not announced"),
    Register(
        "results_lost", Kind.UDINT, "results lost between worker and gateway since its start", "results"
    ),
    Register(
        "bench_part", Kind.UDINT, "`grade --plc` alone: part number whose photo-eye fires now; otherwise 0"
    ),
)

_RESULT_ROWS: Final = (
    Register("result_number", Kind.UDINT, "1, 2, 3 …, never used twice; 0: no result"),
    Register("part_number", Kind.UDINT, "from part_id by gateway.part_number; 0: unknown"),
    Register("trigger_number", Kind.UDINT, "number of its trigger in the camera's stream, from 1"),
    Register("camera", Kind.UINT, "camera number by modbus.cameras; 0: another camera"),
    Register("verdict", Kind.UINT, "to act on: 0 not valid, 1 PASS, 2 FAIL, 3 UNDECIDED, 4 FAULT"),
    Register(
        "verdict_on_record",
        Kind.UINT,
        "for the record: the verdict that was given, also if it is not valid now",
    ),
    Register("reason", Kind.UINT, "reason code, see below; 0: none"),
    Register("recipe_number", Kind.UINT, "by modbus.recipes; 0: another recipe"),
    Register("flags", Kind.WORD, "bit 0 stale, bit 1 too old, bit 2 simulated part, bit 3 deadline met"),
    Register("score", Kind.REAL, "the recipe's score; NaN: nothing was computed"),
    Register("threshold", Kind.REAL, "FAIL at or above it; NaN: none", "as score"),
    Register("latency", Kind.UDINT, "trigger to verdict", "ms"),
    Register("region_row", Kind.REAL, "centre of the first region; NaN: no region", "map pixels"),
    Register("region_column", Kind.REAL, "centre of the first region; NaN: no region", "map pixels"),
    Register("region_area", Kind.REAL, "area of the first region; NaN: no region or not measured", "mm²"),
    Register("peak_x", Kind.REAL, "where the map is highest, in the camera's frame; NaN: unknown", "mm"),
    Register("peak_y", Kind.REAL, "as peak_x", "mm"),
    Register("peak_z", Kind.REAL, "as peak_x", "mm"),
)

BLOCKS: Final[Mapping[str, str]] = {
    "result": "the shown result, while results valid is 1",
    "part": "newest result of the part `part_wanted`; result_number 0: not yet",
    "gate": "result of the part that stands at the reject gate; result_number 0: not yet",
}
"""Blocks of the same registers, and whose result each holds. Names of registers are `<block>.<register>`."""

BLOCK_WORDS: Final = 60
"""Distance between blocks."""

CONTROL_REGISTERS: Final = _placed(CONTROL, _CONTROL_ROWS, writable=True)
LINE_REGISTERS: Final = _placed(OUTPUT, _LINE_ROWS, writable=False)


def _block(position: int, name: str) -> tuple[Register, ...]:
    rows = _placed(OUTPUT + (position + 1) * BLOCK_WORDS, _RESULT_ROWS, writable=False)
    return tuple(Register(f"{name}.{row.name}", row.kind, row.meaning, row.unit, row.address) for row in rows)


BLOCK_REGISTERS: Final[Mapping[str, tuple[Register, ...]]] = {
    name: _block(position, name) for position, name in enumerate(BLOCKS)
}

REGISTERS: Final = (
    *CONTROL_REGISTERS,
    *LINE_REGISTERS,
    *(row for rows in BLOCK_REGISTERS.values() for row in rows),
)
BY_NAME: Final[Mapping[str, Register]] = {register.name: register for register in REGISTERS}
CONTROL_END: Final = CONTROL_REGISTERS[-1].end
END: Final = REGISTERS[-1].end
"""First address after the table; reading beyond it is an illegal address."""


class ErrorCode(Enum):
    """Register `error`: its number and meaning."""

    NONE = (0, "no error")
    UNKNOWN_COMMAND = (1, "`command` is not one of the table")
    UNKNOWN_RECIPE = (2, "`recipe_argument` is not in modbus.recipes")
    UNKNOWN_CAMERA = (3, "`camera_argument` is not in modbus.cameras")
    REFUSED = (4, "the worker refused; the gateway's log has its words")
    NO_REPLY = (5, "the worker did not reply; it is unknown whether it did what was asked")
    NOT_READY = (6, "a trigger while trigger ready was 0, or a command while another executes")

    @property
    def number(self) -> int:
        """The value of the register."""
        return self.value[0]

    @property
    def meaning(self) -> str:
        """The words for people."""
        return self.value[1]


def bit_rows() -> Iterator[tuple[str, int, str, str]]:
    """Yield (register, bit, name, meaning) of every bit."""
    for register, bits in BITS.items():
        for flag, meaning in bits.items():
            name = (flag.name or "").lower().replace("_", " ")
            yield register, flag.value.bit_length() - 1, name, meaning
    yield (
        "status",
        OFFLINE_REASON_SHIFT,
        "offline reason",
        "three bits: a number of the table below; 0 while online",
    )
