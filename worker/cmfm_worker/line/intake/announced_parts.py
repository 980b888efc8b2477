"""Parts announced before their frames: each is open from then on, due by its own deadline (WIRE.md, trigger).

A frame with an announced number is the frame of that part. If frame and announcement contradict each other, it is
not known which part lies there, and the part is a FAULT.
"""

from collections.abc import Callable
from dataclasses import replace

from cmfm_protocol.wire.trigger import TriggerMessage
from cmfm_protocol.wire.verdict import Reason
from cmfm_worker.line.intake.deadlines import Deadlines
from cmfm_worker.line.intake.sequence import SequenceTracker
from cmfm_worker.line.intake.stream import Sighting
from cmfm_worker.line.messages import BookEvent, Decision, Noticed, Opened, Trigger, TriggerKey, fault

LINE_COUNT = "control"
"""The source of the line's own count of triggers. No camera endpoint has this name."""


class AnnouncedParts:
    """Opens announced triggers and holds those whose frame has not come. One thread (the intake) calls it."""

    def __init__(
        self, tracker: SequenceTracker, deadlines: Deadlines, post: Callable[[BookEvent], None]
    ) -> None:
        self._tracker = tracker
        self._deadlines = deadlines
        self._post = post
        self._waiting: dict[TriggerKey, Trigger] = {}

    def message(self, source: str, message: TriggerMessage, now_ns: int) -> None:
        """Handle a trigger message from an endpoint: open what is new, count what is not."""
        sighting = self._announce(source, message, now_ns, sure=False)
        if sighting is not Sighting.NEW:
            self._post(Noticed(f"trigger_{sighting.name.lower()}"))

    def count(self, message: TriggerMessage, now_ns: int) -> str | None:
        """Handle the line's own count: open every trigger up to it. Returns why it is not believed, or None."""
        if self._announce(LINE_COUNT, message, now_ns, sure=True) is Sighting.JUMP:
            return (
                f"seq {message.seq} is too far from what is known; believed when the next number confirms it"
            )
        return None

    def claim(self, key: TriggerKey) -> Trigger | None:
        """Remove and return the announced trigger of a number; None if it was not announced or is settled."""
        return self._waiting.pop(key, None)

    def _announce(self, source: str, message: TriggerMessage, now_ns: int, *, sure: bool) -> Sighting:
        key = TriggerKey(message.stream_uuid, message.seq)
        age_ns = self._deadlines.age_ns(message.trigger_ns, message.clock)
        due_ns = self._deadlines.due_ns(age_ns, message.deadline_ms)
        sighting, numbers = self._tracker.trigger(source, key, due_ns, now_ns, sure=sure)
        for seq in numbers:
            named = seq == message.seq
            trigger = Trigger(
                key=TriggerKey(message.stream_uuid, seq),
                part_id=message.part_id if named else "",
                recipe=message.recipe if named else "",
                calib_id=message.calib_id if named else "",
                trigger_ns=self._deadlines.trigger_ns(age_ns),
                received_ns=None,
                deadline_ns=due_ns,
                simulated=message.simulated,
            )
            self._waiting[trigger.key] = trigger
            self._post(Opened(trigger))
        return sighting


def arrived(announced: Trigger, frame: Trigger) -> Trigger:
    """Merge an announced trigger and its frame: the earlier deadline holds, each fills what the other left empty."""
    return replace(
        frame,
        part_id=announced.part_id or frame.part_id,
        recipe=announced.recipe or frame.recipe,
        calib_id=frame.calib_id or announced.calib_id,
        trigger_ns=announced.trigger_ns,
        deadline_ns=min(announced.deadline_ns, frame.deadline_ns),
        simulated=announced.simulated or frame.simulated,
    )


def contradiction(announced: Trigger, frame: Trigger) -> Decision | None:
    """Return the FAULT of a frame that names another part or recipe than was announced for its number, or None."""
    for what, told, found in (
        ("part", announced.part_id, frame.part_id),
        ("recipe", announced.recipe, frame.recipe),
    ):
        if told and found and told != found:
            return fault(Reason.MALFORMED, f"announced as {what} {told}, but its frame says {found}")
    return None
