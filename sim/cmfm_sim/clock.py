"""The clocks of the simulator, in one place so that tests can set them."""

import time
from typing import Final, Protocol

NS_PER_MS: Final = 1_000_000
NS_PER_S: Final = 1_000_000_000


class Clock(Protocol):
    """Two readings: one that is written into messages, one that never steps."""

    def realtime_ns(self) -> int:
        """CLOCK_REALTIME, nanoseconds since the epoch."""
        ...

    def monotonic_ns(self) -> int:
        """CLOCK_MONOTONIC, nanoseconds: what triggers are paced by."""
        ...


class SystemClock:
    """The machine's own clocks."""

    def realtime_ns(self) -> int:
        """CLOCK_REALTIME in nanoseconds."""
        return time.time_ns()

    def monotonic_ns(self) -> int:
        """CLOCK_MONOTONIC in nanoseconds."""
        return time.monotonic_ns()
