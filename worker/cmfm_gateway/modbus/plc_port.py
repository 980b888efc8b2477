"""The registers as one PLC sees them: its control words in, the handshake's status and the results' blocks out.

Server and client use it alike: `read` and `write` for the server, `step` and `output` for the client.
"""

import json
import time
import zlib
from collections.abc import Sequence
from typing import Final

import structlog

from cmfm_gateway.gateway import Gateway
from cmfm_gateway.line_view import Cause
from cmfm_gateway.modbus.commands import CommandRunner
from cmfm_gateway.modbus.gate import EncoderTrack, by_position
from cmfm_gateway.modbus.handshake import Handshake, HandshakeLimits, Inputs
from cmfm_gateway.modbus.part_index import PartIndex
from cmfm_gateway.modbus.registers import (
    BLOCK_REGISTERS,
    BY_NAME,
    CONTROL,
    CONTROL_END,
    END,
    LINE_REGISTERS,
    MAP_VERSION,
    OFFLINE_REASON_SHIFT,
    OUTPUT,
    Control,
)
from cmfm_gateway.modbus.result_block import ResultBlocks
from cmfm_gateway.modbus.words import Image
from cmfm_gateway.reasons import CAUSE_NUMBERS
from cmfm_gateway.settings.modbus import ModbusSection
from cmfm_gateway.store import StoredResult

CONSUMER: Final = "modbus"
HEARTBEATS_A_SECOND: Final = 10


class PlcPort:
    """Registers 0 to `END` for one PLC."""

    def __init__(self, section: ModbusSection, gateway: Gateway) -> None:
        self._section, self._gateway = section, gateway
        self._log = structlog.get_logger("modbus")
        limits = HandshakeLimits(section.buffer, section.ack_s, section.watchdog_s, section.results)
        confirmed = gateway.store.begin(CONSUMER, gateway.store.newest_at_start)
        self.handshake = Handshake(limits, confirmed)
        self._control = Image(CONTROL, CONTROL_END, section.word_order)
        self._written = False
        self._blocks = ResultBlocks(section, gateway.part_number)
        self._tracks: dict[str, EncoderTrack] = {}
        self._commands = CommandRunner(section, gateway, self.handshake, self._announced)
        self._checksum = settings_checksum(gateway)
        self._parts = PartIndex(gateway.store, gateway.part_number)
        self._told = ""

    def read(self, address: int, count: int) -> list[int] | None:
        """Return registers as they are now; None beyond the table."""
        if not 0 <= address < address + count <= END:
            return None
        self.step()
        words = [
            *self._control.words,
            *[0] * (OUTPUT - CONTROL_END),
            *self.output(address, address + count).words,
        ]
        return words[address : address + count]

    def write(self, address: int, values: Sequence[int]) -> bool:
        """Write control registers and step; False outside them."""
        if not CONTROL <= address < address + len(values) <= CONTROL_END:
            return False
        self._control.words[address - CONTROL : address - CONTROL + len(values)] = values
        self._written = self._written or address == BY_NAME["control"].address
        self.step()
        return True

    def step(self) -> None:
        """Look at PLC, line and clock; what is confirmed is durable when this returns."""
        view, store = self._gateway.view, self._gateway.store
        handshake = self.handshake
        before = handshake.confirmed
        outcome = handshake.step(
            Inputs(
                now_s=time.monotonic(),
                control=Control(self._argument("control")) if self._written else None,
                ack_number=self._argument("ack_number"),
                plc_heartbeat=self._argument("plc_heartbeat"),
                newest=store.newest(),
                online=view.valid,
                busy=view.state is not None and view.state.in_flight > 0,
                lost=view.lost,
            )
        )
        if handshake.valid and store.by_number(handshake.shown) is None:
            handshake.skip_shown()  # deleted, because the store had grown too large
        if handshake.confirmed != before:
            store.advance(CONSUMER, handshake.confirmed)
        if outcome.start_trigger:
            self._commands.trigger(self._argument)
        if outcome.start_command:
            self._commands.command(self._argument)
        if self._written:
            self._gateway.owned(CONSUMER, by_plc=not handshake.is_offline)
        self._tell()

    def output(self, first: int = OUTPUT, end: int = END) -> Image:
        """Return the output registers; only those from `first` to before `end` need to be right."""
        image = Image(OUTPUT, END, self._section.word_order)
        handshake, view, now_ns = self.handshake, self._gateway.view, time.time_ns()
        line_valid = view.valid and not handshake.is_offline
        cause = Cause.OFFLINE if handshake.is_offline else view.cause
        waiting = handshake.waiting
        values = {
            "status": handshake.status | CAUSE_NUMBERS[cause] << OFFLINE_REASON_SHIFT,
            "alarms": handshake.alarms,
            "heartbeat": int(time.monotonic() * HEARTBEATS_A_SECOND) % 65_536,
            "error": handshake.error.number,
            "map_version": MAP_VERSION,
            "recipe": self._commands.selected,
            "buffers_left": self._section.buffer - waiting,
            "waiting": waiting,
            "settings_checksum": self._checksum,
            "newest_number": self._gateway.store.newest(),
            "overruns": handshake.counters.overruns,
            "acks_late": handshake.counters.acks_late,
            "triggers_missed": handshake.counters.triggers_missed,
            "results_lost": view.lost,
        }
        if first < LINE_REGISTERS[-1].end:
            for name, value in values.items():
                image.put(BY_NAME[name], value)
        for block, result_of in (
            ("result", self._shown_result),
            ("part", self._wanted_part),
            ("gate", self._at_gate),
        ):
            rows = BLOCK_REGISTERS[block]
            if first < rows[-1].end and rows[0].address < end:
                self._blocks.fill(image, block, result_of(), line_valid=line_valid, now_ns=now_ns)
        return image

    def _argument(self, name: str) -> int:
        return self._control.number(BY_NAME[name])

    def _shown_result(self) -> StoredResult | None:
        return self._gateway.store.by_number(self.handshake.shown) if self.handshake.valid else None

    def _wanted_part(self) -> StoredResult | None:
        wanted = self._argument("part_wanted")
        return self._parts.newest(wanted) if wanted else None

    def _at_gate(self) -> StoredResult | None:
        camera = self._commands.camera(self._argument("camera_argument"))
        if camera is None:
            return None
        if self._section.gate == "position":
            seq = by_position(self._argument("gate_trigger"), self._section.gate_parts)
        else:
            encoder, track = self._argument("gate_encoder"), self._tracks.get(camera, EncoderTrack())
            seq = track.at_gate(encoder, self._section.gate_counts, self._section.gate_tolerance)
        stream = self._gateway.stream_of(camera)
        return self._gateway.store.by_trigger(stream, seq) if seq is not None and stream else None

    def _announced(self, camera: str, seq: int, encoder: int) -> None:
        self._tracks.setdefault(camera, EncoderTrack()).announced(seq, encoder)

    def _tell(self) -> None:
        """Log and count what changed among the alarms."""
        alarms = "|".join((flag.name or "").lower() for flag in self.handshake.alarms)
        if alarms != self._told:
            self._told = alarms
            counters = self.handshake.counters
            self._log.warning(
                "plc_alarms", alarms=alarms, overruns=counters.overruns, acks_late=counters.acks_late
            )
            if alarms:
                self._gateway.count(CONSUMER, "alarms")


def settings_checksum(gateway: Gateway) -> int:
    """CRC-32 of all settings as JSON with sorted keys; paths are a part of it, the files' contents are not."""
    data = gateway.settings.model_dump(mode="json")
    return zlib.crc32(json.dumps(data, sort_keys=True).encode())
