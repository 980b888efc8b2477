"""The outbox: which results are sent next, which are marked as repeated, how far the broker has acknowledged.

Pure: results and acknowledgements go in, marks come out. The caller stores two marks and gives them back after a
restart: `confirmed`, and `attempted`, which must be durable before the result with that number is sent. So a result
that may have reached the broker before a crash is marked when it comes again.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from cmfm_gateway.store import StoredResult


@dataclass(frozen=True, slots=True)
class Outgoing:
    """One result to send. `repeated`: it may have been sent before."""

    stored: StoredResult
    repeated: bool


class Outbox:
    """Sliding window over the numbered results of the store.

    `confirmed`: every number up to it is acknowledged or given up. `attempted`: no number above it was ever sent.
    `window`: results in flight at most.
    """

    def __init__(self, *, confirmed: int, attempted: int, window: int) -> None:
        self.confirmed = confirmed
        self.attempted = max(attempted, confirmed)
        self._dropped = 0
        self._window = window
        self._taken = confirmed
        self._in_flight: deque[int] = deque()
        self._settled: set[int] = set()

    @property
    def room(self) -> int:
        """Results that may be taken now."""
        return self._window - len(self._in_flight)

    @property
    def next_after(self) -> int:
        """The number after which the store is to be read."""
        return self._taken

    def take(self, results: Sequence[StoredResult]) -> list[Outgoing]:
        """Put results in flight, in ascending order, at most `room`. Store `attempted` before they are sent.

        Numbers that the store no longer has are counted (`take_dropped`).
        """
        outgoing = []
        for stored in results[: self.room]:
            self._dropped += stored.number - self._taken - 1
            self._taken = stored.number
            self._in_flight.append(stored.number)
            outgoing.append(Outgoing(stored, repeated=stored.number <= self.attempted))
        self.attempted = max(self.attempted, self._taken)
        return outgoing

    def take_dropped(self) -> int:
        """Results that the store deleted before they were sent, since the last call."""
        dropped, self._dropped = self._dropped, 0
        return dropped

    def settle(self, number: int) -> bool:
        """Note that a number is acknowledged or given up. True if `confirmed` has advanced."""
        if number not in self._in_flight:
            return False
        self._settled.add(number)
        before = self.confirmed
        while self._in_flight and self._in_flight[0] in self._settled:
            self.confirmed = self._in_flight.popleft()
            self._settled.remove(self.confirmed)
        return self.confirmed > before

    def rewind(self) -> None:
        """Start again after `confirmed`, because the connection ended or the broker refused a result."""
        self._in_flight.clear()
        self._settled.clear()
        self._taken = self.confirmed
