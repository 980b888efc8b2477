"""Decides what each message of a camera means: a frame for the ring, a FAULT, or an event that is counted. No sockets.

`new_frames` tells parts from repetitions, `acceptance` what a frame needs for its inspection, `faults` gives FAULTs.

A frame is *accepted* when its trigger has been opened in the verdict book; from then on it gets exactly one verdict.
Every message that arrives is admitted, becomes a FAULT, or is counted.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import structlog

from cmfm_protocol.clock import Clock
from cmfm_protocol.wire.errors import RemoteProtocolError
from cmfm_protocol.wire.frame import Frame, decode_frame
from cmfm_protocol.wire.state import decode_camera_state
from cmfm_protocol.wire.trigger import TriggerMessage, decode_trigger
from cmfm_protocol.wire.verdict import Reason
from cmfm_worker.line.intake.acceptance import Acceptance, RecipeLookup
from cmfm_worker.line.intake.announced_parts import AnnouncedParts, arrived, contradiction
from cmfm_worker.line.intake.camera_names import CameraNames
from cmfm_worker.line.intake.content import Repeat, Repeats, content_of
from cmfm_worker.line.intake.deadlines import Deadlines
from cmfm_worker.line.intake.faults import Faults
from cmfm_worker.line.intake.new_frames import NewFrames
from cmfm_worker.line.intake.ring import Ring
from cmfm_worker.line.intake.sequence import LOST_AT_ONCE, SequenceTracker
from cmfm_worker.line.intake.signs_of_life import SignsOfLife
from cmfm_worker.line.intake.triggers import Triggers
from cmfm_worker.line.intake.used_numbers import Fingerprint
from cmfm_worker.line.messages import (
    Arrived,
    BookEvent,
    Decision,
    Noticed,
    Opened,
    Trigger,
    TriggerKey,
    fault,
)
from cmfm_worker.settings.sections.network import IntakeSection


class Admission:
    """Decides what each message of a station's cameras means. One thread (the intake) calls it.

    `cameras` maps endpoints to names. `done_ns` estimates when a frame that is handed to the device at a given time
    would be decided (CLOCK_MONOTONIC). `backlog` tells how many posted events the verdict thread has not taken yet:
    FAULTs in bulk wait for it.
    """

    def __init__(
        self,
        *,
        settings: IntakeSection,
        ring: Ring,
        recipes: RecipeLookup,
        tracker: SequenceTracker,
        post: Callable[[BookEvent], None],
        done_ns: Callable[[int], int],
        clock: Clock,
        backlog: Callable[[], int] = lambda: 0,
        cameras: Mapping[str, str],
    ) -> None:
        self._cameras = CameraNames(cameras, post)
        post = self._cameras.post
        self._known_cameras = tuple(cameras.values())
        self._settings = settings
        self._ring = ring
        self._tracker = tracker
        self._post = post
        self._clock = clock
        self._backlog = backlog
        self._deadlines = deadlines = Deadlines(settings, post, clock)
        self._triggers = Triggers(deadlines, clock)
        self._acceptance = Acceptance(
            settings=settings,
            ring=ring,
            recipes=recipes,
            deadlines=deadlines,
            post=post,
            done_ns=done_ns,
            clock=clock,
        )
        self._announced = AnnouncedParts(tracker, deadlines, post, self._acceptance.model_sha)
        self._faults = Faults(self._announced, self._triggers, self._cameras, post, clock)
        self._new_frames = NewFrames(tracker, self._faults, self._cameras, post, clock)
        self._signs_of_life = SignsOfLife(post)
        self._repeats = Repeats(settings.repeated_frames)
        self._log = structlog.get_logger("intake")
        self._closing: set[str] = set()

    def frame_message(self, source: str, message: Sequence[memoryview]) -> None:
        """Handle a message on the frame topic (WIRE.md, frame). `source` is the endpoint that it came from."""
        received_ns = self._clock.realtime_ns()
        self._cameras.source = source
        try:
            frame = decode_frame(message)
        except RemoteProtocolError as error:
            self._damaged(source, error, received_ns)
        else:
            now_ns = self._clock.monotonic_ns()
            self._cameras.heard(frame.header.stream_uuid, frame=True)
            self._signs_of_life.report(source, frame.header.stream_uuid, now_ns, frame=True)
            self._frame(source, frame, received_ns)

    def trigger_message(self, source: str, message: Sequence[memoryview]) -> None:
        """Handle a trigger message: it announces a part before its frame (WIRE.md, trigger)."""
        self._cameras.source = source
        try:
            trigger = decode_trigger(message)
        except RemoteProtocolError as error:
            self._log.warning("damaged_trigger", camera=self._cameras.here, detail=error.detail)
            self._post(Noticed("damaged_trigger"))
            return
        if self._settings.sealed_only and not trigger.sealed:
            self._post(Noticed("unsealed_trigger"))
            return
        now_ns = self._clock.monotonic_ns()
        self._signs_of_life.report(source, trigger.stream_uuid, now_ns)
        self._deadlines.clock_fault(trigger.trigger_ns, trigger.clock)
        self._announced.message(source, trigger, now_ns)

    def announce(self, message: TriggerMessage, camera: str = "") -> str | None:
        """Handle the line's own count of triggers (WIRE.md, request). Returns why it is not believed, or None.

        `camera`, if not "", names the camera whose newest stream is meant.
        """
        self._cameras.source = ""
        if camera:
            stream_uuid = self._cameras.stream_of(camera)
            if camera not in self._known_cameras:
                return f"no camera {camera!r} on this line; there are {', '.join(self._known_cameras)}"
            if stream_uuid is None:
                return f"nothing has been heard from camera {camera!r} yet, so its stream is not known"
            message = replace(message, stream_uuid=stream_uuid)
        self._deadlines.clock_fault(message.trigger_ns, message.clock)
        return self._announced.count(message, self._clock.monotonic_ns())

    def state_message(self, source: str, message: Sequence[memoryview]) -> None:
        """Handle a camera's heartbeat: the numbers sent so far, and whether it is the last (WIRE.md, camera state)."""
        self._cameras.source = source
        try:
            state = decode_camera_state(message)
        except RemoteProtocolError as error:
            self._log.warning("damaged_camera_state", camera=self._cameras.here, detail=error.detail)
            self._post(Noticed("damaged_camera_state"))
            return
        (self._closing.add if state.closing else self._closing.discard)(source)
        now_ns = self._clock.monotonic_ns()
        self._signs_of_life.report(source, state.stream_uuid, now_ns)
        self._cameras.heard(state.stream_uuid, frame=False)
        self._tracker.announce(source, state.stream_uuid, state.next_seq, now_ns)

    def is_closing(self, source: str) -> bool:
        """Tell whether the camera at an endpoint has announced that it closes and sends no further frame."""
        return source in self._closing

    def tick(self) -> None:
        """Give lost parts their FAULT, behind what the verdict thread has to do. Call it every few ms."""
        self._cameras.source = ""
        self._faults.settle(self._tracker.expire(self._clock.monotonic_ns(), self._bulk()))

    def finish(self) -> None:
        """Give everything still waited for its FAULT at once, because no more messages will come."""
        self._faults.settle(self._tracker.flush())

    def finish_some(self) -> bool:
        """Give some of what is still waited for its FAULT, as `tick` does. Returns whether that was all."""
        most = self._bulk()
        missing = self._tracker.flush(most)
        self._faults.settle(missing)
        return not missing and most > 0

    def _frame(self, source: str, frame: Frame, received_ns: int) -> None:
        header = frame.header
        key = TriggerKey(header.stream_uuid, header.seq)
        content = content_of(frame)
        fingerprint = Fingerprint(header.trigger_ns, header.part_id, content, header.recipe, header.calib_id)
        trigger = self._triggers.of_frame(frame, received_ns)
        fired_ns = self._deadlines.fired_ns(header.trigger_ns, header.clock)
        repeat = self._repeats.find(source, frame, content)  # remembers also a frame that is not new
        if not self._new_frames.is_new(source, trigger, fingerprint, fired_ns, sealed=frame.sealed):
            return
        announced = self._announced.claim(key)
        refusal = contradiction(announced, trigger) if announced is not None else None
        if announced is not None:
            trigger = arrived(announced, trigger)
        if repeat is not None:
            trigger, refusal = self._repeated(trigger, repeat, refusal)
        opened: type[Opened | Arrived] = Opened if announced is None else Arrived
        accepted = refusal or self._acceptance.accept(frame, trigger)
        if isinstance(accepted, Decision):
            self._post(opened(trigger, accepted))
            return
        self._post(opened(trigger))  # before `fill`, after which the loop can decide it
        slot, recipe = accepted
        self._announced.frame_arrived(trigger, recipe.sha)
        self._ring.fill(slot, frame, trigger, recipe, self._clock.monotonic_ns())

    def _bulk(self) -> int:
        """Return how many FAULTs of skipped numbers may be posted now."""
        return LOST_AT_ONCE if self._backlog() < LOST_AT_ONCE else 0

    def _repeated(
        self, trigger: Trigger, repeat: Repeat, refusal: Decision | None
    ) -> tuple[Trigger, Decision | None]:
        """Count and log a frame with the bytes of another. Returns it with a remark, or with its FAULT."""
        stream_uuid, seq = trigger.key
        self._post(Noticed("repeated_frame"))
        detail = repeat.text(stream_uuid)
        self._log.warning(
            "repeated_frame", camera=self._cameras.here, stream_uuid=stream_uuid, seq=seq, detail=detail
        )
        if self._settings.repeated == "warn":
            return replace(trigger, remark=detail), refusal
        return trigger, refusal or fault(Reason.REPEATED_FRAME, detail)

    def _damaged(self, source: str, error: RemoteProtocolError, received_ns: int) -> None:
        self._log.warning(
            "damaged_message",
            camera=self._cameras.here,
            reason=str(error.reason),
            detail=error.detail,
            stream_uuid=error.stream_uuid,
            seq=error.seq,
        )
        self._post(Noticed(f"damaged_{error.reason}"))
        if error.stream_uuid is None or error.seq is None:
            self._new_frames.unreadable(source, error.reason, error.detail, received_ns)
            return
        key = TriggerKey(error.stream_uuid, error.seq)
        fingerprint = Fingerprint(error.trigger_ns or 0, error.part_id or "")
        trigger = self._triggers.of_damaged(key, error, received_ns)
        fired_ns = (
            self._deadlines.fired_ns(error.trigger_ns, error.clock or "none") if error.trigger_ns else None
        )
        if self._new_frames.is_new(source, trigger, fingerprint, fired_ns):
            self._faults.give(trigger, error.reason, error.detail)
