"""An edge of the photo-eye, and the interface of an input."""

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Edges:
    """`count` parts that the photo-eye has seen, the newest at `time_ns` (CLOCK_REALTIME).

    More than one only if the input counts by itself: they came since the look before, `since_ns` ago. `late`: that look
    is so long ago, or was in another run of this program, that their frames are through. `counter` is the input's own
    count, if it has one that outlasts this program.
    """

    count: int
    time_ns: int
    since_ns: int = 0
    late: bool = False
    counter: int | None = None


class InputLostError(Exception):
    """The input cannot be read; it is opened again."""


class EdgeInput(Protocol):
    """An open digital input. All calls come from one thread."""

    name: str

    def edges(self, timeout_s: float) -> list[Edges]:
        """Return what the photo-eye has seen, an empty list if nothing within `timeout_s`. Raises InputLostError."""
        ...

    def close(self) -> None:
        """Release the input. Never raises."""
        ...
