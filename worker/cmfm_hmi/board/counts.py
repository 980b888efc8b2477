"""Counts of verdicts by minute and recipe: those of the ledger, and those that came since.

The ledger is counted again every `RECOUNT_S`, so that what was lost on the way to the page is counted, too.
"""

import threading
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from cmfm_protocol.wire.result import Result
from cmfm_protocol.wire.verdict import Verdict
from cmfm_records.ledger import LedgerReader, Question

MINUTE_NS: Final = 60_000_000_000
DAY_MIN: Final = 24 * 60
RECOUNT_S: Final = 60.0

Bucket = tuple[int, str, str]
"""A minute since the epoch, a recipe, a verdict."""


def count_ledger(reader: LedgerReader, since_ns: int, until_ns: int) -> Counter[Bucket]:
    """Count the rows of a ledger whose verdict was given in [since_ns, until_ns)."""
    rows = reader.counts(Question(since_ns=since_ns, until_ns=until_ns), MINUTE_NS)
    return Counter({(slot, recipe, verdict): count for slot, recipe, verdict, count in rows})


def count_results(results: Iterable[Result]) -> Counter[Bucket]:
    """Count results."""
    return Counter((result.done_ns // MINUTE_NS, result.recipe, str(result.verdict)) for result in results)


@dataclass
class Counts:
    """Verdicts of the last day. `add` may be called from any thread.

    Those before `ledger_until_ns` are the ledger's: a result of that time that comes late, by recovery, is one of them.
    """

    from_ledger: bool = False
    ledger_until_ns: int = 0
    _buckets: Counter[Bucket] = field(default_factory=Counter)
    _since_recount: list[Result] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, result: Result) -> None:
        """Count a result that has just come, unless the ledger has counted it."""
        with self._lock:
            self._since_recount.append(result)
            if result.done_ns < self.ledger_until_ns:
                return
            self._buckets[result.done_ns // MINUTE_NS, result.recipe, str(result.verdict)] += 1

    def begin_recount(self) -> None:
        """Results from now on are added to the next `recounted`."""
        with self._lock:
            self._since_recount.clear()

    def recounted(self, ledger: Counter[Bucket], until_ns: int, known: Iterable[Result]) -> None:
        """Replace the counts by those of the ledger before `until_ns`, and of results since then.

        These are the results known after `begin_recount`, and those that have come since.
        """
        counted = {(result.boot_id, result.result_id): result for result in known}
        with self._lock:
            since = {(result.boot_id, result.result_id): result for result in self._since_recount}
            newer = [each for each in (since | counted).values() if each.done_ns >= until_ns]
            self._buckets = ledger + count_results(newer)
            self.ledger_until_ns = until_ns
            self._since_recount.clear()
            self.from_ledger = True

    def forget_before(self, minute: int) -> None:
        """Drop buckets of earlier minutes, and results that no recount will ask for."""
        with self._lock:
            for bucket in [bucket for bucket in self._buckets if bucket[0] < minute]:
                del self._buckets[bucket]
            if not self.from_ledger:
                self._since_recount.clear()

    def by_recipe(self, since_ns: int) -> dict[str, dict[str, int]]:
        """Return recipe → verdict → parts whose verdict was given since then, in whole minutes."""
        first = since_ns // MINUTE_NS
        found: dict[str, dict[str, int]] = {}
        with self._lock:
            buckets = list(self._buckets.items())
        for (minute, recipe, verdict), count in buckets:
            if minute >= first:
                row = found.setdefault(recipe, {str(each): 0 for each in Verdict})
                row[verdict] = row.get(verdict, 0) + count
        return dict(sorted(found.items()))


def total(rows: Iterable[dict[str, int]]) -> dict[str, int]:
    """Return verdict → parts of several rows."""
    return {str(verdict): sum(row.get(str(verdict), 0) for row in rows) for verdict in Verdict}


def shift_start_ns(now_ns: int, starts: Iterable[str]) -> int:
    """Return when the present shift began: the latest of the times of day `starts` ("06:00") in this machine's zone."""
    now_s = now_ns / 1e9
    candidates = []
    for days_ago in (0, 1):
        day = time.localtime(now_s - days_ago * 86_400)
        for start in starts:
            hour, minute = map(int, start.split(":"))
            begin_s = time.mktime((day.tm_year, day.tm_mon, day.tm_mday, hour, minute, 0, 0, 0, -1))
            if begin_s <= now_s:
                candidates.append(begin_s)
    return int(max(candidates)) * 1_000_000_000
