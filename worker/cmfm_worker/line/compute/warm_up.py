"""Warm-up: computes made-up batches of every size, so that the first real part meets no first-time costs.

A recipe is warmed up before it is in use: at the start, and again in the loading thread if it is loaded at run time.
At the start all recipes go through the line's own lane as well, because a thread and a stream have first-time costs
of their own.
"""

import math
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Final

import torch

from cmfm_protocol.clock import NS_PER_S
from cmfm_worker.errors import InputError, LostDeviceError
from cmfm_worker.line.compute.line_inspector import LineInspector
from cmfm_worker.line.compute.loop import LoopContext, is_device_loss, wait
from cmfm_worker.line.intake.ring import FilledSlot
from cmfm_worker.line.messages import LineRecipe, Trigger, TriggerKey

ALL_SIZES_TO: Final = 8
"""Up to this `max_batch` every batch size is computed once; beyond it the powers of two and the largest."""


@dataclass(frozen=True, slots=True)
class WarmUp:
    """Computes frames of `shapes` (height, width), or of a recipe's own size, in batches of up to `max_batch`."""

    shapes: tuple[tuple[int, int], ...]
    max_batch: int
    device: torch.device

    def in_this_thread(self, model: LineRecipe) -> None:
        """Compute every batch in the calling thread; the line may be running meanwhile."""
        inspector = LineInspector()
        with torch.inference_mode():
            for slots in self.batches(model):
                rgb, xyz = (
                    [getattr(slot, name).to(self.device) for slot in slots] for name in ("rgb", "xyz")
                )
                inspector.inspect(slots, rgb, xyz)

    def through_lane(
        self,
        context: LoopContext,
        models: Iterable[LineRecipe],
        stopped: Callable[[], bool] = lambda: False,
    ) -> None:
        """Compute every batch in the lane, as real ones are, until `stopped`. Nothing else may be in flight.

        Tells the batch timing what a part of the slowest recipe and shape costs. Raises InputError if a batch takes
        longer than `context.hang_limit_s`, HungDeviceError, LostDeviceError, AbandonedError, and whatever a
        computation fails with.
        """
        part_s: dict[tuple[str, torch.Size], float] = {}
        for slots in (slots for model in models for slots in self.batches(model)):
            if stopped():
                return
            began_s = time.monotonic()
            failure = wait(context, context.lane.launch(slots))
            if failure is not None and is_device_loss(failure):
                raise LostDeviceError(f"the device failed while it was warmed up: {failure}") from failure
            if failure is not None:
                raise failure
            took_s = time.monotonic() - began_s
            self._require_room(took_s, len(slots), context.hang_limit_s)
            kind = (slots[0].model.sha, slots[0].rgb.shape)
            part_s[kind] = min(took_s / len(slots), part_s.get(kind, math.inf))
        if part_s:
            context.batcher.timing.warmed(round(max(part_s.values()) * NS_PER_S))

    def batches(self, model: LineRecipe) -> Iterator[tuple[FilledSlot, ...]]:
        """Yield every shape in every size, largest first: it claims the memory that the smaller ones then use.

        A recipe that was taught on one size or distance gets frames of these: the line refuses any other.
        """
        taught = model.model.recipe.frame
        shapes = self.shapes
        if taught.height_px is not None and taught.width_px is not None:
            shapes = ((taught.height_px, taught.width_px),)
        for height, width in shapes:
            rgb, xyz = made_up_frame(height, width, taught.distance_m)
            slot = FilledSlot(-1, _TRIGGER, model, rgb, xyz, 0)
            for size in batch_sizes(self.max_batch, self.device):
                yield (slot,) * size

    def _require_room(self, took_s: float, size: int, limit_s: float) -> None:
        # On a CPU the parts of a batch are computed one after another, and the warm-up computed single ones.
        batch_s = took_s * self.max_batch if size == 1 and self.device.type == "cpu" else took_s
        if batch_s > limit_s:
            raise InputError(
                f"device.hang_limit_s = {limit_s:g}, but a batch takes {batch_s:.1f} s here: every batch would be "
                "taken for a hung device; raise it, or lower batch.max_batch"
            )


_TRIGGER: Final = Trigger(TriggerKey("warm-up", 0), "", "", "", 0, None, 0, simulated=True)
"""The trigger of made-up frames; it never reaches the verdict thread."""


def batch_sizes(max_batch: int, device: torch.device) -> list[int]:
    """Return how many frames the line computes together, largest first; on a CPU always one (`groups_of`)."""
    if device.type == "cpu":
        return [1]
    if max_batch <= ALL_SIZES_TO:
        return list(range(max_batch, 0, -1))
    powers = [1 << bit for bit in range(max_batch.bit_length()) if 1 << bit < max_batch]
    return [max_batch, *reversed(powers)]


DISTANCE_M: Final = 0.5
"""Distance of a made-up frame for a recipe that accepts any."""


def made_up_frame(
    height: int, width: int, distance_m: float | None = None
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return a dome on a plane: rgb (H, W, 3) uint8, xyz (H, W, 3) float32 metres with a median z of `distance_m`.

    It covers half of the frame, more than most parts do, so that real parts find enough memory for their pixels.
    """
    distance_m = DISTANCE_M if distance_m is None else distance_m
    long_px = max(height, width)
    y, x = torch.meshgrid(
        *((torch.arange(n) - (n - 1) / 2) / long_px * 0.2 for n in (height, width)), indexing="ij"
    )
    bump = 0.03 * torch.exp(-(x.square() + y.square()) / 0.0036)
    z = distance_m + bump.median() - bump
    rgb = torch.stack([(x + 0.1) * 1200, (y + 0.1) * 1200, 200 - bump * 400], dim=-1).clamp(0, 255).byte()
    view = distance_m / DISTANCE_M  # the width of the frame grows with its distance
    return rgb, torch.stack([x * view, y * view, z], dim=-1).float()
