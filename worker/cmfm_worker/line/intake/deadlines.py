"""Translates senders' clocks and deadlines into the worker's own, within the limits of the line (WIRE.md, clocks)."""

from collections.abc import Callable

import structlog

from cmfm_protocol.clock import NS_PER_MS, Clock
from cmfm_worker.line.intake.clock_check import clock_fault
from cmfm_worker.line.messages import Noticed
from cmfm_worker.settings.sections.network import IntakeSection


class Deadlines:
    """Computes ages and deadlines of triggers, and counts clocks that cannot be right."""

    def __init__(self, settings: IntakeSection, post: Callable[[Noticed], None], clock: Clock) -> None:
        self._settings = settings
        self._post = post
        self._clock = clock
        self._log = structlog.get_logger("intake")

    def clock_fault(self, trigger_ns: int, clock_name: str) -> str | None:
        """Return why the time of a trigger cannot be right, or None. Counts and logs what it returns."""
        detail = self._wrong(trigger_ns, clock_name)
        if detail is not None:
            self._post(Noticed("clock_skew"))
            self._log.error("clock_skew", clock=clock_name, trigger_ns=trigger_ns, detail=detail)
        return detail

    def age_ns(self, trigger_ns: int, clock_name: str) -> int:
        """Return how long ago the trigger fired. 0 if its clock does not tell: its deadline then runs from now."""
        if self._wrong(trigger_ns, clock_name) is not None:
            return 0
        return max(_trigger_age_ns(trigger_ns, clock_name, self._clock) or 0, 0)

    def _wrong(self, trigger_ns: int, clock_name: str) -> str | None:
        return clock_fault(
            trigger_ns,
            clock_name,
            self._clock,
            tolerance_ns=int(self._settings.clock_tolerance_ms * NS_PER_MS),
            longest_ns=int(self._settings.max_deadline_ms * NS_PER_MS),
        )

    def fired_ns(self, trigger_ns: int, clock_name: str) -> int | None:
        """Return when the trigger fired, CLOCK_MONOTONIC, or None if its clock does not tell."""
        age_ns = None
        if self._wrong(trigger_ns, clock_name) is None:
            age_ns = _trigger_age_ns(trigger_ns, clock_name, self._clock)
        return None if age_ns is None else self._clock.monotonic_ns() - max(age_ns, 0)

    def trigger_ns(self, age_ns: int) -> int:
        """Return the time of a trigger of this age, CLOCK_REALTIME."""
        return self._clock.realtime_ns() - age_ns

    def due_ns(self, age_ns: int, deadline_ms: float) -> int:
        """Return the deadline of a trigger of this age, CLOCK_MONOTONIC. `max_deadline_ms` cuts it."""
        allowed_ms = min(deadline_ms, self._settings.max_deadline_ms)
        return self._clock.monotonic_ns() - age_ns + int(allowed_ms * NS_PER_MS)


def _trigger_age_ns(trigger_ns: int, clock_name: str, clock: Clock) -> int | None:
    """Return how long ago the trigger fired, in nanoseconds, by the sender's clock (WIRE.md, clocks).

    Negative for a trigger in the future. None if the sender's clock cannot be compared (`none`).
    """
    if clock_name == "realtime":
        return clock.realtime_ns() - trigger_ns
    if clock_name == "monotonic":
        return clock.monotonic_ns() - trigger_ns
    return None
