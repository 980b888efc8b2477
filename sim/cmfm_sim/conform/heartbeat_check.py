"""Heartbeats of the camera: rate, continuity, `next_seq` after the send, `pub_drops`, and the end of a stream."""

import itertools
import statistics
from dataclasses import dataclass, field
from typing import Final

from cmfm_protocol.clock import NS_PER_S
from cmfm_sim.conform.heard import Arrival, Heard
from cmfm_sim.conform.report_lines import CheckLog, ReportLine

LONGEST_NS: Final = 1_200_000_000
"""Longest time between heartbeats that counts as "every second": the network and this host may delay one a little."""

BEHIND: Final = 3
"""Heartbeats in a row that may not know of a frame sent before them: one that is sent at the same moment does not."""


@dataclass(slots=True)
class Beats:
    """Heartbeats and frames of one stream."""

    times_ns: list[int] = field(default_factory=list)
    next_seq: int = 0
    sent: set[int] = field(default_factory=set)
    behind: int = 0
    pub_drops: int = 0
    closed: bool = False


class HeartbeatCheck:
    """Compares each heartbeat with the frames that came before and after it on the same socket."""

    def __init__(self) -> None:
        self._log = CheckLog("heartbeats", "Camera state")
        self._next_log = CheckLog("next_seq", "Camera state")
        self._end_log = CheckLog("end of the stream", "Camera state")
        self._drops_log = CheckLog("pub_drops", "Frame header")
        self._streams: dict[str, Beats] = {}
        self._reconnects_ns: list[int] = []

    def reconnected(self, arrival: Arrival) -> None:
        """Note that the connection was down until now."""
        self._reconnects_ns.append(arrival.monotonic_ns)

    def frame(self, heard: Heard) -> None:
        """Take a frame."""
        uuid, seq = heard.fields.get("stream_uuid"), heard.fields.get("seq")
        if uuid is None or seq is None:
            return
        beats = self._streams.setdefault(uuid, Beats())
        if seq < beats.next_seq and seq not in beats.sent and beats.times_ns:
            self._next_log.fail(
                "next_seq counts a frame before it is sent",
                "raise next_seq after the frame was sent or given up: a worker takes what is below it for sent, and "
                "answers a frame that comes late with FAULT lost",
                f"{heard.name} after next_seq {beats.next_seq}",
            )
        beats.sent.add(seq)
        self._drops(beats, heard)

    def state(self, heard: Heard) -> bool:
        """Take a heartbeat. Returns True if it announces the end of its stream."""
        uuid = heard.fields.get("stream_uuid")
        if uuid is None:
            return False
        beats = self._streams.setdefault(uuid, Beats())
        if beats.closed and not heard.fields.get("closing"):
            self._end_log.fail("heartbeats go on after closing", "closing is the last word of a stream")
        beats.closed = bool(heard.fields.get("closing"))
        beats.times_ns.append(heard.arrival.monotonic_ns)
        self._next_seq(beats, heard)
        self._drops(beats, heard)
        return beats.closed

    def lines(self, until_ns: int) -> list[ReportLine]:
        """The report; `until_ns` CLOCK_MONOTONIC at which the listening ended."""
        if not self._streams:
            return []
        beating = [beats for beats in self._streams.values() if beats.times_ns]
        if not beating:
            self._log.remark(
                "no heartbeats",
                "send the camera state every second or faster: without it the loss of the newest frames is seen only "
                "with the next one, and a connection that hangs is not noticed",
            )
            return [*self._log.lines(), *self._drops_log.lines()]
        for uuid, beats in self._streams.items():
            if beats.sent and not beats.times_ns:
                self._log.fail(
                    "heartbeats of another stream than the frames",
                    "the same stream_uuid in frames, trigger messages and heartbeats",
                    f"no heartbeat of {uuid[:36]}",
                )
            elif beats.times_ns:
                self._continuity(beats, until_ns)
        newest = max(beating, key=lambda beats: beats.times_ns[-1])
        return [
            *self._log.lines(_rate(newest)),
            *self._next_log.lines(f"rises after the frame was sent, {newest.next_seq} at the end"),
            *self._drops_log.lines(),
            *self._end(newest),
        ]

    def _next_seq(self, beats: Beats, heard: Heard) -> None:
        next_seq = heard.fields.get("next_seq")
        if next_seq is None:
            return
        if next_seq < beats.next_seq:
            self._next_log.fail(
                "next_seq falls",
                "it only rises within a stream; a new boot is a new stream_uuid",
                f"{next_seq} after {beats.next_seq}",
            )
        newest = max(beats.sent, default=-1)
        beats.behind = beats.behind + 1 if next_seq <= newest else 0
        if beats.behind == BEHIND:
            self._next_log.fail(
                "next_seq does not count frames that were sent before",
                "next_seq is the number of the newest frame plus one",
                f"{next_seq} after frame {newest}",
            )
        beats.next_seq = next_seq

    def _drops(self, beats: Beats, heard: Heard) -> None:
        drops = heard.fields.get("pub_drops")
        if drops is None or (drops == 0 and "pub_drops" not in heard.raw):
            return
        if drops < beats.pub_drops:
            self._drops_log.fail("pub_drops falls", "it counts since the boot", heard.name)
        if drops > beats.pub_drops:
            self._drops_log.remark(
                "pub_drops rises: the camera could not send frames",
                "network or receiver too slow; each of these parts is a FAULT lost",
                f"{beats.pub_drops} to {drops}, {heard.name}",
            )
        beats.pub_drops = drops

    def _continuity(self, beats: Beats, until_ns: int) -> None:
        times = [*beats.times_ns, *([] if beats.closed else [until_ns])]
        gaps = [
            later - earlier
            for earlier, later in itertools.pairwise(times)
            if not any(earlier < at <= later for at in self._reconnects_ns)
        ]
        slow = [gap for gap in gaps if gap > LONGEST_NS]
        if slow:
            self._log.fail(
                f"{len(slow)} pauses of up to {max(slow) / NS_PER_S:.1f} s between heartbeats",
                "every second or faster, also while a frame is prepared and while no part comes: send them from a "
                "timer, on the frame socket's own thread",
            )

    def _end(self, newest: Beats) -> list[ReportLine]:
        if newest.closed:
            return self._end_log.lines("closing was sent")
        self._end_log.remark(
            "not heard", "stop the camera while conform listens: it should send closing: true once more"
        )
        return self._end_log.lines()


def _rate(beats: Beats) -> str:
    gaps = [b - a for a, b in zip(beats.times_ns, beats.times_ns[1:], strict=False)]
    if not gaps:
        return "one heartbeat"
    return f"every {statistics.median(gaps) / NS_PER_S:.2g} s, at most {max(gaps) / NS_PER_S:.2g} s apart"
