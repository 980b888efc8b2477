"""The clocks of the line, in one place so that tests can set them."""

import time
from typing import Final, Protocol

NS_PER_MS: Final = 1_000_000
NS_PER_S: Final = 1_000_000_000


class Clock(Protocol):
    """Two readings: one to be compared between machines, one that never steps."""

    def realtime_ns(self) -> int:
        """CLOCK_REALTIME, nanoseconds since the epoch: what is written into results."""
        ...

    def monotonic_ns(self) -> int:
        """CLOCK_MONOTONIC, nanoseconds: what deadlines are kept by."""
        ...


class SystemClock:
    """The machine's own clocks."""

    def realtime_ns(self) -> int:
        """CLOCK_REALTIME in nanoseconds."""
        return time.time_ns()

    def monotonic_ns(self) -> int:
        """CLOCK_MONOTONIC in nanoseconds."""
        return time.monotonic_ns()


def trigger_age_ns(trigger_ns: int, name: str, clock: Clock, *, tolerance_ns: int) -> int | None:
    """How long ago the trigger fired, in nanoseconds, as the sender's clock tells it (WIRE.md, clocks).

    None where the sender names no comparable clock (`none`) or claims a trigger further in the future than
    `tolerance_ns`: the caller then counts from reception. A small lead is clock skew and counts as zero.
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
