"""`cmfm-worker --config …` on a device that hangs: the computation of the part `hang` never returns from C."""

import ctypes
import sys
from collections.abc import Sequence
from pathlib import Path

import torch

from cmfm_worker.cli.run import run_line
from cmfm_worker.line.compute.line_inspector import LineInspector
from cmfm_worker.line.intake.ring import FilledSlot
from cmfm_worker.line.messages import Decision
from cmfm_worker.line.service import serve
from cmfm_worker.line.wiring import Factories


class HangingInspector(LineInspector):
    """Inspects until it is given the part that hangs."""

    def inspect(
        self, slots: Sequence[FilledSlot], rgb: Sequence[torch.Tensor], xyz: Sequence[torch.Tensor]
    ) -> list[Decision]:
        while any(slot.trigger.part_id == "hang" for slot in slots):
            ctypes.CDLL(None).pause()
        return super().inspect(slots, rgb, xyz)


if __name__ == "__main__":
    factories = Factories(batch_inspector=HangingInspector)
    sys.exit(run_line(Path(sys.argv[-1]), lambda settings: serve(settings, factories)))
