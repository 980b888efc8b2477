"""Blocks of slots: asked once, kept while they are true, and asked newest first until the patience is spent."""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from cmfm_hmi.errors import PageError
from cmfm_records.trend import Slots

NS_PER_S: Final = 1_000_000_000
BLOCK_SLOTS: Final = 12

SETTLED_NS: Final = 60 * NS_PER_S
"""A block that ended so long ago has all its rows: the ledger is at most seconds behind."""

KEPT_FOR_S: Final = 3600.0
"""Time after which a block is asked again: a worker that was killed brings rows later, and old ones are deleted."""

OPEN_FOR_S: Final = 5.0
"""The same for the block that still grows."""

KEPT_BLOCKS: Final = 256
"""Blocks kept, about 100 kB each at most."""

FAILED_FOR_S: Final = 60.0
"""Time for which a block that could not be read is not asked again: a slow disk is not asked all the time."""

PATIENCE_S: Final = 2.0
"""Time that one request asks for blocks; the next one goes on."""


@dataclass(frozen=True, slots=True)
class Range:
    """A range of time that ends now: slots of `slot_s`, and windows of `window_slots` slots for rejects and drift."""

    name: str
    slot_s: int
    slots: int
    window_slots: int

    @property
    def slot_ns(self) -> int:
        """The length of a slot."""
        return self.slot_s * NS_PER_S

    def start_ns(self, now_ns: int) -> int:
        """Return the start of the first slot; the last one is the slot of `now_ns`."""
        return (now_ns // self.slot_ns + 1 - self.slots) * self.slot_ns


RANGES: Final = {
    each.name: each
    for each in (
        Range("hour", 30, 120, 10),
        Range("shift", 180, 160, 10),
        Range("day", 600, 144, 6),
        Range("week", 3600, 168, 12),
    )
}
"""The ranges of the page, windows of 5 min, 30 min, 1 h and 12 h. A shift has 8 hours."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """A question to the ledger: rows of a recipe ("" for all), with the models whose rows may name none.

    `model` is the one whose scores are compared with nominal ones; "" for none.
    """

    recipe: str = ""
    models: tuple[str, ...] = ()
    model: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class Block:
    """The slots of one block, and when (monotonic) they must be asked again."""

    slots: Slots
    until_s: float


@dataclass(frozen=True, slots=True, eq=False)
class Found:
    """Blocks by their start. `more`: older ones are missing that the next request will bring."""

    blocks: dict[int, Slots]
    more: bool


AskBlock = Callable[[Wanted, int, int], Awaitable[Slots]]
"""Asks the ledger for `BLOCK_SLOTS` slots: of whom, from when (ns), of which length (ns)."""


class TrendBlocks:
    """Blocks of all ranges and recipes. One request asks at a time, so that twenty browsers cost as much as one."""

    def __init__(
        self,
        ask: AskBlock,
        *,
        clock_ns: Callable[[], int] = time.time_ns,
        monotonic_s: Callable[[], float] = time.monotonic,
        patience_s: float = PATIENCE_S,
    ) -> None:
        self._ask = ask
        self._clock_ns = clock_ns
        self._monotonic_s = monotonic_s
        self._patience_s = patience_s
        self._blocks: OrderedDict[tuple[Wanted, int, int], Block] = OrderedDict()
        self._failed: dict[tuple[Wanted, int, int], float] = {}
        self._asking = asyncio.Lock()

    async def read(self, wanted: Wanted, over: Range, now_ns: int) -> Found:
        """Return the newest blocks of a range, as far back as patience and disk allow; at least one more than before.

        Raises PageError, as asking does, if the newest block cannot be read.
        """
        start_ns, block_ns = over.start_ns(now_ns), over.slot_ns * BLOCK_SLOTS
        starts = range(start_ns // block_ns * block_ns, now_ns + 1, block_ns)
        found: dict[int, Slots] = {}
        async with self._asking:
            until_s = self._monotonic_s() + self._patience_s
            for start in reversed(starts):
                key = (wanted, over.slot_ns, start)
                slots = self._kept(key)
                if slots is None and self._monotonic_s() >= until_s:
                    return Found(found, more=True)
                if slots is None and self._failed.get(key, 0.0) > self._monotonic_s():
                    break
                try:
                    found[start] = slots or await self._asked(key, start + block_ns)
                except PageError:
                    if not found:
                        raise
                    self._failed = {key: self._monotonic_s() + FAILED_FOR_S}
                    break
        return Found(found, more=False)

    async def _asked(self, key: tuple[Wanted, int, int], end_ns: int) -> Slots:
        wanted, slot_ns, start_ns = key
        slots = await self._ask(wanted, start_ns, slot_ns)
        self._keep(key, slots, end_ns)
        return slots

    def _kept(self, key: tuple[Wanted, int, int]) -> Slots | None:
        block = self._blocks.get(key)
        if block is None or self._monotonic_s() >= block.until_s:
            return None
        self._blocks.move_to_end(key)
        return block.slots

    def _keep(self, key: tuple[Wanted, int, int], slots: Slots, end_ns: int) -> None:
        settled = end_ns + SETTLED_NS <= self._clock_ns()
        self._blocks[key] = Block(slots, self._monotonic_s() + (KEPT_FOR_S if settled else OPEN_FOR_S))
        self._blocks.move_to_end(key)
        while len(self._blocks) > KEPT_BLOCKS:
            self._blocks.popitem(last=False)
