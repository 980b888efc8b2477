"""Shows the demo's steps and verdicts on a terminal, or line by line in a pipe."""

import time
from collections.abc import Callable
from typing import Final

from rich.console import Console
from rich.status import Status
from rich.text import Text

from cmfm_client.events import Event, Lost, Received
from cmfm_sim.demo_options import DemoDisplay
from cmfm_sim.verdict_text import verdict_header, verdict_text

EVERY_S: Final = 10.0
"""Time between two lines about one step, where there is no terminal."""


class ConsoleDisplay(DemoDisplay):
    """Shows the demo on a terminal, or line by line without one: each step, and how far it is every 10 s."""

    def __init__(self, console: Console, clock: Callable[[], float] = time.monotonic) -> None:
        self._console, self._clock = console, clock
        self._status: Status | None = None
        self._title, self._said_s = "", 0.0
        self._verdicts = 0

    def begin(self, title: str) -> None:
        """Show a spinner with the title, or print it."""
        self.clear()
        self._title, self._said_s = title, self._clock()
        if not self._console.is_terminal:
            self._console.print(f"{title} …", markup=False)
            return
        self._status = self._console.status(f"{title} …")
        self._status.start()

    def progress(self, done: int, total: int) -> None:
        """Show how far the step is."""
        self.note(f"{done} of {total}")

    def note(self, text: str) -> None:
        """Show what the step does beside the spinner, or print it if 10 s have passed."""
        if self._status is not None:
            self._status.update(Text(f"{self._title} … {text}"))
        elif self._title and self._clock() >= self._said_s + EVERY_S:
            self._said_s = self._clock()
            self._console.print(f"{self._title} … {text}", markup=False)

    def done(self, text: str) -> None:
        """Print a line that stays."""
        self.clear()
        self._console.print(Text("✓ ", "green").append(text, "default"), soft_wrap=True)

    def event(self, event: Event, truth: dict[str, str]) -> None:
        """Print a line for each verdict, with the kind of defect that the part has."""
        if isinstance(event, Received):
            if not self._verdicts:
                self._console.print(verdict_header(truth=True), soft_wrap=True)
            self._verdicts += 1
            defect = truth.get(event.result.part_id, "")
            self._console.print(
                verdict_text(event.result, truth=defect, recovered=event.received_ns is None), soft_wrap=True
            )
        elif isinstance(event, Lost):
            self._console.print(Text(f"{len(event.missing)} results were missed", "bold red"))

    def clear(self) -> None:
        """Remove the spinner."""
        self._title = ""
        if self._status is not None:
            self._status.stop()
            self._status = None
