"""Makes the messages of the live page: one for all browsers, a part in it only if a browser does not have it yet."""

import asyncio
import contextlib
import json
import time
from collections import Counter, OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from cmfm_hmi.board.counts import (
    DAY_MIN,
    MINUTE_NS,
    RECOUNT_S,
    Bucket,
    Counts,
    count_ledger,
    shift_start_ns,
    total,
)
from cmfm_hmi.board.facts import camera_facts, latency_facts, part_facts, state_facts
from cmfm_hmi.board.pictures import LivePictures
from cmfm_hmi.errors import PageError
from cmfm_hmi.history import History
from cmfm_hmi.line.live_line import Key, LineSnapshot, LiveLine
from cmfm_hmi.settings.page import PageSection
from cmfm_protocol.wire.result import Result

STRIP: Final = 30
"""Parts of the strip, the newest one included."""

BEAT_S: Final = 1.0
"""Longest time between two messages: ages are those of the server's clock, never of a browser's."""

SETTLE_S: Final = 0.03
"""Wait after a change: a part's maps follow its result within this, and go into the same message."""

HOUR_NS: Final = 60 * MINUTE_NS


class PartText(NamedTuple):
    """A part as JSON, since which version it is so, and whether it has its picture."""

    version: int
    text: str
    pictured: bool


@dataclass(frozen=True, slots=True)
class BoardState:
    """The board at one moment; `parts` has the newest first."""

    version: int = 0
    head: str = "{}"
    parts: tuple[PartText, ...] = ()

    def message(self, seen: int) -> bytes:
        """Return the server-sent event for a browser that has `seen` a version: the head, and parts changed since."""
        parts = ",".join(part.text for part in reversed(self.parts) if part.version > seen)
        return f'data: {{"version":{self.version},"head":{self.head},"parts":[{parts}]}}\n\n'.encode()


@dataclass
class LiveBoard:
    """Follows the line in a task (`run`). `newer` waits for the next state; `watchers` are the open live pages.

    `lock_state` says who owns the line (`LineLock.state`).
    """

    live: LiveLine
    history: History
    pictures: LivePictures
    section: PageSection
    lock_state: Callable[[], str] = lambda: "free"
    counts: Counts = field(default_factory=Counts)
    state: BoardState = field(default_factory=BoardState)
    watchers: int = 0
    closed: bool = False

    def __post_init__(self) -> None:
        self.turned_s = time.monotonic()  # of the newest turn of the loop
        self._changed = asyncio.Event()
        self._watched = asyncio.Event()
        self._texts: OrderedDict[Key, PartText] = OrderedDict()
        self._ledger_problem: dict[str, str] | None = None
        self._next_recount_s = 0.0
        self._recount: asyncio.Task[None] | None = None
        self.live.on_result = self.counts.add

    def start(self) -> None:
        """Start to follow the line; `following` is the task, which ends by an error alone."""
        self.following = asyncio.create_task(self.run(), name="board")

    async def run(self) -> None:
        """Follow the line for ever; without watchers only the counts are kept."""
        seen = -1
        while True:
            self.turned_s = time.monotonic()
            if self.live.failure is not None:
                raise self.live.failure
            self._recount_if_due()
            if not self.watchers:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(BEAT_S):
                        await self._watched.wait()
                if not self.watchers:
                    continue
            if (await self.live.changed(seen, BEAT_S)).version > seen:
                await asyncio.sleep(SETTLE_S)
            snapshot = self.live.snapshot()
            seen = snapshot.version
            self._renew(snapshot)
            await asyncio.sleep(max(1 / self.section.refresh_hz - SETTLE_S, 0))

    async def newer(self, seen: int) -> BoardState | None:
        """Return a state above `seen`, after waiting for it; None once the page ends."""
        while self.state.version <= seen and not self.closed:
            await self._changed.wait()
        return None if self.closed else self.state

    def watch(self) -> None:
        """Count a live page that was opened; `unwatch` counts it off."""
        self.watchers += 1
        self._watched.set()

    def unwatch(self) -> None:
        """Count a live page off."""
        self.watchers -= 1
        if not self.watchers:
            self._watched.clear()

    def close(self) -> None:
        """End every wait."""
        self.closed = True
        self._wake()

    async def end(self) -> None:
        """End everything that runs."""
        self.close()
        self.following.cancel()
        await asyncio.wait({self.following})
        if self._recount is not None:
            self._recount.cancel()
            await asyncio.wait({self._recount})
        await self.pictures.close()

    def _renew(self, snapshot: LineSnapshot) -> None:
        version = self.state.version + 1
        has_maps = frozenset(snapshot.maps)
        parts = tuple(self._part(result, has_maps, version) for result in snapshot.results[:STRIP])
        while len(self._texts) > 2 * STRIP:
            self._texts.popitem(last=False)
        self.state = BoardState(version, json.dumps(self._head(snapshot), ensure_ascii=False), parts)
        self._wake()

    def _part(self, result: Result, has_maps: frozenset[Key], version: int) -> PartText:
        """The part's text: made once, and once more when its maps have come."""
        key = (result.boot_id, result.result_id)
        pictured = key in has_maps and self.pictures.admits(key, result.verdict)
        known = self._texts.get(key)
        if known is not None and (known.pictured or not pictured):
            return known
        text = json.dumps(part_facts(result, pictured=pictured), ensure_ascii=False)
        self._texts[key] = PartText(version, text, pictured)
        return self._texts[key]

    def _head(self, snapshot: LineSnapshot) -> dict[str, object]:
        now_ns = time.time_ns()
        shift_ns = shift_start_ns(now_ns, self.section.shifts)
        by_recipe = self.counts.by_recipe(shift_ns)
        return {
            "time": time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(now_ns / 1e9)),
            "lock": self.lock_state(),
            "line": state_facts(snapshot),
            "cameras": camera_facts(snapshot),
            "latency": latency_facts(snapshot),
            "hour": total(self.counts.by_recipe(now_ns - HOUR_NS).values()),
            "shift": total(by_recipe.values()),
            "shift_since": time.strftime("%H:%M", time.localtime(shift_ns / 1e9)),
            "recipes": by_recipe,
            "from_ledger": self.counts.from_ledger,
            "ledger_problem": self._ledger_problem,
        }

    def _recount_if_due(self) -> None:
        """Start to count again. Raises the error of our own that ended the count before."""
        if self._recount is not None and self._recount.done():
            self._recount.result()
        if time.monotonic() < self._next_recount_s or (self._recount and not self._recount.done()):
            return
        self._next_recount_s = time.monotonic() + RECOUNT_S
        self._recount = asyncio.create_task(self._count_again(), name="recount")

    async def _count_again(self) -> None:
        """Count from the ledger what was decided before the oldest result that the page knows."""
        now_ns = time.time_ns()
        self.counts.forget_before(now_ns // MINUTE_NS - 2 * DAY_MIN)
        self.counts.begin_recount()
        known = self.live.snapshot().results
        until_ns = known[-1].done_ns if known else now_ns
        since_ns = min(shift_start_ns(now_ns, self.section.shifts), now_ns - HOUR_NS)
        try:
            ledger: Counter[Bucket] = await self.history.ask(
                lambda reader: count_ledger(reader, since_ns - MINUTE_NS, until_ns)
            )
        except PageError as error:
            values = {name: str(value) for name, value in error.values.items()}
            self._ledger_problem = values | {"key": error.key}
            return
        self._ledger_problem = None
        self.counts.recounted(ledger, until_ns, known)

    def _wake(self) -> None:
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()
