"""Tells whether a frame is a new part, and deals with those that are not: counts them, or gives them their FAULT."""

from collections.abc import Callable
from dataclasses import replace

import structlog

from cmfm_protocol.clock import Clock
from cmfm_protocol.wire.verdict import Reason
from cmfm_worker.line.intake.camera_names import CameraNames
from cmfm_worker.line.intake.faults import Faults
from cmfm_worker.line.intake.reuse_log import ReuseLog
from cmfm_worker.line.intake.sequence import Orphan, SequenceTracker
from cmfm_worker.line.intake.used_numbers import Fingerprint, Sighting
from cmfm_worker.line.messages import BookEvent, Contradicted, Noticed, Trigger, TriggerKey, fault


class NewFrames:
    """Asks the rules of the sequence about each frame. One thread (the intake) calls it."""

    def __init__(
        self,
        tracker: SequenceTracker,
        faults: Faults,
        cameras: CameraNames,
        post: Callable[[BookEvent], None],
        clock: Clock,
    ) -> None:
        self._tracker = tracker
        self._faults = faults
        self._cameras = cameras
        self._post = post
        self._clock = clock
        self._reuse_log = ReuseLog(tracker, cameras)
        self._log = structlog.get_logger("intake")

    def is_new(
        self,
        source: str,
        trigger: Trigger,
        fingerprint: Fingerprint,
        fired_ns: int | None,
        *,
        sealed: bool = False,
    ) -> bool:
        """Tell whether a frame from an endpoint is new. Counts one that is not, and gives it a FAULT if it owes one.

        `fired_ns` is when its trigger fired (CLOCK_MONOTONIC), None if that is not known.
        """
        key, now_ns = trigger.key, self._clock.monotonic_ns()
        sighting = self._tracker.frame(source, key, fingerprint, now_ns, sealed=sealed, fired_ns=fired_ns)
        if sighting is Sighting.NEW:
            self._count_skipped(key)
            return True
        self._deal_with(sighting, source, trigger)
        kind = sighting.name.lower()
        self._post(Noticed(kind))
        self._log.info(
            "frame_not_new", camera=self._cameras.here, what=kind, stream_uuid=key.stream_uuid, seq=key.seq
        )
        return False

    def unreadable(
        self, source: str, reason: Reason, detail: str, received_ns: int, read: Trigger | None = None
    ) -> None:
        """Note a message that stands for a number which is not known yet; `read` is what could be read of it."""
        now_ns = self._clock.monotonic_ns()
        self._tracker.orphan(source, Orphan(reason, detail, received_ns, now_ns, source, read))

    def _deal_with(self, sighting: Sighting, source: str, trigger: Trigger) -> None:
        key = trigger.key
        if sighting is Sighting.JUMP:
            detail = f"seq jumps to {key.seq}; believed only when the next ones confirm it"
            self._reuse_log.jumped(key)
            read = replace(trigger, frame=None)
            self.unreadable(source, Reason.MALFORMED, detail, trigger.received_ns or 0, read)
        elif sighting is Sighting.REUSED:
            detail = self._reuse_log.reused(source, key)
            self._faults.give(self._unattributed(trigger), Reason.MALFORMED, detail)
        elif sighting is Sighting.CHANGED:
            detail = "sent again as the same part with other bytes, recipe or calibration"
            self._post(Contradicted(key, fault(Reason.MALFORMED, detail)))
            if (
                not trigger.part_id
            ):  # nothing says that it is the same part: a camera without names may have rebooted
                detail = f"seq {key.seq} came before with other bytes, and neither names its part"
                self._faults.give(self._unattributed(trigger), Reason.MALFORMED, detail)

    def _unattributed(self, trigger: Trigger) -> Trigger:
        return replace(trigger, key=self._tracker.unattributed_key())

    def _count_skipped(self, key: TriggerKey) -> None:
        skipped = self._tracker.take_skipped()
        if skipped:
            self._post(Noticed("skipped", skipped))
            self._log.error(
                "jump_believed",
                camera=self._cameras.here,
                stream_uuid=key.stream_uuid,
                seq=key.seq,
                without_verdict=skipped,
            )
