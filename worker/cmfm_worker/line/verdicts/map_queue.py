"""Anomaly maps that wait until there is time to send them: after all verdicts that are due, and never in their way."""

from collections import deque
from collections.abc import Callable
from typing import Final

import structlog

from cmfm_protocol.wire.errors import LocalProtocolError
from cmfm_protocol.wire.result import Result
from cmfm_worker.clock import NS_PER_MS
from cmfm_worker.line.messages import PartMaps
from cmfm_worker.line.verdicts.publisher import Publisher

MAPS_WAITING: Final = 32
"""Maps, a megabyte each, that wait until there is time to send them; beyond it the oldest are dropped."""

MAP_NS: Final = 2 * NS_PER_MS
"""What a map takes to be sent at most: none is begun when a deadline is that near."""


class MapQueue:
    """The desk's maps, oldest first. `notice` counts those that were dropped or cannot be sent."""

    def __init__(self, publisher: Publisher, notice: Callable[[str], None]) -> None:
        self._publisher = publisher
        self._notice = notice
        self._waiting: deque[tuple[Result, PartMaps]] = deque()
        self._log = structlog.get_logger("desk")

    def __len__(self) -> int:
        return len(self._waiting)

    def keep(self, result: Result, maps: PartMaps) -> None:
        """Send a map later, after every verdict that is waiting."""
        if len(self._waiting) == MAPS_WAITING:
            self._waiting.popleft()
            self._notice("map_dropped")
        self._waiting.append((result, maps))

    def has_time(self, now_ns: int, next_deadline_ns: int | None) -> bool:
        """Whether a map waits and can be sent before the next deadline."""
        return bool(self._waiting) and (next_deadline_ns is None or next_deadline_ns - now_ns >= MAP_NS)

    def send_one(self) -> None:
        """Send the oldest; there must be one."""
        result, maps = self._waiting.popleft()
        try:
            self._publisher.maps(result, maps)
        except LocalProtocolError as error:
            self._notice("map_not_sendable")
            self._log.error("map_not_sendable", map_ref=result.map_ref, detail=str(error))
