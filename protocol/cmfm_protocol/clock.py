"""The clocks of cameras, worker, simulator and benchmark, in one place so that tests can set them. Loads no sockets."""

import time
from typing import Final, Protocol

NS_PER_MS: Final = 1_000_000
NS_PER_S: Final = 1_000_000_000


class Clock(Protocol):
    """Two readings in nanoseconds: one that can be compared between machines, and one that never steps."""

    def realtime_ns(self) -> int:
        """Return CLOCK_REALTIME, nanoseconds since 1970-01-01 UTC: the time in messages."""
        ...

    def monotonic_ns(self) -> int:
        """Return CLOCK_MONOTONIC, nanoseconds: the time of deadlines, triggers and heartbeats."""
        ...


class SystemClock:
    """The machine's own clocks."""

    def realtime_ns(self) -> int:
        """Return CLOCK_REALTIME in nanoseconds."""
        return time.time_ns()

    def monotonic_ns(self) -> int:
        """Return CLOCK_MONOTONIC in nanoseconds."""
        return time.monotonic_ns()
