"""Very many results through the gateway to a PLC over Modbus, while gateway and PLC are killed again and again.

Met if the PLC has every result once by its number, in order, each with the verdict that was published.

    python -m tests.system.long_gateway
    python -m tests.system.long_gateway --results 5000 --kill-s 2 --rate-hz 300
"""

import argparse
import asyncio
import json
import random
import sys
import tempfile
import threading
import time
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import tomli_w
from tests.unit.made.publishing_line import PublishingLine

from cmfm_gateway.grade.plc_client import PlcClient
from cmfm_gateway.grade.report import FailedError
from cmfm_gateway.modbus.registers import BLOCK_REGISTERS, BY_NAME, OUTPUT, Control, Status
from cmfm_gateway.modbus.words import Image
from cmfm_gateway.reasons import VERDICT_NUMBERS
from cmfm_protocol.wire.verdict import Verdict
from cmfm_sim.ports import free_ports
from cmfm_sim.processes import Child, Children, program

VERDICTS = (Verdict.PASS, Verdict.FAIL)
READ = BLOCK_REGISTERS["result"][-1].end - OUTPUT
SETTLE_S = 60.0


@dataclass
class Figures:
    """Findings of the run. `repeated`: results that a PLC read again, with the same number, after a kill."""

    published: int = 0
    taken: int = 0
    lost: int = 0
    twice: int = 0
    wrong: int = 0
    out_of_order: int = 0
    repeated: int = 0
    gateway_kills: int = 0
    plc_kills: int = 0
    seconds: float = 0.0

    @property
    def are_good(self) -> bool:
        return self.taken == self.published and not (
            self.lost or self.twice or self.wrong or self.out_of_order
        )


class Line(threading.Thread):
    """Publishes results and heartbeats at a rate."""

    def __init__(self, line: PublishingLine, results: int, rate_hz: float) -> None:
        super().__init__(daemon=True)
        self._line, self._results, self._rate_hz = line, results, rate_hz
        self.published = 0
        self.stop = threading.Event()

    def run(self) -> None:
        started_s, beat_s = time.monotonic(), 0.0
        while not self.stop.is_set():
            due = min(int((time.monotonic() - started_s) * self._rate_hz), self._results)
            while self.published < due:
                self._line.publish(VERDICTS[self.published % 3 == 0])
                self.published += 1
            if time.monotonic() - beat_s > 0.2:
                self._line.heartbeat()
                beat_s = time.monotonic()
            time.sleep(0.002)


class Plc:
    """Takes results until it is killed: its memory of the handshake is gone then, its record is not."""

    def __init__(self, port: int, figures: Figures, record: dict[int, tuple[int, int]]) -> None:
        self._port, self._figures, self._record = port, figures, record
        self._killed = False
        self._task = asyncio.create_task(self._run())

    async def kill(self) -> None:
        """End it where it is: between two requests, with the connection and whatever bit is set."""
        self._killed = True
        await self._task

    async def _run(self) -> None:
        while not self._killed:
            try:
                async with PlcClient("127.0.0.1", self._port, "high_first") as plc:
                    await plc.control()
                    while not self._killed:
                        await self._turn(plc)
            except FailedError:  # the gateway was killed
                await asyncio.sleep(0.05)

    async def _turn(self, plc: PlcClient) -> None:
        image = Image(OUTPUT, OUTPUT + READ, "high_first")
        image.words = await plc.words(OUTPUT, READ)
        if Status.RESULTS_VALID not in Status(image.number(BY_NAME["status"])):
            await asyncio.sleep(0.001)
            return
        number, trigger, verdict = (
            image.number(BY_NAME[f"result.{name}"])
            for name in ("result_number", "trigger_number", "verdict_on_record")
        )
        self._take(number, trigger, verdict)
        acknowledge: tuple[Callable[[], Awaitable[None]], ...] = (
            lambda: plc.put("ack_number", number),
            lambda: plc.control(Control.RESULTS_ACK),
            plc.control,
        )
        for step in acknowledge:
            if not self._killed:
                await step()

    def _take(self, number: int, trigger: int, verdict: int) -> None:
        newest = next(reversed(self._record), 0)
        if number in self._record:
            self._figures.repeated += 1
            self._figures.wrong += self._record[number] != (trigger, verdict)
        else:
            self._figures.out_of_order += number != newest + 1
            self._record[number] = (trigger, verdict)


async def play(
    folder: Path, line: PublishingLine, children: Children, settings: argparse.Namespace
) -> Figures:
    """Run until every result was taken, or nothing comes any more."""
    figures, record, port = Figures(), dict[int, tuple[int, int]](), free_ports(1)[0]
    config = folder / "gateway.toml"
    modbus = {"enabled": True, "port": port, "buffer": 10_000_000}
    config.write_text(
        tomli_w.dumps({"worker": line.worker_section, "modbus": modbus, "log": {"level": "warning"}})
    )

    def start() -> Child:
        return children.start(
            f"gateway{figures.gateway_kills}", [*program("cmfm-gateway"), "--config", str(config)]
        )

    gateway, plc = start(), Plc(port, figures, record)
    await asyncio.to_thread(line.wait_for_subscriber)
    line.heartbeat()
    await asyncio.sleep(0.3)
    started_s = time.monotonic()
    source = Line(line, settings.results, settings.rate_hz)
    source.start()
    draw = random.Random(settings.seed)
    progress_s, seen = time.monotonic(), 0
    while len(record) < settings.results and time.monotonic() - progress_s < SETTLE_S:
        await asyncio.sleep(settings.kill_s * draw.uniform(0.5, 1.5))
        if len(record) > seen:
            progress_s, seen = time.monotonic(), len(record)
        if draw.random() < 0.6:
            gateway.kill()
            figures.gateway_kills += 1
            gateway = start()
        else:
            await plc.kill()
            figures.plc_kills += 1
            plc = Plc(port, figures, record)
        while settings.results > len(record) == source.published:  # the line is slower than the kills
            await asyncio.sleep(0.01)
    await plc.kill()
    source.stop.set()
    source.join()
    triggers = [trigger for trigger, _ in record.values()]
    figures.published, figures.taken = source.published, len(record)
    figures.lost = figures.published - len(set(triggers))
    figures.twice = len(triggers) - len(set(triggers))
    figures.wrong += sum(
        verdict != VERDICT_NUMBERS[VERDICTS[(trigger - 1) % 3 == 0]] for trigger, verdict in record.values()
    )
    figures.seconds = time.monotonic() - started_s
    return figures


def run(folder: Path, arguments: list[str]) -> Figures:
    """Run with the arguments of the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--results", type=int, default=100_000)
    parser.add_argument("--rate-hz", type=float, default=300.0)
    parser.add_argument("--kill-s", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=0)
    settings = parser.parse_args(arguments)
    with PublishingLine() as line, Children(folder / "logs") as children:
        return asyncio.run(play(folder, line, children, settings))


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as made:
        found = run(Path(made), sys.argv[1:])
    sys.stdout.write(json.dumps(asdict(found), indent=2) + "\n")
    sys.exit(0 if found.are_good else 1)
