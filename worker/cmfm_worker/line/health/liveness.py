"""Liveness: finds threads of the line that have failed, and threads that complete no turn any more.

A thread that hangs completes no turn; one that has nothing to do still completes turns. No code here runs by itself,
so it cannot report a line as alive that stands still.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from cmfm_protocol.clock import NS_PER_S, Clock


@dataclass(slots=True)
class CompletedTurns:
    """Turns completed by one thread. Only that thread writes; any thread may read."""

    completed: int = 0
    last_ns: int | None = None  # CLOCK_MONOTONIC; None before the beginning and after the end

    def begin(self, now_ns: int) -> None:
        """Start the first turn: from now on it can take too long."""
        self.last_ns = now_ns

    def complete(self, now_ns: int) -> None:
        """Count one more turn."""
        self.completed += 1
        self.last_ns = now_ns

    def end(self) -> None:
        """Note that the thread has ended as planned: it can no longer stall."""
        self.last_ns = None


class LivenessMonitor:
    """Watches the turns of all threads that the line needs."""

    def __init__(self, threads: Mapping[str, CompletedTurns], *, limit_s: float, clock: Clock) -> None:
        self._threads = dict(threads)
        self._limit_s = limit_s
        self._clock = clock

    def ages_s(self) -> dict[str, float]:
        """Return thread → seconds since its last completed turn, or since it began; running threads only."""
        now_ns = self._clock.monotonic_ns()
        last = {name: turns.last_ns for name, turns in self._threads.items()}
        return {name: max(now_ns - ns, 0) / NS_PER_S for name, ns in last.items() if ns is not None}

    def stalled(self) -> list[str]:
        """Return the threads that have completed no turn for longer than the limit."""
        return [name for name, age_s in self.ages_s().items() if age_s > self._limit_s]


class LineThread(Protocol):
    """A thread that keeps the exception that ended it."""

    @property
    def failure(self) -> BaseException | None:
        """The exception that ended the thread, or None."""
        ...

    @property
    def running(self) -> bool:
        """Whether the thread is alive."""
        ...


class LineThreads:
    """Threads by name, added as they are made."""

    def __init__(self) -> None:
        self._threads: dict[str, LineThread] = {}

    def add(self, name: str, thread: LineThread) -> None:
        """Watch a thread from now on."""
        self._threads[name] = thread

    def running(self, *names: str) -> bool:
        """Whether one of these threads is alive; a thread that was never added is not."""
        return any(self._threads[name].running for name in names if name in self._threads)

    def check(self) -> None:
        """Raise RuntimeError naming the thread if one has failed."""
        for name, thread in self._threads.items():
            if thread.failure is not None:
                raise RuntimeError(f"the {name} thread failed") from thread.failure
