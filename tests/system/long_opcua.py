"""Very many results through the gateway to an OPC UA client, while gateway and client are killed again and again.

Met if the client has every result once by its number, each with the part and the verdict that were published.

    python -m tests.system.long_opcua
    python -m tests.system.long_opcua --results 5000 --kill-s 4 --rate-hz 200
"""

import argparse
import asyncio
import contextlib
import json
import random
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from asyncua import ua
from tests.system.load.opcua_gateway import OpcUaGateway, Record, opcua_gateway
from tests.unit.made.publishing_line import PublishingLine

from cmfm_protocol.wire.verdict import Verdict

VERDICTS = (Verdict.PASS, Verdict.FAIL)
TURN_S = 0.2


@dataclass
class Figures:
    """Findings of the run. `lost`, `wrong` and `twice` must be 0."""

    published: int = 0
    recorded: int = 0
    by_event: int = 0
    lost: int = 0
    twice: int = 0
    wrong: int = 0
    gateway_kills: int = 0
    client_kills: int = 0
    seconds: float = 0.0

    @property
    def met(self) -> bool:
        """True if every result is there once."""
        return self.published > 0 and not (self.lost or self.twice or self.wrong)


async def run(
    gateway: OpcUaGateway, line: PublishingLine, results: int, rate_hz: float, kill_s: float
) -> Figures:
    """Publish, kill, and compare the client's record with what was published."""
    figures, record = Figures(), Record()
    sent: dict[str, str] = {}
    begun_s = time.monotonic()
    reading = asyncio.create_task(_keep_record(gateway, record, figures, kill_s))
    next_kill_s = begun_s + kill_s
    for number in range(results):
        await asyncio.sleep(max(begun_s + number / rate_hz - time.monotonic(), 0))
        made = line.publish(VERDICTS[number % 2], part_id=f"part-{number}")
        sent[made.part_id] = str(made.verdict)
        if number % max(int(rate_hz // 2), 1) == 0:
            line.heartbeat()
        if kill_s and time.monotonic() > next_kill_s:
            gateway.kill()
            gateway.start()
            figures.gateway_kills += 1
            next_kill_s = time.monotonic() + kill_s * random.uniform(0.7, 1.3)
    await _until_complete(record, line, results)
    reading.cancel()
    figures.published, figures.recorded = len(sent), len(record.parts)
    figures.by_event = len(record.came_ns)
    figures.lost = len(set(sent) - set(record.parts.values()))
    figures.twice = len(record.parts) - len(set(record.parts.values()))
    figures.wrong = record.contradictions + sum(
        sent[part] != record.verdicts[number] for number, part in record.parts.items()
    )
    figures.seconds = round(time.monotonic() - begun_s, 1)
    return figures


async def _until_complete(record: Record, line: PublishingLine, results: int, limit_s: float = 90.0) -> None:
    end_s = time.monotonic() + limit_s
    while record.whole < results and time.monotonic() < end_s:
        line.heartbeat()
        await asyncio.sleep(0.5)


async def _keep_record(gateway: OpcUaGateway, record: Record, figures: Figures, kill_s: float) -> None:
    """Connect, subscribe, ask for what was missed; again after each end. Now and then the client itself ends."""
    while True:
        with contextlib.suppress(OSError, TimeoutError, ua.UaError):
            async with gateway.client() as client:
                await record.subscribe(client)
                ends_s = time.monotonic() + (kill_s * random.uniform(1.5, 2.5) if kill_s else 1e9)
                while time.monotonic() < ends_s:
                    await record.catch_up(client)
                    await asyncio.sleep(TURN_S)
                client.disconnect_socket()  # a client that is cut off
                figures.client_kills += 1


def main() -> int:
    """Run and print one line of JSON; 1 if a result is lost, twice or wrong."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--results", type=int, default=100_000)
    parser.add_argument("--rate-hz", type=float, default=200.0)
    parser.add_argument("--kill-s", type=float, default=20.0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, opcua_gateway(Path(folder)) as (gateway, line):
        line.heartbeat()
        figures = asyncio.run(run(gateway, line, options.results, options.rate_hz, options.kill_s))
    print(json.dumps(asdict(figures)))
    return 0 if figures.met else 1


if __name__ == "__main__":
    sys.exit(main())
