"""A PLC program, the one of docs/plc.md in Python: a scan cycle over Modbus, for `grade --plc` and system tests.

Flaws make it the programs that the grade must find out.
"""

import asyncio
import time
from dataclasses import dataclass

from pymodbus.client import AsyncModbusTcpClient

from cmfm_gateway.modbus.registers import BY_NAME, CONTROL_END, OUTPUT, Control, Register, Status
from cmfm_gateway.modbus.words import Image

READ = 125
LET_THROUGH, REJECTED, DIVERTED = 1, 2, 3


@dataclass(frozen=True)
class Flaws:
    """Each is a mistake that programs make."""

    never_acknowledges: bool = False
    passes_on_silence: bool = False
    takes_record: bool = False  # acts on verdict_on_record
    passes_unknown: bool = False  # rejects FAIL alone
    ignores_part_number: bool = False
    ignores_heartbeat: bool = False
    ignores_online: bool = False
    no_heartbeat: bool = False
    keeps_verdict: bool = False  # of the part before


class PlcProgram:
    """Runs until cancelled. `gate_s` after the photo-eye the part is at the gate."""

    def __init__(self, port: int, gate_s: float, beat_s: float, flaws: Flaws | None = None) -> None:
        self._port, self._gate_s, self._beat_s = port, gate_s, beat_s
        self._flaws = flaws or Flaws()
        self._control = Image(0, CONTROL_END, "high_first")
        self._part = self._verdict = 0
        self._fired_s: float | None = None
        self._last_beat, self._beat_at_s = -1, time.monotonic()
        self._bench_part = 0

    async def run(self) -> None:
        client = AsyncModbusTcpClient("127.0.0.1", port=self._port, timeout=2, retries=0)
        try:
            assert await client.connect()
            while True:
                reply = await client.read_holding_registers(OUTPUT, count=READ)
                assert not reply.isError()
                vision = Image(OUTPUT, OUTPUT + READ, "high_first")
                vision.words = list(reply.registers)
                self.scan(vision, time.monotonic())
                assert not (await client.write_registers(0, self._control.words)).isError()
                await asyncio.sleep(0.005)
        finally:
            client.close()

    def scan(self, vision: Image, now_s: float) -> None:
        """One cycle: inputs in `vision`, outputs in the control registers."""

        def read(name: str) -> int:
            return vision.number(BY_NAME[name])

        status, flaws = Status(read("status")), self._flaws
        if read("heartbeat") != self._last_beat:
            self._last_beat, self._beat_at_s = read("heartbeat"), now_s
        stopped = not flaws.ignores_heartbeat and now_s - self._beat_at_s > self._beat_s / 2
        stopped |= not flaws.ignores_online and Status.ONLINE not in status
        if not flaws.no_heartbeat:
            self._put("plc_heartbeat", (self._get("plc_heartbeat") + 1) % 65_536)
        if (part := read("bench_part")) not in (0, self._bench_part):
            self._bench_part = self._part = part
            self._fired_s = now_s
            self._verdict = self._verdict if flaws.keeps_verdict else 0
        self._handshake(status, read)
        if self._fired_s is not None and now_s - self._fired_s >= self._gate_s:
            self._fired_s = None
            self._put("decision", self._decide(stopped))
            self._put("decided_part", self._part)

    def _handshake(self, status: Status, read: "object") -> None:
        assert callable(read)
        acked = bool(self._get("control") & Control.RESULTS_ACK)
        word = Control.BUFFER_RESULTS
        if Status.RESULTS_VALID in status and not acked and not self._flaws.never_acknowledges:
            if read("result.part_number") == self._part or self._flaws.ignores_part_number:
                name = "result.verdict_on_record" if self._flaws.takes_record else "result.verdict"
                self._verdict = read(name)
            self._put("ack_number", read("result.result_number"))
            word |= Control.RESULTS_ACK
        elif Status.RESULTS_VALID in status and acked:
            word |= Control.RESULTS_ACK
        self._put("control", word)

    def _decide(self, stopped: bool) -> int:
        flaws, verdict = self._flaws, self._verdict
        if stopped:
            return REJECTED
        passes = verdict == 1 or (flaws.passes_on_silence and verdict == 0)
        passes |= flaws.passes_unknown and verdict not in (0, 2)
        return LET_THROUGH if passes else DIVERTED if verdict == 3 else REJECTED

    def _get(self, name: str) -> int:
        return self._control.number(_register(name))

    def _put(self, name: str, value: int) -> None:
        self._control.put(_register(name), value)


def _register(name: str) -> Register:
    return BY_NAME[name]
