"""Applies a fault plan: messages in, departures out. No sockets, no clock."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from cmfm_protocol.clock import NS_PER_S
from cmfm_sim.damage import DAMAGES, Message, MessageFrames
from cmfm_sim.faults import Fault, FaultKind

MAX_CLOCK_ERROR_S: Final = 12 * 3600
"""Largest error of a clock that jumps, forwards or backwards; the smallest is half an hour."""


@dataclass(frozen=True, eq=False, slots=True)
class Departure:
    """A message to send for trigger `seq`, `delay_s` after it fired."""

    seq: int
    message: Message
    delay_s: float = 0.0


@dataclass(frozen=True, eq=False, slots=True)
class Turn:
    """Actions of the camera at one trigger: hang for `stall_s`, then send `departures`."""

    departures: tuple[Departure, ...]
    stall_s: float = 0.0


class Disturber:
    """Applies the scheduled fault to each message. The same seed and schedule give the same bytes."""

    def __init__(self, schedule: Mapping[int, Fault], seed: int) -> None:
        self._schedule = schedule
        self._seed = seed
        self._held: list[Departure] = []

    def faults_of(self, seq: int) -> tuple[FaultKind, ...]:
        """The faults planned for a trigger: none or one."""
        return (self._schedule[seq].kind,) if seq in self._schedule else ()

    def clock_error_ns(self, seq: int) -> int:
        """Error of the camera's clock at a trigger, nanoseconds."""
        if self.faults_of(seq) != (FaultKind.CLOCK,):
            return 0
        rng = np.random.default_rng([self._seed, seq])
        return int(rng.choice([-1, 1]) * rng.integers(MAX_CLOCK_ERROR_S // 24, MAX_CLOCK_ERROR_S)) * NS_PER_S

    def turn(self, seq: int, message: MessageFrames) -> Turn:
        """The actions at trigger `seq`, whose undamaged message is `message`."""
        fault = self._schedule.get(seq)
        released, self._held = self._held, []
        if fault is not None and fault.kind is FaultKind.REORDER:
            self._held = [Departure(seq, list(message))]
            return Turn(tuple(released))
        own = self._departures(seq, message, fault)
        stall_s = fault.duration_s if fault is not None and fault.kind is FaultKind.STALL else 0.0
        return Turn((*own, *released), stall_s)

    def flush(self) -> tuple[Departure, ...]:
        """Messages that are still held back for a successor that does not come."""
        released, self._held = self._held, []
        return tuple(released)

    def _departures(self, seq: int, frames: MessageFrames, fault: Fault | None) -> list[Departure]:
        message = list(frames)
        if fault is None or fault.kind in (FaultKind.STALL, FaultKind.CLOCK):
            return [Departure(seq, message)]
        if fault.kind is FaultKind.DROP:
            return []
        if fault.kind is FaultKind.DUPLICATE:
            return [Departure(seq, message)] * 2
        if fault.kind is FaultKind.LATE:
            return [Departure(seq, message, fault.duration_s)]
        rng = np.random.default_rng([self._seed, seq])
        return [Departure(seq, DAMAGES[fault.kind](frames, rng))]
