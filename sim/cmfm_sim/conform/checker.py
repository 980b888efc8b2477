"""The checker: takes the messages of a camera with their times, and reports line by line. Pure."""

from collections import Counter
from collections.abc import Sequence
from typing import Any, Final

from cmfm_sim.conform.array_check import ArrayCheck
from cmfm_sim.conform.clock_check import ClockCheck
from cmfm_sim.conform.header_check import HeaderCheck
from cmfm_sim.conform.heard import Arrival, Heard, MessageFrames
from cmfm_sim.conform.heartbeat_check import HeartbeatCheck
from cmfm_sim.conform.integrity_check import IntegrityCheck
from cmfm_sim.conform.part_check import PartCheck
from cmfm_sim.conform.point_check import PointCheck, RepeatCheck
from cmfm_sim.conform.report_lines import Level, ReportLine
from cmfm_sim.conform.sequence_check import SequenceCheck
from cmfm_sim.conform.topic_check import TopicCheck
from cmfm_sim.conform.traffic_check import TrafficCheck
from cmfm_sim.conform.trigger_check import TriggerCheck

FRAMES: Final = "frames"
"""Source of a message that came by the camera's own endpoint."""


class Conformance:
    """Checks one camera. Call `message` for each message in the order of arrival, then `lines` once.

    `line` and `station` are those of the worker, empty if not known; `since` is when the listening began.
    """

    def __init__(self, since: Arrival, line: str = "", station: str = "") -> None:
        self._since = since
        self._topics = TopicCheck(line, station)
        self._headers = HeaderCheck()
        self._integrity = IntegrityCheck()
        self._arrays = ArrayCheck()
        self._points = PointCheck()
        self._repeats = RepeatCheck()
        self._clocks = ClockCheck()
        self._sequence = SequenceCheck()
        self._heartbeats = HeartbeatCheck()
        self._parts = PartCheck()
        self._traffic = TrafficCheck()
        self._triggers = TriggerCheck()
        self._unread = 0
        self.messages: Counter[str] = Counter()
        self.kinds: Counter[tuple[str, str]] = Counter()

    def message(
        self, frames: MessageFrames, arrival: Arrival, source: str = FRAMES, *, thorough: bool = True
    ) -> None:
        """Take a message. Without `thorough` the content of frames is not read: this host does not keep up."""
        self.messages[source] += 1
        kind = self._topics.kind_of(frames)
        if kind is None:
            return
        self.kinds[(source, kind)] += 1
        heard = self._headers.read(kind, source, arrival, frames)
        self._traffic.message(heard)
        if kind == "state":
            self._state(heard)
        elif kind == "trigger":
            self._trigger(heard)
        else:
            self._frame(heard, thorough=thorough)

    def reconnected(self, arrival: Arrival) -> None:
        """Note that the camera's connection was down until now."""
        self._sequence.reconnected()
        self._heartbeats.reconnected(arrival)

    def lines(self, until: Arrival) -> list[ReportLine]:
        """The report on everything that was heard until `until`."""
        lines = [*self._topics.lines(), *self._headers.lines()]
        for check in (self._integrity, self._arrays, self._points, self._repeats, self._clocks):
            lines += check.lines()
        lines += self._sequence.lines()
        lines += self._heartbeats.lines(until.monotonic_ns)
        lines += self._parts.lines()
        if self._sequence.streams:
            lines += self._triggers.lines(until.monotonic_ns)
        lines += self._traffic.lines(self._since.monotonic_ns, until.monotonic_ns)
        return [*lines, *self._unread_line()]

    def _frame(self, heard: Heard, *, thorough: bool) -> None:
        self._clocks.frame(heard)
        self._heartbeats.frame(heard)
        self._parts.frame(heard)
        self._triggers.frame(heard)
        self._arrays.frame(heard)
        self._sequence.frame(heard, self._content(heard) if thorough else None)
        self._unread += not thorough

    def _content(self, heard: Heard) -> Any:
        """Read a frame as the worker does; returns its checksums, None if it cannot be read."""
        self._integrity.frame(heard)
        frame = self._headers.decode(heard)
        if frame is None:
            return None
        self._arrays.decoded(heard, frame)
        self._points.decoded(heard, frame)
        return self._repeats.decoded(heard, frame)

    def _trigger(self, heard: Heard) -> None:
        self._integrity.trigger(heard)
        self._clocks.frame(heard)
        self._triggers.trigger(heard)
        self._headers.decode(heard)

    def _state(self, heard: Heard) -> None:
        self._clocks.state(heard)
        self._headers.decode(heard)
        if self._heartbeats.state(heard):
            self._sequence.closing(heard.fields["stream_uuid"])

    def _unread_line(self) -> list[ReportLine]:
        if not self._unread:
            return []
        found = f"the content of {self._unread} frames was not read: this host does not keep up"
        return [
            ReportLine("content", Level.REMARK, found, "run conform on a faster host, or slow the camera")
        ]


def fails(lines: Sequence[ReportLine]) -> int:
    """Number of lines that fail."""
    return sum(line.level is Level.FAIL for line in lines)
