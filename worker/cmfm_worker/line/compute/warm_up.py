"""Made-up batches of the sizes that the line will compute, so that the first real part meets no first-time costs.

A recipe is warmed before it is in use, at the start and when it is loaded at run time, in the thread that loads
it; at the start all of them go once more through the line's own lane, since a thread and a stream have
first-time costs of their own.
"""

import math
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Final

import torch

from cmfm_worker.clock import NS_PER_S
from cmfm_worker.errors import InputError, LostDeviceError
from cmfm_worker.line.compute.line_inspector import LineInspector
from cmfm_worker.line.compute.loop import LoopContext, is_device_loss, wait
from cmfm_worker.line.intake.ring import FilledSlot
from cmfm_worker.line.messages import LineRecipe, Trigger, TriggerKey

ALL_SIZES_TO: Final = 8
"""Up to this `max_batch` every batch size is computed once, beyond it the powers of two and the largest."""


@dataclass(frozen=True, slots=True)
class WarmUp:
    """`shapes` (height, width) of the frames that will come; at most `max_batch` of them are computed together."""

    shapes: tuple[tuple[int, int], ...]
    max_batch: int
    device: torch.device

    def beside(self, model: LineRecipe) -> None:
        """Compute every batch in the calling thread; the line may be running beside it."""
        bench = LineInspector()
        with torch.inference_mode():
            for slots in self.batches(model):
                rgb, xyz = (
                    [getattr(slot, name).to(self.device) for slot in slots] for name in ("rgb", "xyz")
                )
                bench.inspect(slots, rgb, xyz)

    def through(
        self, parts: LoopContext, models: Iterable[LineRecipe], stopped: Callable[[], bool] = lambda: False
    ) -> None:
        """Send every batch the way of real ones, until `stopped`. Nothing else may be in flight.

        The loop's pace learns what a part of the slowest recipe and shape costs.
        Raises InputError where a batch takes longer than `parts.hang_limit_s`, HungDeviceError,
        LostDeviceError, AbandonedError, and whatever a computation fails with.
        """
        part_s: dict[tuple[str, torch.Size], float] = {}
        for slots in (slots for model in models for slots in self.batches(model)):
            if stopped():
                return
            began_s = time.monotonic()
            failure = wait(parts.lane.launch(slots), parts)
            if failure is not None and is_device_loss(failure):
                raise LostDeviceError(f"the device failed while it was warmed up: {failure}") from failure
            if failure is not None:
                raise failure
            took_s = time.monotonic() - began_s
            self._require_room(took_s, len(slots), parts.hang_limit_s)
            kind = (slots[0].model.sha, slots[0].rgb.shape)
            part_s[kind] = min(took_s / len(slots), part_s.get(kind, math.inf))
        if part_s:
            parts.batcher.pace.warmed(round(max(part_s.values()) * NS_PER_S))

    def batches(self, model: LineRecipe) -> Iterator[tuple[FilledSlot, ...]]:
        """Every shape in every size, largest first: it claims the memory that the smaller ones then find."""
        for height, width in self.shapes:
            rgb, xyz = made_up_frame(height, width)
            slot = FilledSlot(-1, _TRIGGER, model, rgb, xyz, 0)
            for size in batch_sizes(self.max_batch, self.device):
                yield (slot,) * size

    def _require_room(self, took_s: float, size: int, limit_s: float) -> None:
        # On a CPU parts of a batch follow one another, and only single ones were computed here.
        batch_s = took_s * self.max_batch if size == 1 and self.device.type == "cpu" else took_s
        if batch_s > limit_s:
            raise InputError(
                f"device.hang_limit_s = {limit_s:g}, but a batch takes {batch_s:.1f} s here: every batch would be "
                "taken for a hung device; raise it, or lower batch.max_batch"
            )


_TRIGGER: Final = Trigger(TriggerKey("warm-up", 0), "", "", "", 0, None, 0, simulated=True)
"""Of no part; it never reaches the desk."""


def batch_sizes(max_batch: int, device: torch.device) -> list[int]:
    """How many frames the line computes together, largest first; on a CPU it is always one (`groups_of`)."""
    if device.type == "cpu":
        return [1]
    if max_batch <= ALL_SIZES_TO:
        return list(range(max_batch, 0, -1))
    powers = [1 << bit for bit in range(max_batch.bit_length()) if 1 << bit < max_batch]
    return [max_batch, *reversed(powers)]


def made_up_frame(height: int, width: int) -> tuple[torch.Tensor, torch.Tensor]:
    """A dome on a plane half a metre away: rgb (H, W, 3) uint8, xyz (H, W, 3) float32 metres.

    It takes half of the frame, more than most parts: they find memory for their pixels.
    """
    long_px = max(height, width)
    y, x = torch.meshgrid(
        *((torch.arange(n) - (n - 1) / 2) / long_px * 0.2 for n in (height, width)), indexing="ij"
    )
    z = 0.5 - 0.03 * torch.exp(-(x.square() + y.square()) / 0.0036)
    rgb = torch.stack([(x + 0.1) * 1200, (y + 0.1) * 1200, z * 400], dim=-1).clamp(0, 255).byte()
    return rgb, torch.stack([x, y, z], dim=-1).float()
