"""A gateway as its adapters see it: the real store on a file, a view that tests change, a worker that tests script."""

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from cmfm_client import Received
from cmfm_client.errors import RefusedError
from cmfm_gateway.gateway import Adapter
from cmfm_gateway.line_view import Cause, LineView
from cmfm_gateway.settings.model import GatewaySettings
from cmfm_gateway.store import ResultStore, StoredResult
from cmfm_protocol.wire.result import Result
from cmfm_protocol.wire.state import WorkerState

STATE = WorkerState(
    boot_id="b",
    phase="ready",
    uptime_s=12.5,
    counts={"triggers": 3, "pass": 1, "fail": 1, "undecided": 0, "fault": 1},
    faults_by_reason={"lost": 1},
    sources=(),
    queue_free=7,
    in_flight=0,
    recipes=("praline", "circuit"),
    device="cpu",
    sent_ns=1,
)
VALID = LineView(valid=True, cause=Cause.NONE, state=STATE, lost=0)
SILENT = LineView(valid=False, cause=Cause.SILENCE, state=STATE, lost=0)


class MadeGateway:
    """Duck type of `cmfm_gateway.gateway.Gateway`."""

    def __init__(self, store: Path, view: LineView = VALID, **sections: dict[str, Any]) -> None:
        self.settings = GatewaySettings.model_validate(sections)
        self.store = ResultStore(store)
        self.view = view
        self.loaded: list[str] = []
        self.recipes = {"praline", "circuit"}
        self.counts: Counter[tuple[str, str]] = Counter()
        self._changes = 0
        self._changed = asyncio.Event()

    def add(self, *results: Result, late: bool = False) -> list[StoredResult]:
        """Store results as if they had just arrived; `late`: they were recovered."""
        now_ns = None if late else time.time_ns()
        stored = self.store.append_all([Received(result, now_ns) for result in results])
        self.touch()
        return stored

    def show(self, view: LineView) -> None:
        """Change the line's view."""
        self.view = view
        self.touch()

    def touch(self) -> None:
        """Wake whoever waits in `changed`."""
        self._changes += 1
        self._changed.set()
        self._changed = asyncio.Event()

    def count(self, adapter: str, what: str, by: int = 1) -> None:
        self.counts[adapter, what] += by

    async def changed(self, seen: int) -> int:
        while self._changes == seen:
            await self._changed.wait()
        return self._changes

    async def load_recipe(self, name: str) -> None:
        if name not in self.recipes:
            raise RefusedError(f"no recipe {name!r}")
        self.loaded.append(name)

    async def announce(self, camera: str, part_id: str, recipe: str) -> None:
        raise NotImplementedError

    async def drain(self) -> None:
        raise NotImplementedError

    async def status(self) -> WorkerState:
        return STATE


@contextlib.asynccontextmanager
async def running_adapter(
    adapter: Adapter, gateway: MadeGateway, end_limit_s: float
) -> AsyncIterator[MadeGateway]:
    """Run an adapter for the length of the block; it must still run then, and end within `end_limit_s`."""
    task = asyncio.create_task(adapter.run(gateway))  # type: ignore[arg-type]
    try:
        yield gateway
        assert not task.done()
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.wait_for(task, end_limit_s)
        gateway.store.close()
