"""Compares verdicts with the deadlines of their parts, which run from the *scheduled* triggers. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from cmfm_client.events import Received
from cmfm_sim.spread import Spread
from cmfm_sim.trigger_log import TriggerRecord

GRACE_MS: Final = 5.0
"""Time that the contract allows a verdict after its part's deadline (WIRE.md)."""


@dataclass(frozen=True, slots=True)
class Punctuality:
    """Counts of verdicts that were in time: by their part's deadline + GRACE_MS.

    Of all triggered `parts`, `given` have a verdict that the worker gave in time. `heard` verdicts came live,
    `arrived` of them in time; a busy listener makes these late, not the worker. `…_late_ms`: lateness of every
    verdict after its deadline, 0 for one in time.
    """

    parts: int
    given: int
    heard: int
    arrived: int
    given_late_ms: Spread | None
    arrived_late_ms: Spread | None


def punctuality(parts: int, matched: Sequence[tuple[TriggerRecord, Received]]) -> Punctuality:
    """Count `parts` triggers and the results that match them."""
    given = [_late_ms(trigger, item.result.done_ns) for trigger, item in matched]
    arrived = [
        _late_ms(trigger, item.received_ns) for trigger, item in matched if item.received_ns is not None
    ]
    return Punctuality(
        parts=parts,
        given=sum(late_ms <= GRACE_MS for late_ms in given),
        heard=len(arrived),
        arrived=sum(late_ms <= GRACE_MS for late_ms in arrived),
        given_late_ms=Spread.of(given),
        arrived_late_ms=Spread.of(arrived),
    )


def _late_ms(trigger: TriggerRecord, at_ns: int) -> float:
    return max((at_ns - trigger.trigger_ns) / 1e6 - trigger.deadline_ms, 0.0)
