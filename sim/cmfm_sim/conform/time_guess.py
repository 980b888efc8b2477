"""Says which clock or unit a time in nanoseconds has that cannot be CLOCK_REALTIME. Pure."""

from typing import Final

from cmfm_protocol.clock import NS_PER_S

NEAR_NS: Final = 120 * NS_PER_S
"""A time that another unit or epoch brings this close to now has that unit or epoch."""

DAY_S: Final = 86_400
UNITS: Final = (
    (10**9, "seconds"),
    (10**6, "milliseconds"),
    (10**3, "microseconds"),
    (100, "units of 100 ns"),
)
EPOCHS: Final = (
    (0, "1970"),
    (-11_644_473_600, "1601 (Windows FILETIME)"),
    (-62_135_596_800, "the year 1 (.NET ticks)"),
    (-2_082_844_800, "1904 (LabVIEW)"),
    (-2_208_988_800, "1900 (NTP)"),
    (946_684_800, "2000"),
    (315_964_800, "1980 (GPS)"),
)
"""Seconds from 1970 to each epoch."""

LEAP_S: Final = ((37, "TAI, the time scale of PTP"), (18, "GPS time"))
QUARTER_S: Final = 900
FOURTEEN_HOURS_S: Final = 14 * 3600
BOOT_NS: Final = 10 * 365 * DAY_S * NS_PER_S


def guess(time_ns: int, now_ns: int, boot_ns: int) -> str:
    """Guess the mistake in a time that should be `now_ns`, or a moment before; "" for no known mistake.

    `now_ns` CLOCK_REALTIME, `boot_ns` CLOCK_MONOTONIC of this host.
    """
    for factor, unit in ((1, "ns"), *UNITS):
        for epoch_s, epoch in EPOCHS:
            if abs(time_ns * factor + epoch_s * NS_PER_S - now_ns) < NEAR_NS and (factor, epoch_s) != (1, 0):
                return f"{unit} since {epoch}"
    for factor, unit in ((1, "ns"), *UNITS):
        if abs(time_ns * factor - boot_ns) < NEAR_NS:
            return f"{unit} since this host's boot"
    return _shifted((time_ns - now_ns) / NS_PER_S) or ("a time since a boot" if 0 < time_ns < BOOT_NS else "")


def _shifted(ahead_s: float) -> str:
    for leap_s, name in LEAP_S:
        if abs(ahead_s - leap_s) < 1.5:
            return name
    quarters = round(ahead_s / QUARTER_S)
    if quarters and abs(ahead_s) <= FOURTEEN_HOURS_S and abs(ahead_s - quarters * QUARTER_S) < 10:
        return f"local time instead of UTC ({quarters / 4:+g} h)"
    return ""


def span(ns: float) -> str:
    """A span of time for people."""
    seconds = abs(ns) / NS_PER_S
    for length_s, name in ((365.25 * DAY_S, "years"), (DAY_S, "days"), (3600.0, "hours"), (60.0, "minutes")):
        if seconds >= 2 * length_s:
            return f"{seconds / length_s:.0f} {name}"
    return f"{seconds:.1f} s" if seconds >= 1 else f"{seconds * 1000:.0f} ms"
