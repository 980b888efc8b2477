"""Inspects the slots of a batch and makes one decision a part: the line's side of the package `inspection`."""

from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import replace

import torch

from cmfm_protocol.wire.verdict import Reason, Verdict
from cmfm_worker.inspection.decide import decide
from cmfm_worker.inspection.frame_check import check_frame
from cmfm_worker.inspection.regions import regions_of
from cmfm_worker.inspection.result import BatchReadBack, InspectedPart, Problem
from cmfm_worker.line.compute.lane import Decide
from cmfm_worker.line.intake.ring import FilledSlot
from cmfm_worker.line.messages import Decision, LineRecipe, PartMaps, fault


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
        """Issue everything; the returned function waits for the results (on CUDA for an event) and decides.

        A frame in another unit or of other geometry than taught is refused before anything is computed for it.
        """
        refused = _refused(slots)
        groups = groups_of(slots, rgb[0].device, without=refused)
        returning = [_issued(slots, rgb, xyz, places) for places in groups]
        return lambda: _decisions(slots, refused, zip(groups, returning, strict=True))


def _refused(slots: Sequence[FilledSlot]) -> dict[int, Problem]:
    """Return the problems of the frames that cannot be inspected, by their places."""
    found = ((i, check_frame(slot.xyz.numpy(), slot.model.model.recipe)) for i, slot in enumerate(slots))
    return {i: problem for i, problem in found if problem is not None}


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
    slots: Sequence[FilledSlot],
    refused: Mapping[int, Problem],
    groups: Iterable[tuple[Sequence[int], BatchReadBack]],
) -> list[Decision]:
    decisions = {i: refusal(problem, slots[i].model) for i, problem in refused.items()}
    for places, batch in groups:
        for i, part in zip(places, batch.parts(), strict=True):
            decision = decision_of(part, slots[i].model, slots[i].trigger.calib_id)
            decisions[i] = replace(decision, batch=len(places))
    return [replace(decisions[i], recipe_sha=slot.model.recipe_sha) for i, slot in enumerate(slots)]


def refusal(problem: Problem, model: LineRecipe) -> Decision:
    """Return the FAULT of a frame that was not inspected."""
    return fault(problem.reason, problem.detail, model_sha=model.sha)


def groups_of(
    slots: Sequence[FilledSlot], device: torch.device, without: Container[int] = ()
) -> list[list[int]]:
    """Return the places of slots that are inspected together; on a CPU each slot is inspected by itself.

    The places in `without` are left out. A matrix product's last bits depend on how many rows it has. In a batch a
    part's score would depend on its neighbours, and `replay-part` could not reproduce it. On a CPU a batch is hardly
    quicker.
    """
    places = [i for i in range(len(slots)) if i not in without]
    return [[i] for i in places] if device.type == "cpu" else group_alike(slots, places)


def group_alike(slots: Sequence[FilledSlot], places: Iterable[int]) -> list[list[int]]:
    """Group the places of slots that can be inspected together: same frame size, same extractor."""
    groups: dict[tuple[object, ...], list[int]] = {}
    for i in places:
        groups.setdefault((tuple(slots[i].rgb.shape), id(slots[i].model.inspector)), []).append(i)
    return list(groups.values())


def decision_of(part: InspectedPart, model: LineRecipe, calib_id: str) -> Decision:
    """Decide one part by its recipe and its frame's `calib_id`; a part that could not be inspected is a FAULT."""
    if part.problem is not None:
        return refusal(part.problem, model)
    recipe = model.model.recipe
    verdict, reason, detail = decide(part.score, part.level, part.measures, recipe, calib_id)
    if verdict is Verdict.FAULT:
        return fault(reason, detail, model_sha=model.sha)
    return Decision(
        verdict=verdict,
        reason=reason,
        detail=detail,
        score=part.score,
        threshold=recipe.threshold.fail_at if recipe.threshold else None,
        model_sha=model.sha,
        coverage=part.coverage,
        peak_px=part.peak_px,
        peak_xyz_m=part.peak_xyz_m,
        regions=regions_of(part, verdict, recipe),
        maps=PartMaps(part.psi, part.psi_2d, part.psi_3d, part.rgb, part.depth, part.foreground),
        drift=None if reason is Reason.OTHER_CALIBRATION else model.drift,
        by_calibration=_with_calibration(part, model)
        if reason is Reason.OTHER_CALIBRATION and not calib_id
        else {},
    )


def _with_calibration(part: InspectedPart, model: LineRecipe) -> dict[str, Decision]:
    """Return the decision on a part whose frame names no calibration, if a later message names the recipe's."""
    calib_id = model.model.recipe.calibration.id
    return {calib_id: decision_of(part, model, calib_id)}
