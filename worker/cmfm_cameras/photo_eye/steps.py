"""Which number of the camera's stream an edge has. Pure.

Photo-eye and camera count the same triggers. The camera's heartbeats say its stream, and the number below which all
have been sent; so both counts are compared at every heartbeat:

- A new stream begins at what its heartbeat says: what came before belongs to the stream before.
- The camera must have counted every edge that is older than `latency_ns`. If it has not, its device missed a trigger.
- The camera may be ahead of the photo-eye for as long, no longer: else an edge was missed here.

Either way both counts are made equal again, and the difference is counted: one part too many is rejected, none is let
through by another's verdict.
"""

from collections import deque
from dataclasses import dataclass


@dataclass(slots=True)
class StepCounts:
    """How often photo-eye and camera did not count alike: triggers that the camera, or the photo-eye, missed."""

    camera_missed: int = 0
    eye_missed: int = 0
    streams: int = 0


class Steps:
    """Gives numbers to edges. Times are CLOCK_MONOTONIC of this process."""

    def __init__(self, latency_ns: int) -> None:
        self.counts = StepCounts()
        self.stream_uuid = ""
        self._latency_ns = latency_ns
        self._next = 0
        self._recent: deque[tuple[int, int]] = (
            deque()
        )  # time and number of edges that the camera may not have counted
        self._ahead_since_ns: int | None = None
        self._follows_next = False

    def edge(self, now_ns: int) -> int | None:
        """Return the number of an edge; None while no stream of the camera is known."""
        if not self.stream_uuid:
            return None
        number = self._next
        self._next += 1
        self._recent.append((now_ns, number))
        return number

    def heard(self, stream_uuid: str, next_seq: int, closing: bool, now_ns: int) -> str | None:
        """Compare with a heartbeat. Return a sentence if the counts differed."""
        if closing:
            self.stream_uuid = "" if stream_uuid == self.stream_uuid else self.stream_uuid
            return None
        if stream_uuid != self.stream_uuid:
            self.counts.streams += 1
            self.stream_uuid = stream_uuid
            self._follow(next_seq)
            return None
        if self._follows_next:
            self._follow(next_seq)
            return None
        while self._recent and self._recent[0][1] < next_seq:
            self._recent.popleft()
        if self._recent and now_ns - self._recent[0][0] > self._latency_ns:
            return self._camera_missed(next_seq, now_ns)
        return self._eye_missed(next_seq, now_ns)

    def follow(self) -> None:
        """Count on from the camera's next heartbeat: edges were not seen for longer than a trigger takes."""
        self._follows_next = True

    def _camera_missed(self, next_seq: int, now_ns: int) -> str:
        old = [number for time_ns, number in self._recent if now_ns - time_ns > self._latency_ns]
        missed = old[-1] + 1 - next_seq
        self.counts.camera_missed += missed
        self._next -= missed
        self._recent = deque(
            (time_ns, number - missed) for time_ns, number in self._recent if number > old[-1]
        )
        return (
            f"the camera has not counted {missed} of the photo-eye's triggers: its device missed them, or is slower "
            "than [announce] latency_ms"
        )

    def _eye_missed(self, next_seq: int, now_ns: int) -> str | None:
        if next_seq <= self._next:
            self._ahead_since_ns = None
            return None
        if self._ahead_since_ns is None:
            self._ahead_since_ns = now_ns
        if now_ns - self._ahead_since_ns <= self._latency_ns:
            return None
        missed = next_seq - self._next
        self.counts.eye_missed += missed
        self._follow(next_seq)
        return f"the camera has counted {missed} triggers that the photo-eye did not see"

    def _follow(self, next_seq: int) -> None:
        self._next = next_seq
        self._recent.clear()
        self._ahead_since_ns = None
        self._follows_next = False
