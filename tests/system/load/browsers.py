"""Browsers without a screen, many in one process: each opens the live page, follows its events, fetches pictures.

`python -m tests.system.load.browsers ADDRESS COUNT SECONDS [--slow N]` prints JSON: pictures fetched, and how
long after its verdict each came, in milliseconds. A slow browser opens the events and reads nothing.
"""

import argparse
import asyncio
import json
import sys
import time
import urllib.parse
from typing import Any

import numpy as np

ACCEPT = "text/html,application/xhtml+xml"

SETTLE_S = 3.0
"""Parts of the first seconds do not count: a page that was just opened fetches the strip of the last 30 as well."""


class Connection:
    """One HTTP/1.1 connection that is kept."""

    def __init__(self, address: str) -> None:
        place = urllib.parse.urlsplit(address)
        self._host, self._port = place.hostname or "", place.port or 80
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def send(self, path: str) -> asyncio.StreamReader:
        """Send a GET; returns the stream of the answer."""
        if self._streams is None or self._streams[1].is_closing():
            self._streams = await asyncio.open_connection(self._host, self._port)
        reader, writer = self._streams
        head = f"GET {path} HTTP/1.1\r\nHost: {self._host}:{self._port}\r\nAccept: {ACCEPT}\r\n\r\n"
        writer.write(head.encode())
        await writer.drain()
        return reader

    async def get(self, path: str) -> tuple[int, bytes]:
        """Return status and body of an answer with a length."""
        reader = await self.send(path)
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        length = int(head.split("content-length:")[1].split("\r\n")[0])
        return int(head.split()[1]), await reader.readexactly(length)

    def close(self) -> None:
        """Close it."""
        if self._streams is not None:
            self._streams[1].close()


class Browser:
    """One live page: `delays_ms` from each verdict to its picture, as this process's clock has it."""

    def __init__(self, address: str) -> None:
        self.delays_ms: list[float] = []
        self.events = 0
        self.missing = 0
        self._events, self._pictures = Connection(address), Connection(address)

    async def follow(self) -> None:
        """Open the page, then follow until cancelled."""
        await self._pictures.get("/")
        reader = await self._events.send("/live/events")
        await reader.readuntil(b"\r\n\r\n")
        settled_ms = (time.time() + SETTLE_S) * 1000
        while True:
            line = await reader.readline()
            if not line:
                raise ConnectionError("the page closed the stream")
            if line.startswith(b"data: "):
                self.events += 1
                for part in json.loads(line[6:])["parts"]:
                    await self._show(part, counts=part["at"] > settled_ms)

    async def _show(self, part: dict[str, Any], *, counts: bool) -> None:
        if not part["picture"]:
            return
        boot = urllib.parse.quote(part["boot"], safe="")
        status, _ = await self._pictures.get(f"/live/picture?boot={boot}&id={part['id']}")
        self.missing += status != 200
        if counts:
            self.delays_ms.append(time.time() * 1000 - part["at"])

    def close(self) -> None:
        """Close both connections."""
        self._events.close()
        self._pictures.close()


async def stall(address: str) -> None:
    """Open the events and read nothing, until cancelled."""
    connection = Connection(address)
    await connection.send("/live/events")
    try:
        await asyncio.Event().wait()
    finally:
        connection.close()


async def follow_all(address: str, count: int, seconds: float, slow: int) -> dict[str, Any]:
    """Follow with `count` browsers beside `slow` ones; return the figures."""
    browsers = [Browser(address) for _ in range(count)]
    tasks = [asyncio.create_task(browser.follow()) for browser in browsers]
    tasks += [asyncio.create_task(stall(address)) for _ in range(slow)]
    await asyncio.sleep(seconds)
    failed = [task.exception() for task in tasks if task.done()]
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    for browser in browsers:
        browser.close()
    delays = np.array([delay for browser in browsers for delay in browser.delays_ms] or [np.nan])
    return {
        "browsers": count,
        "slow": slow,
        "failed": [repr(error) for error in failed],
        "events": sum(browser.events for browser in browsers),
        "pictures": len(delays),
        "missing": sum(browser.missing for browser in browsers),
        "delay_ms": {name: round(float(np.quantile(delays, q)), 1) for name, q in QUANTILES.items()},
    }


QUANTILES = {"p50": 0.5, "p95": 0.95, "p99": 0.99, "max": 1.0}

if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("address")
    parser.add_argument("count", type=int)
    parser.add_argument("seconds", type=float)
    parser.add_argument("--slow", type=int, default=0)
    given = parser.parse_args()
    figures = asyncio.run(follow_all(given.address, given.count, given.seconds, given.slow))
    sys.stdout.write(json.dumps(figures) + "\n")
