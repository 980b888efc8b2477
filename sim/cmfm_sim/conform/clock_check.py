"""Clocks: `trigger_ns`, `sent_ns` and `deadline_ms` against the clocks of this host."""

import statistics
from typing import Final

from cmfm_protocol.clock import NS_PER_MS, NS_PER_S
from cmfm_sim.conform.heard import Arrival, Heard
from cmfm_sim.conform.report_lines import CheckLog, ReportLine
from cmfm_sim.conform.time_guess import guess, span

TOLERANCE_NS: Final = NS_PER_S
"""Default of the worker's `intake.clock_tolerance_ms`."""

LONGEST_NS: Final = 60 * NS_PER_S
"""Default of `intake.max_deadline_ms`."""

SKEW_NS: Final = 5 * NS_PER_MS
"""Clocks that agree within this are synchronised well enough for deadlines."""

ENOUGH: Final = 8
"""Times from which their common steps tell something."""


class ClockCheck:
    """Measures from trigger to reception, by the clock that each message names."""

    def __init__(self) -> None:
        self._log = CheckLog("clock", "Clocks")
        self._ages_ns: list[int] = []
        self._times: dict[tuple[str, int], int] = {}
        self._clocks: set[str] = set()

    def frame(self, heard: Heard) -> None:
        """Check the time of a frame or a trigger message."""
        time_ns, clock = heard.fields.get("trigger_ns"), heard.fields.get("clock")
        if time_ns is None or clock is None:
            return
        self._clocks.add(clock)
        if heard.kind == "frame" and None not in (
            key := (heard.fields.get("stream_uuid"), heard.fields.get("seq"))
        ):
            self._times.setdefault(key, time_ns)  # type: ignore[arg-type]
        if clock == "none":
            return
        now_ns = heard.arrival.realtime_ns if clock == "realtime" else heard.arrival.monotonic_ns
        if self._is_wrong("trigger_ns", time_ns, now_ns, heard) or heard.kind != "frame":
            return
        self._ages_ns.append(now_ns - time_ns)
        self._deadline(heard, now_ns - time_ns)

    def state(self, heard: Heard) -> None:
        """Check the time of a heartbeat."""
        if (time_ns := heard.fields.get("sent_ns")) is not None:
            self._is_wrong("sent_ns", time_ns, heard.arrival.realtime_ns, heard)

    def lines(self) -> list[ReportLine]:
        """The report."""
        self._steps()
        if "none" in self._clocks:
            self._log.remark(
                'clock is "none": deadlines run from reception',
                'with synchronised clocks (PTP, NTP) send "realtime": deadlines then run from the trigger',
            )
        if "monotonic" in self._clocks:
            self._log.remark(
                'clock is "monotonic"', "right only if camera process and worker run on this one machine"
            )
        if not self._ages_ns:
            return self._log.lines()
        if (ahead_ns := -min(self._ages_ns)) > SKEW_NS:
            self._log.remark(
                f"trigger_ns lies up to {span(ahead_ns)} ahead of this host's clock",
                "synchronise the clocks (PTP, NTP): the worker takes such a trigger as fired at its reception",
            )
        middle, most = statistics.median(self._ages_ns), max(self._ages_ns)
        return self._log.lines(
            f"frames arrive {middle / NS_PER_MS:.1f} ms after their trigger, at most {most / NS_PER_MS:.1f} ms"
        )

    def _is_wrong(self, field: str, time_ns: int, now_ns: int, heard: Heard) -> bool:
        age_ns = now_ns - time_ns
        if -TOLERANCE_NS <= age_ns <= LONGEST_NS:
            return False
        looks_like = _looks_like(heard, time_ns, heard.arrival)
        self._log.fail(
            f"{field} lies {span(age_ns)} {'back' if age_ns > 0 else 'ahead'}{looks_like}",
            "ns since 1970-01-01 UTC of a synchronised clock (FAULT clock_skew otherwise)",
            heard.name,
        )
        return True

    def _deadline(self, heard: Heard, age_ns: int) -> None:
        deadline_ms = heard.fields.get("deadline_ms")
        if deadline_ms is None:
            return
        if deadline_ms * NS_PER_MS > LONGEST_NS:
            self._log.remark(
                f"deadline_ms {deadline_ms:g} is above 60 s",
                "the worker cuts it to intake.max_deadline_ms; is the unit ms?",
            )
        if age_ns > deadline_ms * NS_PER_MS:
            self._log.fail(
                "frames arrive after their deadline",
                "deadline_ms is the time from trigger to verdict in ms; a longer one, or a faster camera",
                f"{heard.name}: {age_ns / NS_PER_MS:.0f} ms of {deadline_ms:g} ms",
            )
        elif 2 * age_ns > deadline_ms * NS_PER_MS:
            self._log.remark(
                "half of the deadline has passed when the frame arrives",
                "the worker needs its part_ms too",
                f"{heard.name}: {age_ns / NS_PER_MS:.0f} ms of {deadline_ms:g} ms",
            )

    def _steps(self) -> None:
        """Look at what the times have in common."""
        times = list(self._times.values())
        if len(times) > 1 and len(set(times)) < len(times):
            self._log.fail(
                "trigger_ns is the same for several numbers",
                "take the time at each trigger; duplicates are recognised by it",
                f"{len(times) - len(set(times))} of {len(times)}",
            )
        if len(times) < ENOUGH:
            return
        if all(time % 256 == 0 for time in times) and any(time % 1000 for time in times):
            self._log.remark(
                "trigger_ns is rounded to 256 ns, as a floating-point number is",
                "in JavaScript: BigInt(Date.now()) * 1000000n",
            )
        for step, name in ((10**9, "seconds"), (10**6, "milliseconds")):
            if all(time % step == 0 for time in times):
                self._log.remark(
                    f"trigger_ns has whole {name} only", "two triggers within one have the same time"
                )
                break


def _looks_like(heard: Heard, time_ns: int, arrival: Arrival) -> str:
    if heard.fields.get("clock") == "monotonic":
        near = abs(time_ns - arrival.realtime_ns) < LONGEST_NS
        return (
            ': it looks like the time since 1970, clock "realtime"'
            if near
            else ": of another host, or another unit"
        )
    found = guess(time_ns, arrival.realtime_ns, arrival.monotonic_ns)
    return f": it looks like {found}" if found else ": wrong clock or unit"
