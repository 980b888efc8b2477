"""Clocks of cameras, simulator and benchmark, in one place so that tests can set them."""

import time
from typing import Final, Protocol

NS_PER_MS: Final = 1_000_000
NS_PER_S: Final = 1_000_000_000


class Clock(Protocol):
    """Two readings in nanoseconds: one that is written into messages, and one that never steps."""

    def realtime_ns(self) -> int:
        """CLOCK_REALTIME, nanoseconds since 1970-01-01 UTC."""
        ...

    def monotonic_ns(self) -> int:
        """CLOCK_MONOTONIC, nanoseconds; triggers and heartbeats are scheduled by it."""
        ...


class SystemClock:
    """The machine's own clocks."""

    def realtime_ns(self) -> int:
        """CLOCK_REALTIME in nanoseconds."""
        return time.time_ns()

    def monotonic_ns(self) -> int:
        """CLOCK_MONOTONIC in nanoseconds."""
        return time.monotonic_ns()
