"""Time from a verdict on ZeroMQ to its event at an OPC UA client, on one host: gateway in a process of its own.

    python -m tests.system.load.opcua_latency
    python -m tests.system.load.opcua_latency --parts 2000 --rate-hz 20

The client asks for the shortest publishing interval, 10 ms. Line and client are one process: one clock measures.
"""

import argparse
import asyncio
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from tests.system.load.opcua_gateway import OpcUaGateway, Record, opcua_gateway
from tests.unit.made.publishing_line import PublishingLine

SETTLE_S = 5.0
WARM_UP_PARTS = 20


async def measure(gateway: OpcUaGateway, line: PublishingLine, parts: int, rate_hz: float) -> dict[str, Any]:
    """Publish at the rate and return the percentiles in milliseconds."""
    record, sent_ns = Record(), {}
    async with gateway.client() as client:
        await record.subscribe(client)
        begun_s = time.monotonic()
        for number in range(parts + WARM_UP_PARTS):
            await asyncio.sleep(max(begun_s + number / rate_hz - time.monotonic(), 0))
            if number % int(max(rate_hz // 2, 1)) == 0:
                line.heartbeat()
            part = f"part-{number}"
            sent_ns[part] = time.time_ns()
            line.publish(part_id=part)
        await asyncio.sleep(SETTLE_S)
    measured = [f"part-{number}" for number in range(WARM_UP_PARTS, parts + WARM_UP_PARTS)]
    took_ms = [(record.came_ns[part] - sent_ns[part]) / 1e6 for part in measured if part in record.came_ns]
    p50, p99 = np.percentile(took_ms, [50, 99])
    return {
        "parts": parts,
        "rate_hz": rate_hz,
        "events": len(took_ms),
        "p50_ms": round(float(p50), 2),
        "p99_ms": round(float(p99), 2),
        "max_ms": round(max(took_ms), 2),
    }


def main() -> None:
    """Measure and print one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--parts", type=int, default=1000)
    parser.add_argument("--rate-hz", type=float, default=20.0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, opcua_gateway(Path(folder)) as (gateway, line):
        line.heartbeat()
        print(json.dumps(asyncio.run(measure(gateway, line, options.parts, options.rate_hz))))


if __name__ == "__main__":
    main()
