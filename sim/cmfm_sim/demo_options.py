"""The options of a demo, its progress, and its report."""

from dataclasses import dataclass
from pathlib import Path

from cmfm_client.events import Event
from cmfm_sim.accounting import Account


@dataclass(frozen=True, slots=True)
class DemoOptions:
    """Numbers of parts a category: train, validation, good test parts, and defective test parts of each kind.

    `rate_hz` None takes the usual rate, or LOAD of the worker's capacity if that is less.
    """

    categories: tuple[str, ...]
    train: int
    validation: int
    good: int
    per_defect: int
    rate_hz: float | None = None
    deadline_ms: float = 1000.0
    faults: str = ""
    seed: int = 0
    keep: bool = False
    jobs: int = 2
    triggers: bool = False
    gateway: bool = False
    page: bool = False


@dataclass(frozen=True, slots=True)
class DemoReport:
    """The result. `problems` is empty if the identity holds, outside and in the worker's own count."""

    account: Account
    problems: tuple[str, ...]
    pictures: tuple[Path, ...]


class DemoDisplay:
    """Shows the demo's progress; overridden by the command. Every method may raise to stop the demo."""

    def begin(self, title: str) -> None:
        """A step begins."""

    def progress(self, done: int, total: int) -> None:
        """`done` of `total` items of the step are finished."""

    def note(self, text: str) -> None:
        """The step does this now."""

    def done(self, text: str) -> None:
        """The step is finished."""

    def event(self, event: Event, truth: dict[str, str]) -> None:
        """An event came from the worker; `truth` is part id → kind of defect."""
