"""A photo-eye behind a PLC or an I/O module that speaks Modbus TCP: an input that is polled, or a counter register.

A counter loses nothing between two polls, nor in an outage. A level does: what is shorter than a poll is not seen.
"""

import logging
import time
from collections.abc import Callable
from typing import Final

from pymodbus.client import ModbusTcpClient
from pymodbus.exceptions import ModbusException
from pymodbus.pdu import ModbusPDU

from cmfm_cameras.photo_eye.counter import Counter
from cmfm_cameras.photo_eye.debounce import Debounce
from cmfm_cameras.photo_eye.edges import Edges, InputLostError
from cmfm_cameras.settings.trigger_input import ModbusSection
from cmfm_protocol.clock import NS_PER_MS

logging.getLogger("pymodbus").setLevel(logging.CRITICAL)  # our log says that it does not answer

WORD: Final = 16


class Memory:
    """State that survives an outage, so that no edge is counted twice or lost: the level, the counter's last reading.

    `late_ns`: an outage longer than this makes edges late. `last`: the counter's reading in the run before.
    """

    def __init__(self, section: ModbusSection, late_ns: int, last: int | None) -> None:
        self.debounce = Debounce(round(section.debounce_ms * NS_PER_MS))
        self.counter = Counter(section.counter_bits, section.most_missed, last)
        self.read_ns: int | None = None
        self.late_ns = late_ns


class ModbusInput:
    """A connected input. Raises InputLostError if the PLC cannot be reached."""

    def __init__(self, section: ModbusSection, memory: Memory) -> None:
        self.name = f"Modbus {section.host}:{section.port} {section.table} {section.address}"
        self._section, self._memory = section, memory
        self._client = ModbusTcpClient(
            section.host, port=section.port, timeout=section.reply_s, retries=0, reconnect_delay=0
        )
        self._next_s = time.monotonic()
        try:
            connected = self._client.connect()
        except OSError as error:
            raise InputLostError(f"{section.host}:{section.port} cannot be reached: {error}") from error
        if not connected:
            raise InputLostError(f"{section.host}:{section.port} cannot be reached")

    def edges(self, timeout_s: float) -> list[Edges]:
        """Poll until there is an edge, or `timeout_s` is over."""
        until_s = time.monotonic() + timeout_s
        while True:
            time.sleep(max(min(self._next_s, until_s) - time.monotonic(), 0.0))
            if time.monotonic() < self._next_s:
                return []
            self._next_s = max(self._next_s + self._section.poll_ms / 1000, time.monotonic())
            if found := self._poll():
                return found

    def close(self) -> None:
        """Close the connection."""
        self._client.close()

    def _poll(self) -> list[Edges]:
        asked_ns = time.time_ns()
        value = self._read()
        read_ns = (asked_ns + time.time_ns()) // 2
        before_ns, self._memory.read_ns = self._memory.read_ns, read_ns
        if self._section.table in ("coil", "discrete_input"):
            risen_ns = self._memory.debounce.take(bool(value) is not self._section.active_low, read_ns)
            return [Edges(1, risen_ns)] if risen_ns is not None else []
        count = self._memory.counter.take(value)
        since_ns = 0 if before_ns is None else max(read_ns - before_ns, 0)
        is_late = before_ns is None or since_ns > self._memory.late_ns
        return [Edges(count, read_ns, since_ns, is_late, value)] if count else []

    def _read(self) -> int:
        section = self._section
        read, unit = self._reader(), section.unit
        try:
            reply = read(section.address, count=self._words(), device_id=unit)
        except (ModbusException, OSError) as error:
            raise InputLostError(f"{self.name} does not answer: {error}") from error
        if reply.isError():
            raise InputLostError(f"{self.name} is refused: {reply}")
        if section.table in ("coil", "discrete_input"):
            return int(reply.bits[0])
        words = reply.registers[: self._words()]
        if len(words) < self._words():
            raise InputLostError(f"{self.name}: {len(words)} registers instead of {self._words()}")
        if section.word_order == "low_first":
            words = words[::-1]
        value = 0
        for word in words:
            value = value << WORD | word
        return value

    def _words(self) -> int:
        return 1 if self._section.table in ("coil", "discrete_input") else self._section.counter_bits // WORD

    def _reader(self) -> Callable[..., ModbusPDU]:
        client = self._client
        return {
            "coil": client.read_coils,
            "discrete_input": client.read_discrete_inputs,
            "holding_register": client.read_holding_registers,
            "input_register": client.read_input_registers,
        }[self._section.table]
