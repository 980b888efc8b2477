"""The input's thread: opens the input, takes its edges, and opens it again when it is gone."""

import queue
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from cmfm_cameras.photo_eye.edges import EdgeInput, Edges, InputLostError

WAIT_S: Final = 0.1
FIRST_PAUSE_S: Final = 0.25
JOIN_LIMIT_S: Final = 3.0


@dataclass(frozen=True, slots=True)
class InputOpened:
    """The input was opened."""

    name: str


@dataclass(frozen=True, slots=True)
class InputLost:
    """The input is gone, or could not be opened; it is tried again."""

    detail: str
    was_open: bool


@dataclass(frozen=True, slots=True)
class InputEnded:
    """The thread ended because of an error of ours."""

    error: Exception


InputEvent = InputOpened | InputLost | InputEnded | Edges


class InputThread:
    """Runs one input; `next_event` gives what happened, in order."""

    def __init__(self, open_input: Callable[[], EdgeInput], *, reopen_max_s: float) -> None:
        self._open_input, self._reopen_max_s = open_input, reopen_max_s
        self._events: queue.SimpleQueue[InputEvent] = queue.SimpleQueue()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="input", daemon=True)

    def start(self) -> None:
        """Start the thread, which opens the input."""
        self._thread.start()

    def next_event(self, timeout_s: float) -> InputEvent | None:
        """Return the next event, or None if none came in time."""
        try:
            return self._events.get(timeout=timeout_s)
        except queue.Empty:
            return None

    def stop(self) -> None:
        """End the thread, which closes the input."""
        self._stopping.set()
        if self._thread.ident is not None:
            self._thread.join(JOIN_LIMIT_S)

    def _run(self) -> None:
        try:
            self._openings()
        except Exception as error:  # noqa: BLE001 (the main thread raises it)
            self._events.put(InputEnded(error))

    def _openings(self) -> None:
        pause_s = FIRST_PAUSE_S
        while not self._stopping.is_set():
            was_open = False
            try:
                opened = self._open_input()
                was_open = True
                try:
                    self._events.put(InputOpened(opened.name))
                    while not self._stopping.is_set():
                        for edges in opened.edges(WAIT_S):
                            self._events.put(edges)
                        pause_s = FIRST_PAUSE_S
                finally:
                    opened.close()
            except InputLostError as error:
                self._events.put(InputLost(str(error), was_open))
                self._stopping.wait(pause_s)
                pause_s = min(2 * pause_s, self._reopen_max_s)
