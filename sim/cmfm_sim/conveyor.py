"""The conveyor: schedules which part lies under the camera at which time, open loop.

Triggers fire at absolute times, start + i·period, independent of earlier ones: a line does not wait for its worker. A
late sender still stamps the scheduled time, so its lateness is included in the latency.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from cmfm_protocol.clock import NS_PER_S, Clock
from cmfm_protocol.files.dataset import PartFiles

ENCODER_COUNTS_PER_PART: Final = 1000
"""Counts of the simulated encoder from one part to the next."""


@dataclass(frozen=True, slots=True)
class Trigger:
    """One firing of the photo-eye, with the part that lies there. `part_id` is unique in the feed."""

    seq: int
    part_id: str
    recipe: str
    files: PartFiles

    @property
    def encoder(self) -> int:
        """Position of the conveyor, in counts."""
        return self.seq * ENCODER_COUNTS_PER_PART


@dataclass(frozen=True, slots=True)
class Lot:
    """Parts of one product and the recipe they are to be inspected with."""

    recipe: str
    parts: tuple[PartFiles, ...]


def plan_triggers(lots: Sequence[Lot], *, passes: int = 1, shuffle: int | None = None) -> Iterator[Trigger]:
    """The triggers of `passes` over all parts, seq 0, 1, 2, …

    `shuffle` seeds the order, another one in every pass; None keeps the order of the lots. From the second pass on
    its number is added to the part's id ("bagel-test-hole-003#2").
    """
    parts = [(lot.recipe, files) for lot in lots for files in lot.parts]
    seq, last = 0, None
    for number in range(passes):
        suffix = f"#{number + 1}" if number else ""
        order = np.arange(len(parts))
        if shuffle is not None:
            np.random.default_rng([shuffle, number]).shuffle(order)
        if last is not None and order[0] == last:
            order = np.roll(order, -1)  # a camera never gives the same bytes twice in a row
        for index in map(int, order):
            last = index
            recipe, files = parts[index]
            yield Trigger(seq, f"{files.id}{suffix}", recipe, files)
            seq += 1


class Conveyor:
    """Absolute trigger times. `sleep` (seconds) may return early; it is called again for the rest."""

    def __init__(self, rate_hz: float, clock: Clock, sleep: Callable[[float], None]) -> None:
        self._period_ns = NS_PER_S / rate_hz
        self._clock = clock
        self._sleep = sleep
        self._start_ns = clock.monotonic_ns()

    def start(self, lead_s: float = 0.0) -> None:
        """Let trigger 0 fire `lead_s` from now."""
        self._start_ns = self._clock.monotonic_ns() + int(lead_s * NS_PER_S)

    def slip(self, seq: int, max_lag_s: float) -> None:
        """Delay trigger `seq` and all after it for a sender that is later than `max_lag_s`."""
        lag_ns = self._clock.monotonic_ns() - self.due_ns(seq)
        if lag_ns > max_lag_s * NS_PER_S:
            self._start_ns += lag_ns

    def due_ns(self, seq: int) -> int:
        """The time at which trigger `seq` fires, CLOCK_MONOTONIC."""
        return self._start_ns + round(seq * self._period_ns)

    def trigger_ns(self, seq: int) -> int:
        """The time at which trigger `seq` fires, by CLOCK_REALTIME of now: drift between the clocks does not add up."""
        return self._clock.realtime_ns() + self.due_ns(seq) - self._clock.monotonic_ns()

    def wait_until(self, due_ns: int, stopped: Callable[[], bool]) -> bool:
        """Sleep until `due_ns` (CLOCK_MONOTONIC). False if `stopped` became true first."""
        while not stopped():
            left_ns = due_ns - self._clock.monotonic_ns()
            if left_ns <= 0:
                return True
            self._sleep(left_ns / NS_PER_S)
        return False

    def lateness_ms(self, seq: int) -> float:
        """Milliseconds since trigger `seq` was due."""
        return (self._clock.monotonic_ns() - self.due_ns(seq)) / 1e6
