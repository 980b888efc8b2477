"""Numbers and streams: `seq` from 0 by ones, each number one part, and a new `stream_uuid` at each boot."""

import itertools
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from cmfm_protocol.clock import NS_PER_MS
from cmfm_sim.conform.heard import Heard
from cmfm_sim.conform.report_lines import CheckLog, ReportLine, some

MAX_GAP: Final = 1000
"""Default of the worker's `intake.max_gap`."""

REORDER_NS: Final = 200 * NS_PER_MS
"""Default of `intake.reorder_window_ms`."""

WRAPS: Final = {2**bits - 1: f"{bits} bits" for bits in (7, 8, 15, 16, 31, 32)}
NEW_UUID: Final = (
    "make a new stream_uuid at each start of the camera (a random UUID), never a serial number or a name"
)
FEW: Final = 2
"""A stream of so few frames is a sign of a new stream_uuid for each frame."""


class Part(NamedTuple):
    """The identity of the part behind a number."""

    trigger_ns: int | None
    part_id: str | None


@dataclass(slots=True)
class Stream:
    """Frames of one `stream_uuid`."""

    first: int
    last: int
    parts: dict[int, tuple[Part, object]] = field(default_factory=dict)
    missing: dict[int, int] = field(default_factory=dict)  # seq: CLOCK_MONOTONIC when it was skipped
    while_apart: int = 0  # numbers skipped while the connection was down
    closed: bool = False


class SequenceCheck:
    """Follows the numbers of every stream of one endpoint."""

    def __init__(self) -> None:
        self._log = CheckLog("seq", "Sequence")
        self._uuid_log = CheckLog("stream_uuid", "Sequence")
        self.streams: dict[str, Stream] = {}
        self._newest = ""
        self._apart = False
        self._returns = 0

    def reconnected(self) -> None:
        """Note that the connection was down: what was sent meanwhile is no fault of the camera."""
        self._apart = True

    def closing(self, uuid: str) -> None:
        """Note that a heartbeat has announced the end of a stream."""
        if uuid in self.streams:
            self.streams[uuid].closed = True

    def frame(self, heard: Heard, content: object) -> None:
        """Take a frame; `content` is equal for equal bytes, None if they could not be read."""
        uuid, seq = heard.fields.get("stream_uuid"), heard.fields.get("seq")
        if uuid is None or seq is None:
            return
        part = Part(heard.fields.get("trigger_ns"), heard.fields.get("part_id"))
        stream = self.streams.get(uuid)
        if stream is None:
            stream = self._new_stream(uuid, seq)
        elif uuid != self._newest:
            self._returns += 1
        self._newest = uuid
        if stream.closed:
            self._uuid_log.fail("frames of a stream that has said closing", NEW_UUID, heard.name)
            stream.closed = False
        self._number(heard, stream, seq, part, content)
        stream.parts.setdefault(seq, (part, content))
        self._apart = False

    def lines(self) -> list[ReportLine]:
        """The report."""
        return [*self._uuid_lines(), *self._seq_lines()]

    def _new_stream(self, uuid: str, seq: int) -> Stream:
        if self.streams and seq != 0 and not self._apart:
            self._log.fail(
                "a new stream does not begin with 0",
                "number from 0 at each start",
                f"stream {uuid[:12]}, {seq}",
            )
        stream = self.streams[uuid] = Stream(first=seq, last=seq - 1)
        return stream

    def _number(self, heard: Heard, stream: Stream, seq: int, part: Part, content: object) -> None:
        if seq in stream.parts:
            self._again(heard, stream, seq, part, content)
        elif seq > stream.last:
            self._higher(heard, stream, seq)
            stream.last = seq
        elif seq in stream.missing:
            late_ns = heard.arrival.monotonic_ns - stream.missing.pop(seq)
            if late_ns > REORDER_NS:
                self._log.fail(
                    "a skipped number came after the reorder window of 200 ms",
                    "send frames in order, or raise intake.reorder_window_ms; it is FAULT lost by then",
                    f"{heard.name}: {late_ns / NS_PER_MS:.0f} ms",
                )
            else:
                self._log.remark("frames out of order", "allowed within 200 ms", heard.name)
        else:
            self._reused(stream, seq)

    def _higher(self, heard: Heard, stream: Stream, seq: int) -> None:
        skipped = seq - stream.last - 1
        if not skipped:
            return
        if self._apart:
            stream.while_apart += skipped
            return
        if skipped > MAX_GAP:
            self._log.fail(
                f"a jump of more than {MAX_GAP} numbers",
                "each trigger takes the next number; all numbers passed over become FAULTs",
                f"from {stream.last} to {seq}",
            )
            return
        stream.missing |= dict.fromkeys(range(stream.last + 1, seq), heard.arrival.monotonic_ns)

    def _again(self, heard: Heard, stream: Stream, seq: int, part: Part, content: object) -> None:
        before, bytes_before = stream.parts[seq]
        if part != before:
            self._reused(stream, seq)
        elif None not in (content, bytes_before) and content != bytes_before:
            self._log.fail(
                "a number sent again with other bytes",
                "a number stands for one frame: send the same bytes, or take the next number (FAULT malformed)",
                heard.name,
            )
        else:
            self._log.remark("a frame sent again", "allowed; it is counted and ignored", heard.name)

    def _reused(self, stream: Stream, seq: int) -> None:
        where = f"{seq} after {stream.last}"
        if stream.last == stream.first == seq:
            self._log.fail("seq does not rise", "give each trigger the next number", where)
        elif seq == 0 and stream.last in WRAPS:
            self._log.fail(
                f"the counter wraps: it has {WRAPS[stream.last]}",
                "count in 64 bits, or make a new stream_uuid before it wraps",
                where,
            )
        elif seq <= 1 and stream.last > 1:
            self._uuid_log.fail(
                "the same stream_uuid, and seq counts anew (the worker logs stream_uuid_reused)",
                NEW_UUID,
                where,
            )
        else:
            self._log.fail(
                "a number used for two parts",
                "give each trigger the next number; two cameras need a stream_uuid each",
                where,
            )
        if seq <= 1:  # as after a reboot: go on from here
            stream.first, stream.last = seq, seq
            stream.parts.clear()
            stream.missing.clear()

    def _uuid_lines(self) -> list[ReportLine]:
        if not self.streams:
            return []
        few = [uuid for uuid, stream in self.streams.items() if len(stream.parts) <= FEW]
        if len(few) > FEW and len(few) * 2 > len(self.streams):
            self._uuid_log.fail(
                f"{len(self.streams)} stream_uuids, most of one or two frames",
                "one stream_uuid for a boot of the camera, the same in all its messages",
            )
        elif self._returns:
            self._uuid_log.fail(
                f"{len(self.streams)} streams alternate on one endpoint",
                "one camera process, one stream, one endpoint",
                f"{self._returns} changes back",
            )
        short = [uuid for uuid in self.streams if len(uuid) < 16]
        if short:
            self._uuid_log.remark(
                f"stream_uuid {short[0]!r} does not look random",
                f"{NEW_UUID}; restart the camera while conform listens to see that it does",
            )
        if len(self.streams) == 1:
            return self._uuid_log.lines(f"one stream, {next(iter(self.streams))[:36]}")
        return self._uuid_log.lines(f"{len(self.streams)} streams, one after the other")

    def _seq_lines(self) -> list[ReportLine]:
        missing = [seq for stream in self.streams.values() for seq in stream.missing]
        apart = sum(stream.while_apart for stream in self.streams.values())
        if missing:
            self._missing(missing)
        if apart:
            self._log.remark(
                f"{apart} numbers passed while the connection was down", "not counted as missing"
            )
        for uuid, stream in self.streams.items():
            if uuid == next(iter(self.streams)) and stream.first > 0:
                self._log.remark(f"heard from number {stream.first} on", "the camera ran before")
        spans = ", ".join(f"{stream.first} to {stream.last}" for stream in self.streams.values())
        return self._log.lines(f"{spans}, by ones" if self.streams else "")

    def _missing(self, missing: list[int]) -> None:
        step = self._step()
        if step > 1:
            self._log.fail(
                f"seq rises by {step}",
                "each camera counts its own triggers: 0, 1, 2 … All numbers between are FAULT lost",
            )
            return
        self._log.fail(
            f"{len(missing)} numbers never came: {some(missing)}",
            "each is a FAULT lost. Dropped by a full queue? (pub_drops) Counted without a trigger?",
        )

    def _step(self) -> int:
        """The step of all numbers, if it is one."""
        steps: set[int] = set()
        for stream in self.streams.values():
            numbers: list[Any] = sorted(stream.parts)
            steps |= {b - a for a, b in itertools.pairwise(numbers)}
        return steps.pop() if len(steps) == 1 else 1
