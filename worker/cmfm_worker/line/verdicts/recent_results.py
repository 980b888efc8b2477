"""The newest results as they went over the wire, in memory that is taken at the start and never grows."""

from typing import Final

import numpy as np

RESULT_BYTES: Final = 640
"""Reserved for each: a FAIL with one region. A PASS takes less, each further region some 100 bytes more."""


class RecentResults:
    """Results by id; ids count 1, 2, 3 … without gaps. The last `capacity` of them; fewer where they are longer.

    A ring of bytes, written in turn; the oldest go where a new one needs their place. All of it is touched when it
    is made, so that a worker that runs for months holds the memory it held when it was ready.
    """

    def __init__(self, capacity: int, result_bytes: int = RESULT_BYTES) -> None:
        # One more than asked for: what is left over at the end of the ring is less than one. `full` touches it all.
        self._ring = np.full((capacity + 1) * result_bytes, 0xFF, np.uint8).data
        self._starts = np.full(capacity, -1, np.int64)  # by result_id modulo capacity
        self._ends = np.full(capacity, -1, np.int64)
        self._at = 0  # where the next result begins
        self._oldest_id = 1
        self._newest_id = 0

    def append(self, payload: bytes) -> None:
        """Keep the next result (never empty); one larger than the whole ring costs all kept, itself included."""
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
        """Id of the oldest result still kept (newest_id + 1 when there is none)."""
        return self._oldest_id

    def since(self, result_id: int, limit: int) -> list[bytes]:
        """Up to `limit` results with ids above `result_id`, oldest first."""
        first = max(result_id + 1, self._oldest_id)
        return [self._payload(i) for i in range(first, min(first + limit, self._newest_id + 1))]

    def _payload(self, result_id: int) -> bytes:
        place = result_id % len(self._starts)
        return bytes(self._ring[self._starts[place] : self._ends[place]])

    def _forget(self, start: int, end: int) -> None:
        """Forget the oldest results for as long as they lie in this stretch of the ring."""
        while self._oldest_id < self._newest_id:
            place = self._oldest_id % len(self._starts)
            if self._starts[place] >= end or self._ends[place] <= start:
                return
            self._oldest_id += 1
