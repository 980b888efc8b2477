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


def trigger_age_ns(trigger_ns: int, name: str, clock: Clock, *, tolerance_ns: int) -> int | None:
    """Return how long ago the trigger fired, in nanoseconds, by the sender's clock `name` (WIRE.md, clocks).

    Returns None if the sender's clock cannot be compared (`none`), or if the trigger lies further in the future than
    `tolerance_ns`; the caller then counts from reception. A small lead is clock skew and counts as zero.
    """
    if name == "realtime":
        age_ns = clock.realtime_ns() - trigger_ns
    elif name == "monotonic":
        age_ns = clock.monotonic_ns() - trigger_ns
    else:
        return None
    if age_ns < -tolerance_ns:
        return None
    return max(age_ns, 0)
