"""A photo-eye on a GPIO line of this machine, by libgpiod 2 (the package gpiod): the kernel debounces and times edges.

Each event has the line's own number. A gap in the numbers is edges that the kernel had no room for: they are counted.
"""

import importlib.util
import time
from datetime import timedelta
from typing import Any, Protocol

from cmfm_cameras.errors import InputError
from cmfm_cameras.photo_eye.edges import Edges, InputLostError
from cmfm_cameras.settings.trigger_input import GpioSection


class Library(Protocol):
    """The part of the package gpiod that is used, as its documentation has it (version 2)."""

    LineSettings: Any
    line: Any

    def request_lines(self, path: str, config: dict[Any, Any], consumer: str, event_buffer_size: int) -> Any:
        """Request lines of a chip."""
        ...


def library() -> Library:
    """Import gpiod. Raises InputError if it is not installed."""
    if importlib.util.find_spec("gpiod") is None:
        raise InputError("a GPIO line needs the package gpiod: pip install 'cmfm[gpio]'")
    import gpiod
    import gpiod.line

    found: Library = gpiod
    return found


class GpioInput:
    """A requested line. Raises InputLostError if the chip is not there or another process holds the line."""

    def __init__(self, section: GpioSection, gpiod: Library) -> None:
        self.name = f"GPIO {section.chip} {section.line}"
        self._seen: int | None = None
        line = gpiod.line
        settings = gpiod.LineSettings(
            direction=line.Direction.INPUT,
            edge_detection=line.Edge.RISING,
            bias=getattr(line.Bias, section.bias.upper()),
            active_low=section.active_low,
            debounce_period=timedelta(milliseconds=section.debounce_ms),
            event_clock=line.Clock.MONOTONIC,
        )
        wanted: int | str = int(section.line) if section.line.isdecimal() else section.line
        try:
            self._request = gpiod.request_lines(
                section.chip,
                config={wanted: settings},
                consumer="cmfm-camera",
                event_buffer_size=section.buffer,
            )
        except (OSError, ValueError) as error:
            raise InputLostError(f"{self.name} cannot be requested: {error}") from error

    def edges(self, timeout_s: float) -> list[Edges]:
        """Wait for events of the line."""
        try:
            if not self._request.wait_edge_events(timedelta(seconds=timeout_s)):
                return []
            events = self._request.read_edge_events()
        except OSError as error:
            raise InputLostError(f"{self.name} is gone: {error}") from error
        return [self._edges(event) for event in events]

    def close(self) -> None:
        """Give the line back."""
        self._request.release()

    def _edges(self, event: Any) -> Edges:
        before = 0 if self._seen is None else self._seen
        self._seen = event.line_seqno
        age_ns = time.monotonic_ns() - event.timestamp_ns
        return Edges(max(event.line_seqno - before, 1), time.time_ns() - age_ns)
