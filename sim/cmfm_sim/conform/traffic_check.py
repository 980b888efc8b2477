"""Rate and size of messages, against the limits of the wire and of a network."""

import itertools
from typing import Final

from cmfm_protocol.clock import NS_PER_S
from cmfm_protocol.wire.limits import MAX_ARRAY_BYTES, MAX_MESSAGE_BYTES
from cmfm_sim.conform.heard import Heard
from cmfm_sim.conform.report_lines import CheckLog, ReportLine

GIGABIT: Final = 117_000_000
"""Bytes a second that a TCP connection over 1 Gbit/s carries."""

MANY: Final = 0.8
"""Share of a network that is called full."""


class TrafficCheck:
    """Counts messages, bytes and the closest frames."""

    def __init__(self) -> None:
        self._log = CheckLog("rate and size", "Limits")
        self._times_ns: list[int] = []
        self._bytes = 0
        self._largest = 0

    def message(self, heard: Heard) -> None:
        """Take a message of any kind."""
        sizes = [memoryview(frame).nbytes for frame in heard.frames]
        self._bytes += sum(sizes)
        if sum(sizes) > MAX_MESSAGE_BYTES:
            self._log.fail(
                f"messages above {MAX_MESSAGE_BYTES} bytes", "crop, or send fewer pixels", heard.name
            )
        if max(sizes) > MAX_ARRAY_BYTES:
            self._log.fail(
                f"message frames above {MAX_ARRAY_BYTES} bytes", "FAULT oversize: crop", heard.name
            )
        if heard.kind == "frame":
            self._largest = max(self._largest, sum(sizes))
            self._times_ns.append(heard.arrival.monotonic_ns)

    def lines(self, since_ns: int, until_ns: int) -> list[ReportLine]:
        """The report for the time listened, CLOCK_MONOTONIC."""
        seconds = max(until_ns - since_ns, 1) / NS_PER_S
        if self._bytes / seconds > MANY * GIGABIT:
            self._log.remark(
                f"{self._bytes / seconds / 1e6:.0f} MB/s",
                "more than 1 Gbit/s carries with room; use 10 Gbit/s, one host, or fewer pixels",
            )
        if not self._times_ns:
            return self._log.lines()
        times = self._times_ns
        closest = min((b - a for a, b in itertools.pairwise(times)), default=0)
        apart = f", the closest {closest / NS_PER_S * 1000:.0f} ms apart" if len(times) > 1 else ""
        return self._log.lines(
            f"{len(times)} frames in {seconds:.0f} s{apart}; {self._largest / 1e6:.1f} MB a frame. A line needs "
            "800 / part_ms frames a second or fewer (part_ms is in the worker's state)"
        )
