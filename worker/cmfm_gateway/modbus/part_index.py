"""Part number → newest result: a PLC asks by number, and the rule that makes the number cannot be turned round."""

from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from cmfm_gateway.store import ResultStore, StoredResult

PARTS: Final = 100_000
"""Part numbers that are held, the newest ones."""

LOOK_BACK: Final = 10_000
"""Results of before this start that are looked at."""


class PartIndex:
    """Follows a store."""

    def __init__(self, store: ResultStore, part_number: Callable[[str], int]) -> None:
        self._store, self._part_number = store, part_number
        self._seen = max(store.newest() - LOOK_BACK, 0)
        self._numbers: OrderedDict[int, int] = OrderedDict()

    def newest(self, part: int) -> StoredResult | None:
        """Return the newest result of a part number; None without one, or if it is too long ago."""
        self._follow()
        return self._store.by_number(self._numbers[part]) if part in self._numbers else None

    def _follow(self) -> None:
        while found := self._store.after(self._seen):
            for stored in found:
                part = self._part_number(stored.result.part_id)
                self._numbers.pop(part, None)
                self._numbers[part] = stored.number
            self._seen = found[-1].number
        while len(self._numbers) > PARTS:
            self._numbers.popitem(last=False)
