"""Whether verdicts came when they were due: by the deadline of their part, from its *scheduled* trigger. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from cmfm_client.events import Received
from cmfm_sim.spread import Spread
from cmfm_sim.trigger_log import TriggerRecord

GRACE_MS: Final = 5.0
"""What the contract allows a verdict after its part's deadline (WIRE.md)."""


@dataclass(frozen=True, slots=True)
class Punctuality:
    """Of all triggered `parts`, how many have a verdict that was `given` by deadline + GRACE_MS.

    `heard` verdicts came live, `arrived` of them by then; a busy listener makes these late, not the worker.
    `late_ms` after the deadline of every verdict, 0 where it was in time.
    """

    parts: int
    given: int
    heard: int
    arrived: int
    given_late_ms: Spread | None
    arrived_late_ms: Spread | None


def punctuality(parts: int, answers: Sequence[tuple[TriggerRecord, Received]]) -> Punctuality:
    """Of triggers and the results for them."""
    given = [_late_ms(trigger, item.result.done_ns) for trigger, item in answers]
    arrived = [
        _late_ms(trigger, item.received_ns) for trigger, item in answers if item.received_ns is not None
    ]
    return Punctuality(
        parts=parts,
        given=sum(late_ms <= GRACE_MS for late_ms in given),
        heard=len(arrived),
        arrived=sum(late_ms <= GRACE_MS for late_ms in arrived),
        given_late_ms=Spread.of(given),
        arrived_late_ms=Spread.of(arrived),
    )


def _late_ms(trigger: TriggerRecord, moment_ns: int) -> float:
    return max((moment_ns - trigger.trigger_ns) / 1e6 - trigger.deadline_ms, 0.0)
