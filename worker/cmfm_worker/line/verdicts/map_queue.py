"""Maps that wait until no verdict is due: sending one takes up to 2 ms."""

from collections import deque
from typing import Final

from cmfm_protocol.clock import NS_PER_MS
from cmfm_protocol.wire.result import Result
from cmfm_worker.line.messages import PartMaps

MAPS_WAITING: Final = 32
"""Maps, one megabyte each, that may wait. Beyond it the oldest is dropped."""

MAP_NS: Final = 2 * NS_PER_MS
"""Longest time that sending a map takes: none is sent when the next deadline is nearer than that."""


class MapQueue:
    """Waiting maps, oldest first."""

    def __init__(self) -> None:
        self._waiting: deque[tuple[Result, PartMaps]] = deque()

    def __len__(self) -> int:
        return len(self._waiting)

    def put(self, result: Result, maps: PartMaps) -> bool:
        """Add a part's maps. Returns False if the oldest had to be dropped for it."""
        full = len(self._waiting) == MAPS_WAITING
        if full:
            self._waiting.popleft()
        self._waiting.append((result, maps))
        return not full

    def has_time(self, now_ns: int, next_deadline_ns: int | None) -> bool:
        """Return whether a map waits that can be sent before the next deadline."""
        return bool(self._waiting) and (next_deadline_ns is None or next_deadline_ns - now_ns >= MAP_NS)

    def take(self) -> tuple[Result, PartMaps]:
        """Remove and return the oldest. Raises IndexError if no map waits."""
        return self._waiting.popleft()
