"""Parts announced before their frames: each is open from then on, due by its own deadline (WIRE.md, trigger).

A frame with an announced number is the frame of that part. All messages about one number are compared, in whatever
order they come, until the verdict is out. If two of them contradict each other, it is not known which part lies there,
and the part is a FAULT.
"""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import replace
from typing import Final, NamedTuple

from cmfm_protocol.wire.trigger import TriggerMessage
from cmfm_protocol.wire.verdict import Reason
from cmfm_worker.line.intake.deadlines import Deadlines
from cmfm_worker.line.intake.sequence import SequenceTracker
from cmfm_worker.line.intake.used_numbers import Sighting
from cmfm_worker.line.messages import (
    Amended,
    BookEvent,
    Contradicted,
    Decision,
    Noticed,
    Opened,
    Trigger,
    TriggerKey,
    fault,
)

LINE_COUNT = "control"
"""The source of the line's own count of triggers. No camera endpoint has this name."""

MAX_ARRIVED: Final = 4096
"""Frames of which it is remembered what they said: far more than wait for their verdict at any time."""


class ArrivedPart(NamedTuple):
    """Facts about a part whose frame has arrived: its trigger, without the frame, and its model."""

    trigger: Trigger
    model_sha: str


class AnnouncedParts:
    """Opens announced triggers, holds those whose frame has not come, and compares what comes later.

    One thread (the intake) calls it. `model_sha` finds the model that a recipe's name stands for now.
    """

    def __init__(
        self,
        tracker: SequenceTracker,
        deadlines: Deadlines,
        post: Callable[[BookEvent], None],
        model_sha: Callable[[str], str],
    ) -> None:
        self._tracker = tracker
        self._deadlines = deadlines
        self._post = post
        self._model_sha = model_sha
        self._waiting: dict[TriggerKey, Trigger] = {}
        self._arrived: OrderedDict[TriggerKey, ArrivedPart] = OrderedDict()

    def message(self, source: str, message: TriggerMessage, now_ns: int) -> None:
        """Handle a trigger message from an endpoint: open what is new, compare and count what is not."""
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

    def frame_arrived(self, trigger: Trigger, model_sha: str) -> None:
        """Remember what a frame said, for a trigger message that comes after it."""
        self._arrived[trigger.key] = ArrivedPart(replace(trigger, frame=None), model_sha)
        if len(self._arrived) > MAX_ARRIVED:
            self._arrived.popitem(last=False)

    def _announce(self, source: str, message: TriggerMessage, now_ns: int, *, sure: bool) -> Sighting:
        key = TriggerKey(message.stream_uuid, message.seq)
        age_ns = self._deadlines.age_ns(message.trigger_ns, message.clock)
        named = Trigger(
            key=key,
            part_id=message.part_id,
            recipe=message.recipe,
            calib_id=message.calib_id,
            trigger_ns=self._deadlines.trigger_ns(age_ns),
            received_ns=None,
            deadline_ns=self._deadlines.due_ns(age_ns, message.deadline_ms),
            simulated=message.simulated,
        )
        sighting, numbers = self._tracker.trigger(source, key, named.deadline_ns, now_ns, sure=sure)
        for seq in numbers:
            trigger = named if seq == message.seq else _below(named, seq)
            self._waiting[trigger.key] = trigger
            self._post(Opened(trigger))
        if not numbers:
            self._compare(named)
        return sighting

    def _compare(self, told: Trigger) -> None:
        """Compare a trigger message with what is known of its number."""
        waiting, part = self._waiting.get(told.key), self._arrived.get(told.key)
        known = waiting or (part.trigger if part is not None else None)
        if known is None:
            return
        refusal = contradiction(told, known) or (self._other_model(told, part) if part is not None else None)
        if refusal is not None:
            self._post(Contradicted(told.key, refusal))
            return
        merged = arrived(told, known)
        if merged == replace(known, trigger_ns=merged.trigger_ns):
            return  # says nothing new
        if waiting is not None:
            self._waiting[told.key] = merged
        elif part is not None:
            self._arrived[told.key] = part._replace(trigger=merged)
        self._post(Amended(merged))

    def _other_model(self, told: Trigger, part: ArrivedPart) -> Decision | None:
        """Return the FAULT of a frame without a recipe that was admitted by another one than is told now."""
        if not told.recipe or part.trigger.recipe or self._model_sha(told.recipe) == part.model_sha:
            return None
        detail = f"announced as recipe {told.recipe}, but its frame named none and got the default"
        return fault(Reason.MALFORMED, detail, model_sha=part.model_sha)


def _below(named: Trigger, seq: int) -> Trigger:
    """Return the trigger of a lower number that a message announces with its own."""
    key = TriggerKey(named.key.stream_uuid, seq)
    return replace(named, key=key, part_id="", recipe="", calib_id="")


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
    """Return the FAULT if two messages name another part, recipe or calibration for one number, or None."""
    for what, told, found in (
        ("part", announced.part_id, frame.part_id),
        ("recipe", announced.recipe, frame.recipe),
        ("calibration", announced.calib_id, frame.calib_id),
    ):
        if told and found and told != found:
            return fault(
                Reason.MALFORMED, f"announced as {what} {told[:100]}, but its frame says {found[:100]}"
            )
    return None
