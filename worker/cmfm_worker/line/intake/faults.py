"""Gives FAULTs: to parts whose message is damaged or refused, and to numbers whose frame never came."""

from collections.abc import Callable, Sequence
from dataclasses import replace

from cmfm_protocol.clock import Clock
from cmfm_protocol.wire.verdict import Reason
from cmfm_worker.line.intake.announced_parts import AnnouncedParts, arrived
from cmfm_worker.line.intake.camera_names import CameraNames
from cmfm_worker.line.intake.sequence import Missing
from cmfm_worker.line.intake.triggers import Triggers
from cmfm_worker.line.messages import Arrived, BookEvent, Closed, Opened, Trigger, TriggerKey, fault


class Faults:
    """Opens, or closes if they are announced, triggers that get a FAULT. One thread (the intake) calls it."""

    def __init__(
        self,
        announced: AnnouncedParts,
        triggers: Triggers,
        cameras: CameraNames,
        post: Callable[[BookEvent], None],
        clock: Clock,
    ) -> None:
        self._announced = announced
        self._triggers = triggers
        self._cameras = cameras
        self._post = post
        self._clock = clock

    def give(self, trigger: Trigger, reason: Reason, detail: str) -> None:
        """Give a trigger its FAULT; an announced one keeps what its announcement said."""
        announced = self._announced.claim(trigger.key)
        if announced is None:
            self._post(Opened(trigger, fault(reason, detail)))
        else:
            self._post(Arrived(arrived(announced, trigger), fault(reason, detail)))

    def settle(self, missing: Sequence[Missing]) -> None:
        """Give numbers that were missed their FAULT, with the damaged message that stands for each, if there is one."""
        for key, orphan in missing:
            if orphan is None:
                self._lost(key)
            else:
                self._cameras.source = orphan.source
                read = orphan.trigger
                trigger = self._triggers.without_frame(key, orphan.received_ns)
                self.give(trigger if read is None else replace(read, key=key), orphan.reason, orphan.detail)

    def _lost(self, key: TriggerKey) -> None:
        announced = self._announced.claim(key)
        if announced is None:
            self.give(self._triggers.without_frame(key, None), Reason.LOST, "no frame arrived for this seq")
        elif announced.deadline_ns > self._clock.monotonic_ns():
            # Only in a drain. Otherwise the verdict book has closed it at its deadline.
            self._post(Closed(key, fault(Reason.LOST, "announced, but no frame came before the drain")))
