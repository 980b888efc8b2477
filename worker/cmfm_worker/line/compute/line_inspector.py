"""Inspects the slots of a batch and makes one decision a part: the line's side of the package `inspection`."""

from collections.abc import Iterable, Sequence
from dataclasses import replace

import torch

from cmfm_protocol.wire.verdict import Reason, Verdict
from cmfm_worker.inspection.decide import decide
from cmfm_worker.inspection.frame_check import checked
from cmfm_worker.inspection.regions import regions_of
from cmfm_worker.inspection.result import BatchReadBack, InspectedPart
from cmfm_worker.line.compute.lane import Decide
from cmfm_worker.line.intake.ring import FilledSlot
from cmfm_worker.line.messages import Decision, LineRecipe, PartMaps, fault
from cmfm_worker.recipes.recipe import Recipe


class LineInspector:
    """Inspects batches that may mix frame sizes, recipes and extractors (a `StagedInspector`)."""

    def inspect(
        self, slots: Sequence[FilledSlot], rgb: Sequence[torch.Tensor], xyz: Sequence[torch.Tensor]
    ) -> list[Decision]:
        """Return one decision a slot, in order; `rgb` (H, W, 3) uint8 and `xyz` (H, W, 3) float32 lie on the device."""
        return self.begin(slots, rgb, xyz)()

    def begin(
        self, slots: Sequence[FilledSlot], rgb: Sequence[torch.Tensor], xyz: Sequence[torch.Tensor]
    ) -> Decide:
        """Issue everything; the returned function waits for the results (on CUDA for an event) and decides."""
        groups = groups_of(slots, rgb[0].device)
        returning = [_issued(slots, rgb, xyz, places) for places in groups]
        return lambda: _decisions(slots, zip(groups, returning, strict=True))


def _issued(
    slots: Sequence[FilledSlot],
    rgb: Sequence[torch.Tensor],
    xyz: Sequence[torch.Tensor],
    places: Sequence[int],
) -> BatchReadBack:
    """Issue the inspection of the slots at some places, and the copy of its results to the host."""
    inspected = slots[places[0]].model.inspector.inspect(
        torch.stack([rgb[i] for i in places]),
        torch.stack([xyz[i] for i in places]),
        [slots[i].model.model for i in places],
    )
    return inspected.start_read_back()


def _decisions(
    slots: Sequence[FilledSlot], groups: Iterable[tuple[Sequence[int], BatchReadBack]]
) -> list[Decision]:
    decisions: dict[int, Decision] = {}
    for places, batch in groups:
        for i, inspected in zip(places, batch.parts(), strict=True):
            slot = slots[i]
            part = checked(inspected, slot.xyz.numpy(), slot.model.model.recipe)
            decision = decision_of(part, slot.model, slot.trigger.calib_id)
            decisions[i] = replace(decision, recipe_sha=slot.model.recipe_sha, batch=len(places))
    return [decisions[i] for i in range(len(slots))]


def groups_of(slots: Sequence[FilledSlot], device: torch.device) -> list[list[int]]:
    """Return the places of slots that are inspected together; on a CPU each slot is inspected by itself.

    A matrix product's last bits depend on how many rows it has. In a batch a part's score would depend on its
    neighbours, and `replay-part` could not reproduce it. On a CPU a batch is hardly quicker.
    """
    return [[i] for i in range(len(slots))] if device.type == "cpu" else group_alike(slots)


def group_alike(slots: Sequence[FilledSlot]) -> list[list[int]]:
    """Return the places of slots that can be inspected together: same frame size, same extractor."""
    groups: dict[tuple[object, ...], list[int]] = {}
    for i, slot in enumerate(slots):
        groups.setdefault((tuple(slot.rgb.shape), id(slot.model.inspector)), []).append(i)
    return list(groups.values())


def decision_of(part: InspectedPart, model: LineRecipe, calib_id: str) -> Decision:
    """Decide one part by its recipe and its frame's `calib_id`; a part that could not be inspected is a FAULT."""
    if part.problem is not None:
        return fault(part.problem.reason, part.problem.detail, model_sha=model.sha)
    recipe = model.model.recipe
    verdict, reason = decide(part.score, part.coverage, recipe, calib_id)
    if verdict is Verdict.FAULT:
        return fault(reason, "its score is not a finite number", model_sha=model.sha)
    return Decision(
        verdict=verdict,
        reason=reason,
        detail=_calibration_detail(recipe) if reason is Reason.OTHER_CALIBRATION else "",
        score=part.score,
        threshold=recipe.threshold.fail_at if recipe.threshold else None,
        model_sha=model.sha,
        coverage=part.coverage,
        peak_px=part.peak_px,
        peak_xyz_m=part.peak_xyz_m,
        regions=regions_of(part, verdict, recipe),
        maps=PartMaps(part.psi, part.psi_2d, part.psi_3d, part.rgb, part.depth, part.foreground),
        by_calibration=_with_calibration(part, model)
        if reason is Reason.OTHER_CALIBRATION and not calib_id
        else {},
    )


def _with_calibration(part: InspectedPart, model: LineRecipe) -> dict[str, Decision]:
    """Return the decision on a part whose frame names no calibration, if a later message names the recipe's."""
    calib_id = model.model.recipe.calibration.id
    return {calib_id: decision_of(part, model, calib_id)}


def _calibration_detail(recipe: Recipe) -> str:
    """The recipe's side of the mismatch; the frame's `calib_id` is in the result. Short enough for the wire."""
    return f"the recipe is for calibration {recipe.calibration.id[:48]!r}"
