"""The newest results as they were sent, in memory of a fixed size that is taken at the start."""

from typing import Final

import numpy as np

RESULT_BYTES: Final = 640
"""Bytes reserved per result: a FAIL with one region. A PASS is shorter; each further region adds about 100."""


class RecentResults:
    """The last `capacity` results by id; fewer if they are longer than reserved. Ids count 1, 2, 3 … without gaps.

    A ring of bytes: a new result overwrites the oldest. All of it is written once at the start, so that the
    process never needs more memory for it later.
    """

    def __init__(self, capacity: int, result_bytes: int = RESULT_BYTES) -> None:
        # One result more than asked for: the unused rest at the end of the ring is shorter than one result.
        self._ring = np.full((capacity + 1) * result_bytes, 0xFF, np.uint8).data  # `full` touches every page
        self._starts = np.full(capacity, -1, np.int64)  # by result_id modulo capacity
        self._ends = np.full(capacity, -1, np.int64)
        self._at = 0  # where the next result begins
        self._oldest_id = 1
        self._newest_id = 0

    def append(self, payload: bytes) -> None:
        """Keep the next result (never empty). One larger than the whole ring is not kept, and empties the ring."""
        size = len(payload)
        self._newest_id += 1
        if size > len(self._ring):
            self._oldest_id = self._newest_id + 1
            return
        if self._at + size > len(self._ring):
            self._forget(self._at, len(self._ring))
            self._at = 0
        self._forget(self._at, self._at + size)
        place = self._newest_id % len(self._starts)
        self._oldest_id = max(self._oldest_id, self._newest_id - len(self._starts) + 1)
        self._ring[self._at : self._at + size] = payload
        self._starts[place], self._ends[place] = self._at, self._at + size
        self._at += size

    @property
    def newest_id(self) -> int:
        """Id of the newest result, 0 before the first."""
        return self._newest_id

    @property
    def oldest_id(self) -> int:
        """Id of the oldest result that is still kept, `newest_id + 1` if there is none."""
        return self._oldest_id

    def since(self, result_id: int, limit: int) -> list[bytes]:
        """Return up to `limit` results with ids above `result_id`, oldest first."""
        first = max(result_id + 1, self._oldest_id)
        return [self._payload(i) for i in range(first, min(first + limit, self._newest_id + 1))]

    def _payload(self, result_id: int) -> bytes:
        place = result_id % len(self._starts)
        return bytes(self._ring[self._starts[place] : self._ends[place]])

    def _forget(self, start: int, end: int) -> None:
        """Forget the oldest results that lie between `start` and `end` in the ring."""
        while self._oldest_id < self._newest_id:
            place = self._oldest_id % len(self._starts)
            if self._starts[place] >= end or self._ends[place] <= start:
                return
            self._oldest_id += 1
