"""Accepts a new frame, with a slot of the ring and its recipe, or refuses it with a FAULT and its reason."""

from collections.abc import Callable
from typing import NamedTuple, Protocol

from cmfm_protocol.clock import Clock
from cmfm_protocol.wire.frame import Frame
from cmfm_protocol.wire.verdict import Reason
from cmfm_worker.line.intake.deadlines import Deadlines
from cmfm_worker.line.intake.ring import Ring, as_shed
from cmfm_worker.line.messages import BookEvent, Decision, LineRecipe, Trigger, fault
from cmfm_worker.settings.sections.network import IntakeSection


class RecipeLookup(Protocol):
    """Finds loaded recipes by name."""

    def find(self, recipe: str) -> LineRecipe | None:
        """Return the recipe that a header names ("" asks for the default), or None if it is not loaded."""
        ...


class Accepted(NamedTuple):
    """A claimed slot of the ring, and the recipe that the frame in it will be inspected by."""

    slot: int
    recipe: LineRecipe


class Acceptance:
    """Checks what a frame needs for its inspection. One thread (the intake) calls it.

    `done_ns` estimates when a frame that is handed to the device at a given time would be decided (CLOCK_MONOTONIC).
    """

    def __init__(
        self,
        *,
        settings: IntakeSection,
        ring: Ring,
        recipes: RecipeLookup,
        deadlines: Deadlines,
        post: Callable[[BookEvent], None],
        done_ns: Callable[[int], int],
        clock: Clock,
    ) -> None:
        self._settings = settings
        self._ring = ring
        self._recipes = recipes
        self._deadlines = deadlines
        self._post = post
        self._done_ns = done_ns
        self._clock = clock

    def model_sha(self, recipe: str) -> str:
        """Return the model that a recipe's name stands for now, "" if it is not loaded."""
        found = self._recipes.find(recipe)
        return found.sha if found is not None else ""

    def accept(self, frame: Frame, trigger: Trigger) -> Accepted | Decision:
        """Return a slot of the ring and the recipe for a frame, or the FAULT with the reason of the refusal."""
        ring, (height, width) = self._ring, frame.rgb.shape[:2]
        if self._settings.sealed_only and not frame.sealed:
            return fault(Reason.CHECKSUM, "no checksums and seal, and intake.sealed_only is set")
        wrong_clock = self._deadlines.clock_fault(frame.header.trigger_ns, frame.header.clock)
        if wrong_clock is not None:
            return fault(Reason.CLOCK_SKEW, wrong_clock)
        recipe = self._recipes.find(trigger.recipe)
        if recipe is None:
            return fault(Reason.UNKNOWN_RECIPE, f"recipe {trigger.recipe!r} is not loaded on this line")
        if not ring.fits(height, width):
            detail = f"{height} x {width} pixels; ring.max_pixels is {ring.max_pixels}"
            return fault(Reason.OVERSIZE, detail)
        now_ns = self._clock.monotonic_ns()
        if trigger.deadline_ns <= now_ns:
            return fault(Reason.DEADLINE, "its deadline had passed when it arrived")
        slot = self._claim(now_ns)
        if slot is None:
            return fault(Reason.RING_FULL, f"all {len(ring)} slots are in use by frames that can be in time")
        return Accepted(slot, recipe)

    def _claim(self, now_ns: int) -> int | None:
        """Return a free slot, if need be that of the waiting frame that is due first and too late to be inspected."""
        slot = self._ring.claim()
        if slot is not None:
            return slot
        shed = self._ring.shed(hopeless_before_ns=self._done_ns(now_ns))
        if shed is None:
            return None
        self._post(as_shed(shed))
        return shed.index
