"""The photo-eye: edges get part numbers and numbers of the camera's stream, and are announced."""

import time
from collections import Counter
from dataclasses import dataclass, field

import structlog

from cmfm_cameras.photo_eye.announcers import Announcer
from cmfm_cameras.photo_eye.edges import Edges
from cmfm_cameras.photo_eye.input_thread import InputEnded, InputEvent, InputLost, InputOpened
from cmfm_cameras.photo_eye.part_state import PartState, write_state
from cmfm_cameras.photo_eye.steps import Steps
from cmfm_cameras.settings.trigger import AnnounceSection
from cmfm_protocol.clock import NS_PER_MS, Clock, SystemClock
from cmfm_protocol.wire.state import CameraState
from cmfm_protocol.wire.trigger import TriggerMessage


@dataclass(slots=True)
class EyeCounts:
    """The counts of a photo-eye. Other threads read it.

    `outcomes` counts parts by what became of their announcement; "no_camera": no stream of the camera was known, and
    "late": they came in an outage so long that their frames are through.
    """

    edges: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    input_lost: int = 0
    is_open: bool = False
    last_edge_s: float | None = None


class PhotoEye:
    """Takes events of the input and heartbeats of the camera. Use it from one thread."""

    def __init__(self, section: AnnounceSection, state: PartState, clock: Clock | None = None) -> None:
        self.counts = EyeCounts()
        self.steps = Steps(round(section.latency_ms * NS_PER_MS))
        self._section, self._state = section, state
        self._clock = clock or SystemClock()
        self._log = structlog.get_logger("trigger")

    def outcome(self, what: str, trigger: TriggerMessage) -> None:
        """Count what became of an announcement."""
        self.counts.outcomes[what] += 1
        if what == "announced":
            self._log.info("announced", part_id=trigger.part_id, seq=trigger.seq)
        else:
            self._log.warning("not_announced", reason=what, part_id=trigger.part_id, seq=trigger.seq)

    def heard(self, state: CameraState) -> None:
        """Compare counts with the camera's."""
        before = self.steps.stream_uuid
        differed = self.steps.heard(
            state.stream_uuid, state.next_seq, state.closing, self._clock.monotonic_ns()
        )
        if differed:
            self._log.error("out_of_step", detail=differed, next_seq=state.next_seq)
        if self.steps.stream_uuid != before:
            self._log.info("camera_stream", stream=self.steps.stream_uuid or "none", next_seq=state.next_seq)

    def take(self, event: InputEvent, announcer: Announcer) -> None:
        """Take an event of the input. Raises the error that ended its thread, and OSError if the state is not kept."""
        match event:
            case Edges():
                self._edges(event, announcer)
            case InputOpened():
                self.counts.is_open = True
                self._log.info("input_opened", input=event.name)
            case InputLost():
                self.counts.input_lost += event.was_open
                self.counts.is_open = False
                self._log.warning("input_lost" if event.was_open else "input_absent", detail=event.detail)
            case InputEnded():
                raise event.error

    def _edges(self, edges: Edges, announcer: Announcer) -> None:
        self.counts.edges += edges.count
        self.counts.last_edge_s = time.monotonic()
        first = self._state.part + 1
        self._state.part += edges.count
        if edges.counter is not None:
            self._state.counter = edges.counter
        write_state(self._section.state, self._state)
        if edges.count > 1:
            self._log.warning("edges_together", count=edges.count, within_ms=edges.since_ns / NS_PER_MS)
        if edges.late:
            self.steps.follow()
            self._not_numbered("late", edges.count)
            return
        for part in range(first, first + edges.count):
            self._announce(part, edges, announcer)

    def _not_numbered(self, why: str, count: int) -> None:
        self.counts.outcomes[why] += count
        self._log.warning("not_announced", reason=why, parts=count, newest=self.part_id(self._state.part))

    def _announce(self, part: int, edges: Edges, announcer: Announcer) -> None:
        seq = self.steps.edge(self._clock.monotonic_ns())
        if seq is None:
            self._not_numbered("no_camera", 1)
            return
        section = self._section
        announcer.announce(
            TriggerMessage(
                stream_uuid=self.steps.stream_uuid,
                seq=seq,
                part_id=self.part_id(part),
                trigger_ns=edges.time_ns + round(section.delay_ms * NS_PER_MS),
                deadline_ms=section.deadline_ms,
                recipe=section.recipe,
                clock=section.clock,
            )
        )

    def part_id(self, number: int) -> str:
        """Return the id of a part; empty if parts have none."""
        section = self._section
        return f"{section.part_prefix}{number:0{section.part_digits}d}" if section.part_prefix else ""
