"""Builds the `Trigger` of a frame, of a damaged message, and of a number without a frame."""

from typing import Final

from cmfm_protocol.clock import Clock
from cmfm_protocol.wire.errors import RemoteProtocolError
from cmfm_protocol.wire.frame import Frame
from cmfm_worker.line.intake.deadlines import Deadlines
from cmfm_worker.line.messages import Trigger, TriggerKey

DUE_AT_ONCE_MS: Final = 0.0
"""Deadline of a part that is known to be lost or unreadable."""


class Triggers:
    """Builds triggers with their times in the worker's clocks. `received_ns` is CLOCK_REALTIME everywhere."""

    def __init__(self, deadlines: Deadlines, clock: Clock) -> None:
        self._deadlines = deadlines
        self._clock = clock

    def of_frame(self, frame: Frame, received_ns: int) -> Trigger:
        """Return the trigger that a decoded frame's header describes."""
        header = frame.header
        age_ns = self._deadlines.age_ns(header.trigger_ns, header.clock)
        return Trigger(
            key=TriggerKey(header.stream_uuid, header.seq),
            part_id=header.part_id,
            recipe=header.recipe,
            calib_id=header.calib_id,
            trigger_ns=self._deadlines.trigger_ns(age_ns),
            received_ns=received_ns,
            deadline_ns=self._deadlines.due_ns(age_ns, header.deadline_ms),
            simulated=header.simulated,
            frame=frame,
        )

    def of_damaged(self, key: TriggerKey, error: RemoteProtocolError, received_ns: int) -> Trigger:
        """Return the trigger of a damaged message, as far as its header could be read."""
        age_ns = self._deadlines.age_ns(error.trigger_ns, error.clock or "none") if error.trigger_ns else 0
        return Trigger(
            key=key,
            part_id=error.part_id or "",
            recipe=error.recipe or "",
            calib_id="",
            trigger_ns=self._deadlines.trigger_ns(age_ns),
            received_ns=received_ns,
            deadline_ns=self._deadlines.due_ns(age_ns, error.deadline_ms or DUE_AT_ONCE_MS),
            simulated=False,
        )

    def without_frame(self, key: TriggerKey, received_ns: int | None) -> Trigger:
        """Return a trigger without a readable frame. Its verdict is due at once."""
        return Trigger(
            key=key,
            part_id="",
            recipe="",
            calib_id="",
            trigger_ns=received_ns or self._clock.realtime_ns(),
            received_ns=received_ns,
            deadline_ns=self._deadlines.due_ns(0, DUE_AT_ONCE_MS),
            simulated=False,
        )
