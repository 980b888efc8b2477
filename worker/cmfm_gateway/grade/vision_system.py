"""The vision system that `grade --plc` plays: the registers of a gateway, with results by a script."""

import asyncio
import time
from math import nan
from typing import Final

from cmfm_gateway.modbus.handshake import Handshake, HandshakeLimits, Inputs
from cmfm_gateway.modbus.registers import (
    BLOCK_REGISTERS,
    BY_NAME,
    CONTROL,
    CONTROL_END,
    END,
    MAP_VERSION,
    OFFLINE_REASON_SHIFT,
    OUTPUT,
    Control,
    Kind,
    WordOrder,
)
from cmfm_gateway.modbus.result_block import STALE
from cmfm_gateway.modbus.words import Image

SILENCE_REASON: Final = 2


class VisionSystem:
    """Registers as a gateway serves them; the line behind them is what a case says.

    `online` and `beating` are set by cases. `decisions` are what the PLC wrote: part number → decision, and when.
    `ack_times_s`: seconds from `results valid` to the acknowledge, of each result. `early_acks`: acknowledges while no
    result was shown.
    """

    def __init__(self, order: WordOrder) -> None:
        self._control = Image(CONTROL, CONTROL_END, order)
        self._order = order
        self._written = False
        self._handshake = Handshake(HandshakeLimits(watchdog_s=0))
        self._results: dict[int, dict[str, float]] = {}
        self._bench_part = 0
        self._beat = 0
        self._shown_s = 0.0
        self.online = self.beating = True
        self.decisions: dict[int, int] = {}
        self.ack_times_s: list[float] = []
        self.early_acks = 0
        self.heartbeats: list[float] = []
        self.heard = asyncio.Event()

    def read(self, address: int, count: int) -> list[int] | None:
        """Return registers."""
        if not 0 <= address < address + count <= END:
            return None
        self.heard.set()
        words = [*self._control.words, *[0] * (OUTPUT - CONTROL_END), *self._output().words]
        return words[address : address + count]

    def write(self, address: int, values: list[int]) -> bool:
        """Take the PLC's control registers."""
        if not CONTROL <= address < address + len(values) <= CONTROL_END:
            return False
        former = self._word(), self._get("plc_heartbeat")
        self._control.words[address - CONTROL : address - CONTROL + len(values)] = values
        self._written = True
        rose = Control.RESULTS_ACK in self._word() & ~former[0]
        if rose and not self._handshake.valid:
            self.early_acks += 1
        elif rose:
            self.ack_times_s.append(time.monotonic() - self._shown_s)
        if self._get("plc_heartbeat") != former[1]:
            self.heartbeats.append(time.monotonic())
        if part := self._get("decided_part"):
            self.decisions[part] = self._get("decision")
        self.step()
        return True

    def fire(self, part: int) -> None:
        """Let a part pass the photo-eye."""
        self._bench_part = part

    def give(self, part: int, verdict: int, *, stale: bool = False) -> None:
        """Add a result to the queue. A stale one has verdict 0, and what it was on record."""
        number = len(self._results) + 1
        self._results[number] = {
            "result_number": number,
            "part_number": part,
            "trigger_number": part,
            "camera": 1,
            "verdict": 0 if stale else verdict,
            "verdict_on_record": verdict,
            "flags": STALE * stale,
        }
        self.step()

    @property
    def waiting(self) -> int:
        """Results that the PLC has not acknowledged."""
        return self._handshake.waiting

    def start_again(self) -> None:
        """Give up the results that wait, as a vision system that is restarted: the next case begins with none."""
        self._handshake = Handshake(HandshakeLimits(watchdog_s=0), confirmed=len(self._results))
        self._bench_part = 0
        self.step()

    def step(self) -> None:
        """Look at the control word and the queue."""
        was_shown = self._handshake.shown if self._handshake.valid else 0
        control = self._word() if self._written else None
        self._handshake.step(
            Inputs(
                now_s=time.monotonic(),
                control=control,
                ack_number=self._get("ack_number"),
                newest=len(self._results),
                online=self.online,
            )
        )
        if self._handshake.valid and self._handshake.shown != was_shown:
            self._shown_s = time.monotonic()

    def _output(self) -> Image:
        image = Image(OUTPUT, END, self._order)
        if self.beating:
            self._beat = int(time.monotonic() * 10) % 65_536
        reason = 0 if self.online else SILENCE_REASON << OFFLINE_REASON_SHIFT
        values: dict[str, float] = {
            "status": self._handshake.status | reason,
            "heartbeat": self._beat,
            "map_version": MAP_VERSION,
            "waiting": self.waiting,
            "newest_number": len(self._results),
            "bench_part": self._bench_part,
        }
        for name, value in values.items():
            image.put(BY_NAME[name], value)
        shown: dict[str, float] = (
            self._results.get(self._handshake.shown, {}) if self._handshake.valid else {}
        )
        for register in BLOCK_REGISTERS["result"]:
            name = register.name.partition(".")[2]
            empty = nan if register.kind is Kind.REAL else 0
            image.put(register, 0 if name == "verdict" and not self.online else shown.get(name, empty))
        return image

    def _word(self) -> Control:
        return Control(self._get("control"))

    def _get(self, name: str) -> int:
        return self._control.number(BY_NAME[name])
