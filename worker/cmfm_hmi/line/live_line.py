"""The newest of the line: a snapshot that never changes, replaced by the feed's thread, awaited by the event loop."""

import asyncio
import contextlib
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Final

from cmfm_protocol.wire.anomaly_map import AnomalyMaps
from cmfm_protocol.wire.result import Result
from cmfm_protocol.wire.state import WorkerState

RESULTS_KEPT: Final = 1_000
MAPS_KEPT: Final = 60
"""Parts whose maps are kept, about 1 MB each: those of the strip, and as many for browsers that ask late."""

Key = tuple[str, int]
"""Identity of a result: boot_id and result_id."""


@dataclass(frozen=True, slots=True)
class LineSnapshot:
    """The line at one moment.

    `version` grows with each change. `results` has the newest first, at most `RESULTS_KEPT`. `state` is the newest
    worker state and `heard_s` when it came (monotonic); `alive`: one came within the silence limit. `trouble` says why
    the connection was given up. `lost` counts results that will not come. `maps` are the parts whose maps are here,
    oldest first.
    """

    version: int = 0
    results: tuple[Result, ...] = ()
    state: WorkerState | None = None
    heard_s: float = 0.0
    alive: bool = False
    trouble: str = ""
    lost: int = 0
    maps: tuple[Key, ...] = ()


class LiveLine:
    """Holds the newest snapshot and the newest maps. `change` and `keep_maps` are for the feed's thread alone."""

    def __init__(self) -> None:
        self._snapshot = LineSnapshot()
        self._maps: OrderedDict[Key, AnomalyMaps] = OrderedDict()
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._woken = asyncio.Event()
        self.failure: BaseException | None = None  # the error that ended the feed
        self.on_result: Callable[[Result], None] = lambda _: None

    def snapshot(self) -> LineSnapshot:
        """Return the newest snapshot."""
        return self._snapshot

    def maps(self, key: Key) -> AnomalyMaps | None:
        """Return the maps of a part, None if they did not come or were replaced by newer ones."""
        with self._lock:
            return self._maps.get(key)

    def attach(self, loop: asyncio.AbstractEventLoop) -> None:
        """Wake waiting tasks of this loop from now on."""
        self._loop = loop

    async def changed(self, seen: int, timeout_s: float) -> LineSnapshot:
        """Return a snapshot with a version above `seen`, after waiting for it; the newest one after `timeout_s`."""
        until_s = time.monotonic() + timeout_s
        while self._snapshot.version <= seen and (left_s := until_s - time.monotonic()) > 0:
            woken = self._woken
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(left_s):
                    await woken.wait()
        return self._snapshot

    def add_results(self, results: list[Result]) -> None:
        """Add results; they come to stand by the time of their verdict, newest first."""
        known = self._snapshot.results
        newest = [*reversed(results), *known]
        if any(a.done_ns < b.done_ns for a, b in pairwise(newest[: len(results) + 1])):
            newest.sort(key=lambda result: (result.done_ns, result.result_id), reverse=True)
        self.change(results=tuple(newest[:RESULTS_KEPT]))
        for result in results:
            self.on_result(result)

    def keep_maps(self, maps: AnomalyMaps) -> None:
        """Keep the maps of a part, and forget the oldest beyond `MAPS_KEPT`."""
        with self._lock:
            self._maps[maps.boot_id, maps.result_id] = maps
            while len(self._maps) > MAPS_KEPT:
                self._maps.popitem(last=False)
            keys = tuple(self._maps)
        self.change(maps=keys)

    def change(self, **fields: object) -> None:
        """Replace fields of the snapshot and wake those who wait."""
        snapshot = self._snapshot
        self._snapshot = replace(snapshot, version=snapshot.version + 1, **fields)  # type: ignore[arg-type]
        loop = self._loop
        if loop is not None:
            with contextlib.suppress(RuntimeError):  # the loop has ended
                loop.call_soon_threadsafe(self._wake)

    def _wake(self) -> None:
        woken, self._woken = self._woken, asyncio.Event()
        woken.set()
