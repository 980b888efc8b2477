"""The threads that a line cannot do without, and whether one of them has failed."""

from typing import Protocol


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
