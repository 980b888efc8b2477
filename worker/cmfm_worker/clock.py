"""The clocks of the line; tests replace them."""

import time
from typing import Final, Protocol

NS_PER_MS: Final = 1_000_000
NS_PER_S: Final = 1_000_000_000


class Clock(Protocol):
    """Two clocks: one that can be compared between machines, and one that never steps."""

    def realtime_ns(self) -> int:
        """Return CLOCK_REALTIME in nanoseconds since the epoch: the time in results."""
        ...

    def monotonic_ns(self) -> int:
        """Return CLOCK_MONOTONIC in nanoseconds: the time of deadlines."""
        ...


class SystemClock:
    """The machine's own clocks."""

    def realtime_ns(self) -> int:
        """Return CLOCK_REALTIME in nanoseconds."""
        return time.time_ns()

    def monotonic_ns(self) -> int:
        """Return CLOCK_MONOTONIC in nanoseconds."""
        return time.monotonic_ns()


def trigger_age_ns(trigger_ns: int, name: str, clock: Clock) -> int | None:
    """Return how long ago the trigger fired, in nanoseconds, by the sender's clock `name` (WIRE.md, clocks).

    Negative for a trigger in the future. None if the sender's clock cannot be compared (`none`).
    """
    if name == "realtime":
        return clock.realtime_ns() - trigger_ns
    if name == "monotonic":
        return clock.monotonic_ns() - trigger_ns
    return None
