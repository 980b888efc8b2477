"""Says what is wrong with the time of a trigger that lies too far back or ahead. No clock of its own."""

from typing import Final

from cmfm_protocol.clock import NS_PER_S, Clock

YEAR_S: Final = 365.25 * 86_400
SPANS: Final = ((YEAR_S, "years"), (86_400.0, "days"), (3600.0, "hours"), (60.0, "minutes"), (1.0, "s"))
UNITS: Final = ((1000, "microseconds"), (10**6, "milliseconds"), (10**9, "seconds"))
NEAR_NS: Final = 365 * 86_400 * NS_PER_S
"""A time that another unit brings this close to now is taken for one in that unit: units differ by 1000."""

SAME_BOOT_NS: Final = 3600 * NS_PER_S
"""A time this close to the worker's own CLOCK_MONOTONIC is taken for one of that clock."""


def clock_fault(
    trigger_ns: int, clock_name: str, clock: Clock, *, tolerance_ns: int, longest_ns: int
) -> str | None:
    """Return why the time of a trigger cannot be right by its clock (WIRE.md, clocks), or None.

    It may lie `tolerance_ns` ahead and `longest_ns` back: no deadline is longer. The clock `none` is never wrong.
    """
    if clock_name not in ("realtime", "monotonic"):
        return None
    realtime_ns, monotonic_ns = clock.realtime_ns(), clock.monotonic_ns()
    age_ns = (realtime_ns if clock_name == "realtime" else monotonic_ns) - trigger_ns
    if -tolerance_ns <= age_ns <= longest_ns:
        return None
    guess = _guess(trigger_ns, clock_name, realtime_ns, monotonic_ns)
    direction = "back" if age_ns > 0 else "ahead"
    return f"trigger_ns lies {_span(abs(age_ns))} {direction}: wrong clock or unit{guess}"


def _guess(trigger_ns: int, clock_name: str, realtime_ns: int, monotonic_ns: int) -> str:
    for factor, unit in UNITS:
        if abs(trigger_ns * factor - realtime_ns) < NEAR_NS:
            return f"; it looks like {unit} since 1970"
    if clock_name == "realtime" and 0 < trigger_ns < 10 * YEAR_S * NS_PER_S:
        return "; it looks like the time since a boot" + (
            ', which needs clock "monotonic" on the worker\'s host'
            if abs(trigger_ns - monotonic_ns) < SAME_BOOT_NS
            else ""
        )
    if clock_name == "monotonic" and abs(trigger_ns - realtime_ns) < NEAR_NS:
        return '; it looks like the time since 1970, which needs clock "realtime"'
    return ""


def _span(span_ns: int) -> str:
    seconds = span_ns / NS_PER_S
    for length_s, name in SPANS:
        if seconds >= 2 * length_s:
            return f"{seconds / length_s:.0f} {name}"
    return f"{seconds:.1f} s"
