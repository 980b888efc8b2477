"""A gateway in a test's own event loop, over the sockets of `PublishingLine`, with whatever adapters the test gives."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any

from tests.unit.made.ended_task import end
from tests.unit.made.publishing_line import PublishingLine

from cmfm_gateway.gateway import Adapter, Gateway
from cmfm_gateway.settings.model import GatewaySettings


def gateway_settings(line: PublishingLine, folder: Path, **sections: Any) -> GatewaySettings:
    """Settings of a gateway that reads `line` and stores under `folder`; `sections` are further ones."""
    store = {"store": str(folder / "gateway.sqlite")} | sections.pop("gateway", {})
    worker = line.worker_section | sections.pop("worker", {})
    return GatewaySettings.model_validate({"gateway": store, "worker": worker, **sections})


@contextlib.asynccontextmanager
async def running(settings: GatewaySettings, adapters: Sequence[Adapter]) -> AsyncIterator[Gateway]:
    """Run a gateway for the length of the block."""
    gateway = Gateway(settings)
    task = asyncio.create_task(gateway.run(adapters))
    try:
        await asyncio.sleep(0)
        yield gateway
    finally:
        await end(task)


async def until(condition: Callable[[], object], limit_s: float = 5.0) -> None:
    """Wait until a condition holds; fail after `limit_s`."""
    end_s = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < end_s, "the condition never held"
        await asyncio.sleep(0.005)
