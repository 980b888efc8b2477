"""A fault plan carried out: messages in, departures out. No sockets and no clock."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from cmfm_sim.damage import DAMAGES, Message, Parts
from cmfm_sim.faults import Fault, FaultKind


@dataclass(frozen=True, eq=False, slots=True)
class Departure:
    """A message to be sent for trigger `seq`, `delay_s` after its trigger."""

    seq: int
    parts: Message
    delay_s: float = 0.0


@dataclass(frozen=True, eq=False, slots=True)
class Turn:
    """What the camera does at one trigger: hang for `stall_s`, then send."""

    departures: tuple[Departure, ...]
    stall_s: float = 0.0


class Disturber:
    """Does to each message what the schedule says. The same seed and schedule do the same to it, byte for byte."""

    def __init__(self, schedule: Mapping[int, Fault], seed: int) -> None:
        self._schedule = schedule
        self._seed = seed
        self._held: list[Departure] = []

    def faults_of(self, seq: int) -> tuple[FaultKind, ...]:
        """The faults planned for a trigger: none or one."""
        return (self._schedule[seq].kind,) if seq in self._schedule else ()

    def turn(self, seq: int, parts: Parts) -> Turn:
        """What leaves at trigger `seq`, whose undamaged message is `parts`."""
        fault = self._schedule.get(seq)
        released, self._held = self._held, []
        if fault is not None and fault.kind is FaultKind.REORDER:
            self._held = [Departure(seq, list(parts))]
            return Turn(tuple(released))
        own = self._departures(seq, parts, fault)
        stall_s = fault.duration_s if fault is not None and fault.kind is FaultKind.STALL else 0.0
        return Turn((*own, *released), stall_s)

    def flush(self) -> tuple[Departure, ...]:
        """What is still held back for a successor that does not come."""
        released, self._held = self._held, []
        return tuple(released)

    @property
    def holds_back(self) -> bool:
        """Whether a message waits for its successor."""
        return bool(self._held)

    def _departures(self, seq: int, parts: Parts, fault: Fault | None) -> list[Departure]:
        message = list(parts)
        if fault is None or fault.kind is FaultKind.STALL:
            return [Departure(seq, message)]
        if fault.kind is FaultKind.DROP:
            return []
        if fault.kind is FaultKind.DUPLICATE:
            return [Departure(seq, message)] * 2
        if fault.kind is FaultKind.LATE:
            return [Departure(seq, message, fault.duration_s)]
        rng = np.random.default_rng([self._seed, seq])
        return [Departure(seq, DAMAGES[fault.kind](parts, rng))]
