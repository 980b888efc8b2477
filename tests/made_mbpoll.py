"""A PLC made of Debian's mbpoll: reads results in a handshake, a process each request, and keeps a record."""

from __future__ import annotations

import re
import subprocess
import threading
import time
from dataclasses import dataclass

from tests.made_mosquitto import program

from cmfm_gateway.modbus.registers import BLOCK_REGISTERS, BY_NAME, OUTPUT, Control, Register, Status
from cmfm_gateway.modbus.words import from_words

READ = BLOCK_REGISTERS["result"][-1].end - OUTPUT
_LINE = re.compile(r"^\[(\d+)\]:\s+(\d+)", re.MULTILINE)


@dataclass(frozen=True)
class Taken:
    """A result as the PLC read it."""

    part_number: int
    trigger_number: int
    verdict: int
    verdict_on_record: int


class MbpollPlc:
    """A thread that takes every result with `ack_number`. `taken` is its record by result number."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._program = program("mbpoll")
        self._stopping = threading.Event()
        self._kill_next = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.taken: dict[int, Taken] = {}
        self.problems: list[str] = []
        self.killed = 0
        self.repeated = 0

    def __enter__(self) -> MbpollPlc:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._thread.join()

    def kill(self) -> None:
        """Kill -9 the next request that is under way."""
        self._kill_next.set()

    def _run(self) -> None:
        ready = False
        while not self._stopping.is_set():
            ready = self._turn(ready)
            if not ready:
                time.sleep(0.05)

    def _turn(self, ready: bool) -> bool:
        """One turn of the handshake; False if the gateway could not be reached: begin again."""
        if not ready:
            return self._write(Control.BUFFER_RESULTS, 0)
        words = self._poll("-r", str(OUTPUT + 1), "-c", str(READ), "-t", "4")
        if words is None:
            return False
        if Status.RESULTS_VALID not in Status(int(_value(words, BY_NAME["status"]))):
            time.sleep(0.01)
            return True
        number = self._take(words)
        if not self._write(Control.BUFFER_RESULTS | Control.RESULTS_ACK, number):
            return False
        return self._write(Control.BUFFER_RESULTS, 0)

    def _take(self, words: list[int]) -> int:
        block = {row.name.partition(".")[2]: int(_value(words, row)) for row in BLOCK_REGISTERS["result"][:9]}
        number = block["result_number"]
        taken = Taken(*(block[name] for name in Taken.__dataclass_fields__))
        if number in self.taken:
            self.repeated += 1
            former = self.taken[number]
            if (former.trigger_number, former.verdict_on_record) != (
                taken.trigger_number,
                taken.verdict_on_record,
            ):
                self.problems.append(f"result {number} was {former}, then {taken}")
            return number
        self.taken[number] = taken
        return number

    def _write(self, control: int, ack_number: int) -> bool:
        acked = BY_NAME["ack_number"].address
        values = [0] * (acked + 2)
        values[0], values[acked : acked + 2] = control, [ack_number >> 16, ack_number & 0xFFFF]
        return self._poll("-r", "1", "-t", "4", values=values) is not None

    def _poll(self, *options: str, values: list[int] | None = None) -> list[int] | None:
        command = [
            self._program,
            "-m",
            "tcp",
            "-p",
            str(self._port),
            "-1",
            "-q",
            "-o",
            "1",
            *options,
            "127.0.0.1",
        ]
        command += [str(value) for value in values or ()]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        if self._kill_next.is_set():
            self._kill_next.clear()
            time.sleep(0.003)
            process.kill()
            self.killed += 1
        out, _ = process.communicate(timeout=20)
        if process.returncode != 0:
            return None
        return [int(value) for _, value in _LINE.findall(out)]


def _value(words: list[int], register: Register) -> float:
    at = register.address - OUTPUT
    return from_words(register.kind, words[at : at + register.kind.words], "high_first")
