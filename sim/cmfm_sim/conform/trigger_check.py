"""Trigger messages: before the frame, about the same part, of the camera's own stream."""

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from cmfm_protocol.clock import NS_PER_MS
from cmfm_sim.conform.heard import Heard
from cmfm_sim.conform.report_lines import CheckLog, ReportLine, some

COMPARED: Final = ("part_id", "recipe", "calib_id")
"""Fields whose contradiction makes the part a FAULT, unless one of the two is empty."""


class First(NamedTuple):
    """The first message about a number."""

    at_ns: int
    fields: Mapping[str, Any]


class TriggerCheck:
    """Compares trigger messages with the frames of the same number."""

    def __init__(self) -> None:
        self._log = CheckLog("trigger messages", "Trigger")
        self._triggers: dict[tuple[str, int], First] = {}
        self._frames: dict[tuple[str, int], First] = {}
        self._ahead_ns: list[int] = []

    def trigger(self, heard: Heard) -> None:
        """Take a trigger message."""
        if (key := _key(heard)) is None:
            return
        first = First(heard.arrival.monotonic_ns, heard.fields)
        if key in self._triggers:
            if _differences(self._triggers[key].fields, heard.fields):
                self._log.fail(
                    "two trigger messages of one number differ", "one number, one part", heard.name
                )
            return
        self._triggers[key] = first
        if key in self._frames:
            self._log.fail(
                "a trigger message after its frame",
                "send it before the frame: what it contradicts after the verdict is only logged",
                f"{heard.name}, {(first.at_ns - self._frames[key].at_ns) / NS_PER_MS:.0f} ms after",
            )
            self._compare(heard.name, self._frames[key], first)

    def frame(self, heard: Heard) -> None:
        """Take a frame."""
        if (key := _key(heard)) is None or key in self._frames:
            return
        first = self._frames[key] = First(heard.arrival.monotonic_ns, heard.fields)
        if key in self._triggers:
            self._ahead_ns.append(first.at_ns - self._triggers[key].at_ns)
            self._compare(heard.name, self._triggers[key], first)

    def lines(self, until_ns: int) -> list[ReportLine]:
        """The report."""
        if not self._triggers:
            self._log.remark(
                "none",
                "allowed. With them, or with the request announce, a part whose frame never comes has its FAULT by "
                "its deadline, not when the next frame shows the gap",
            )
            return self._log.lines()
        self._foreign()
        self._without_frame(until_ns)
        unannounced = [seq for uuid, seq in self._frames if (uuid, seq) not in self._triggers]
        if unannounced:
            self._log.remark(f"{len(unannounced)} frames without one: {some(unannounced)}")
        ahead = (
            f", {sum(self._ahead_ns) / len(self._ahead_ns) / NS_PER_MS:.0f} ms ahead"
            if self._ahead_ns
            else ""
        )
        return self._log.lines(f"{len(self._triggers)}{ahead}, each before its frame")

    def _compare(self, name: str, earlier: First, later: First) -> None:
        for field in _differences(earlier.fields, later.fields):
            self._log.fail(
                f"trigger message and frame of one number differ in {field}",
                "both describe one part (FAULT malformed otherwise)",
                f"{name}: {earlier.fields[field]!r} and {later.fields[field]!r}",
            )
        times = [first.fields.get("trigger_ns") for first in (earlier, later)]
        if None not in times and times[0] != times[1]:
            self._log.remark(
                "trigger message and frame of one number differ in trigger_ns",
                "copy it: the earlier deadline of the two holds",
                name,
            )

    def _foreign(self) -> None:
        framed, announced = {uuid for uuid, _ in self._frames}, {uuid for uuid, _ in self._triggers}
        foreign = announced - framed
        if framed and foreign:
            self._log.fail(
                "trigger messages of a stream that sends no frames",
                "use the camera's stream_uuid (its heartbeats have it), or the request announce with the camera's "
                "name. Otherwise each part has two results: PASS or FAIL for its frame, and FAULT lost for its trigger",
                some(sorted(foreign)),
            )

    def _without_frame(self, until_ns: int) -> None:
        framed = {uuid for uuid, _ in self._frames}
        waiting = [
            seq
            for (uuid, seq), first in self._triggers.items()
            if uuid in framed
            and (uuid, seq) not in self._frames
            and until_ns - first.at_ns > first.fields.get("deadline_ms", 0) * NS_PER_MS
        ]
        if waiting:
            self._log.fail(
                f"no frame by the deadline for {len(waiting)} numbers: {some(waiting)}",
                "each is a FAULT lost; do camera and sender of triggers count alike?",
            )


def _key(heard: Heard) -> tuple[str, int] | None:
    uuid, seq = heard.fields.get("stream_uuid"), heard.fields.get("seq")
    return None if uuid is None or seq is None else (uuid, seq)


def _differences(one: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    return [field for field in COMPARED if one.get(field) and other.get(field) and one[field] != other[field]]
