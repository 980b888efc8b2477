"""Publishes a device's captures as one camera on the wire: triggers, sealed frames, heartbeats (WIRE.md).

Every number that `numbering` gives is announced before its frame. A capture that is refused, and each frame that the
device lost, is a trigger without a frame: the worker answers `lost`, and the part is rejected.
"""

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

import structlog

from cmfm_cameras.capture import Capture, is_text
from cmfm_cameras.device_thread import Arrived, DeviceEvent, DeviceLost, DeviceThread, Ended, Opened, Refused
from cmfm_cameras.errors import DeviceHungError, Refusal, RefusedCaptureError
from cmfm_cameras.numbering import NotNumbered, Numbering
from cmfm_cameras.settings.camera import CameraSection
from cmfm_client import Camera
from cmfm_protocol.clock import NS_PER_S, Clock, SystemClock
from cmfm_protocol.wire.trigger import TriggerMessage

POLL_S: Final = 0.05
"""Longest wait for an event: heartbeats, five a second, stay punctual."""

CLOCK_TOLERANCE_S: Final = 1.0
"""A device's time that is farther from this host's is not used. The worker refuses it (`intake.clock_tolerance_ms`)."""


@dataclass(slots=True)
class Counts:
    """The counts of a publisher. Other threads read it."""

    captures: int = 0
    published: int = 0
    dropped: int = 0
    skipped: int = 0
    refused: Counter[Refusal] = field(default_factory=Counter)
    opened: int = 0
    device_lost: int = 0
    clock_refused: int = 0
    device: str = ""
    is_open: bool = False
    last_frame_s: float | None = None


class Publisher:
    """Publishes events of a device on a camera. Use it from the thread that owns the camera."""

    def __init__(
        self, section: CameraSection, camera: Camera, device: DeviceThread, clock: Clock | None = None
    ) -> None:
        self.counts = Counts()
        self._section, self._camera, self._device = section, camera, device
        self._clock = clock or SystemClock()
        self._numbering = Numbering()
        self._log = structlog.get_logger("camera")

    def run(self, stopped: Callable[[], bool], turned: Callable[[], None] = lambda: None) -> None:
        """Publish until `stopped` or the end of the source. `turned` is called after each turn.

        Raises DeviceHungError, and the error that ended the device's thread.
        """
        while self._section.wait_for_worker and not self._camera.has_subscriber and not stopped():
            self._camera.rest(POLL_S)
            turned()
        self._device.start()
        while not stopped():
            event = self._device.next_event(POLL_S)
            if isinstance(event, Ended):
                if event.error is not None:
                    raise event.error
                self._log.info("source_ended")
                return
            if event is not None:
                self.take(event)
            self._camera.rest(0.0)
            if (age_s := self._device.call_age_s()) > self._section.hang_limit_s:
                raise DeviceHungError(f"a call into the driver of {self.counts.device} takes {age_s:.0f} s")
            turned()

    def take(self, event: DeviceEvent) -> None:
        """Publish one event, and count it."""
        match event:
            case Opened():
                self._opened(event)
            case DeviceLost():
                self._lost(event)
            case Arrived():
                self._arrived(event)
            case Refused():
                self._refused(event)

    def _opened(self, event: Opened) -> None:
        self.counts.opened += 1
        self.counts.device, self.counts.is_open = event.name, True
        self._numbering.opened(event.frame_ids)
        self._log.info("device_opened", device=event.name, next_seq=self._numbering.next_seq)

    def _lost(self, event: DeviceLost) -> None:
        self.counts.device_lost += event.was_open
        self.counts.is_open = False
        self._log.warning("device_lost" if event.was_open else "device_absent", detail=event.detail)

    def _arrived(self, event: Arrived) -> None:
        capture = event.capture
        self.counts.captures += 1
        at_ns = self._believed(capture.trigger_ns, event.arrived_ns)
        seq = self._numbered(capture, at_ns)
        if seq is not None:
            trigger = self._trigger(seq, at_ns, source_id=capture.part_id, encoder=capture.position())
            self._publish(trigger, capture)

    def _refused(self, event: Refused) -> None:
        error = event.error
        self.counts.captures += 1
        self.counts.refused[error.reason] += 1
        self._log.warning("capture_refused", reason=str(error.reason), detail=str(error))
        at_ns = self._believed(error.trigger_ns, event.arrived_ns)
        seq = self._numbered(error, at_ns)
        if seq is not None:
            self._trigger(seq, at_ns, source_id=error.part_id)

    def _numbered(self, capture: Capture | RefusedCaptureError, at_ns: int) -> int | None:
        """Announce the triggers that were skipped, and return the capture's number. None if it gets none.

        When the skipped ones fired is not known; each is given a time of its own, just before the capture's. The
        photo-eye has named those of a camera that it fires: here they have no part id, which contradicts none.
        """
        numbered = self._numbering.take(capture.frame_id, capture.lost_before, capture.seq)
        if isinstance(numbered, NotNumbered):
            self._not_numbered(numbered)
            return None
        for seq in range(numbered.seq - numbered.skipped, numbered.seq):
            self._trigger(seq, at_ns - (numbered.seq - seq), is_named=capture.seq is None)
        self.counts.skipped += numbered.skipped
        if numbered.skipped:
            self._log.warning("device_lost_frames", frames=numbered.skipped, before=numbered.seq)
        return numbered.seq

    def _not_numbered(self, refused: NotNumbered) -> None:
        self.counts.refused[refused.reason] += 1
        self._log.error("capture_refused", reason=str(refused.reason), detail=refused.detail)
        if refused.reopen:
            self._device.reopen()

    def _trigger(
        self, seq: int, at_ns: int, *, source_id: str = "", encoder: int | None = None, is_named: bool = True
    ) -> TriggerMessage:
        """Announce the next number, which is `seq`: camera and numbering count alike."""
        section = self._section
        return self._camera.trigger(
            self._part_id(seq, source_id) if is_named else "",
            recipe=section.recipe,
            deadline_ms=section.deadline_ms,
            trigger_ns=self._in_clock(at_ns),
            clock=section.clock,
            encoder=encoder,
            calib_id=section.calib_id,
            simulated=section.simulated,
        )

    def _publish(self, trigger: TriggerMessage, capture: Capture) -> None:
        exposure_us, gain, temperature_c = capture.said()
        is_sent = self._camera.publish(
            trigger,
            capture.rgb,
            capture.xyz,
            exposure_us=exposure_us,
            gain=gain,
            temperature_c=temperature_c,
        )
        if is_sent:
            self.counts.published += 1
        else:
            self._log.warning("frame_dropped", seq=trigger.seq, drops=self._camera.pub_drops)
        self.counts.dropped = self._camera.pub_drops
        self.counts.last_frame_s = time.monotonic()

    def _part_id(self, seq: int, source_id: str) -> str:
        rule = self._section.part_ids
        if rule == "empty":
            return ""
        if rule == "source" and source_id and is_text(source_id):
            return source_id
        return f"{self._section.station}-{self._camera.stream_uuid[:8]}-{seq}"

    def _believed(self, trigger_ns: int | None, arrived_ns: int) -> int:
        """The device's time of the trigger, or that of the arrival if the device gives no believable one."""
        if trigger_ns is None:
            return arrived_ns
        if abs(trigger_ns - arrived_ns) <= CLOCK_TOLERANCE_S * NS_PER_S:
            return trigger_ns
        self.counts.clock_refused += 1
        self._log.warning("device_clock_wrong", ahead_s=round((trigger_ns - arrived_ns) / NS_PER_S, 3))
        return arrived_ns

    def _in_clock(self, realtime_ns: int) -> int:
        if self._section.clock != "monotonic":
            return realtime_ns
        return self._clock.monotonic_ns() - (self._clock.realtime_ns() - realtime_ns)
