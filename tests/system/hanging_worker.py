"""`cmfm-worker` on a device that hangs: from part `hang` on, a computation never comes back from C."""

import ctypes
from collections.abc import Sequence

import torch

from cmfm_worker import app
from cmfm_worker.line import wiring as assembly
from cmfm_worker.line.compute.line_inspector import LineInspector
from cmfm_worker.line.intake.ring import FilledSlot
from cmfm_worker.line.messages import Decision


class HangingBench(LineInspector):
    """Computes as always until it is given the part that hangs."""

    def inspect(
        self, slots: Sequence[FilledSlot], rgb: Sequence[torch.Tensor], xyz: Sequence[torch.Tensor]
    ) -> list[Decision]:
        while any(slot.trigger.part_id == "hang" for slot in slots):
            ctypes.CDLL(None).pause()
        return super().inspect(slots, rgb, xyz)


if __name__ == "__main__":
    setattr(assembly, "LineInspector", HangingBench)  # noqa: B010 (the type checker would have it constant)
    app.main()
