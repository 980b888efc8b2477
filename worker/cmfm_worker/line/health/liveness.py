"""Who still makes progress: every thread of the line counts the rounds that it has completed.

A thread that hangs completes none, one that has nothing to do completes them all the same. Nothing here runs
by itself, so nothing here can go on while the line stands still.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from cmfm_worker.clock import NS_PER_S, Clock


@dataclass(slots=True)
class CompletedTurns:
    """CompletedTurns completed by one thread, which alone writes; any thread may read."""

    completed: int = 0
    last_ns: int | None = None  # CLOCK_MONOTONIC; None before the beginning and after the end

    def begin(self, now_ns: int) -> None:
        """The first round is under way: from here on it can take too long."""
        self.last_ns = now_ns

    def complete(self, now_ns: int) -> None:
        """One more round has come to its end."""
        self.completed += 1
        self.last_ns = now_ns

    def end(self) -> None:
        """No more will come, and that is as it should be."""
        self.last_ns = None


class LivenessMonitor:
    """The rounds of all threads that the line cannot do without."""

    def __init__(self, threads: Mapping[str, CompletedTurns], *, limit_s: float, clock: Clock) -> None:
        self._threads = dict(threads)
        self._limit_s = limit_s
        self._clock = clock

    def ages_s(self) -> dict[str, float]:
        """Thread → seconds since its last completed round, or since it began; without those that are not running."""
        now_ns = self._clock.monotonic_ns()
        last = {name: rounds.last_ns for name, rounds in self._threads.items()}
        return {name: max(now_ns - ns, 0) / NS_PER_S for name, ns in last.items() if ns is not None}

    def stalled(self) -> list[str]:
        """Threads that have completed nothing for longer than the limit."""
        return [name for name, age_s in self.ages_s().items() if age_s > self._limit_s]
