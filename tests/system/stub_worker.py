"""`cmfm-worker --config …` with an inspection that takes almost no time, for runs of very many parts.

Everything else is the worker's own: sockets, sequence, ring, loop, verdicts, ledger, drain. The stub decides by the
frame's bytes: the first pixel's red says whether the part fails, and a frame that mixes the bytes of two parts
(`tiny_frame`) is a FAULT.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from cmfm_protocol.wire.verdict import Reason, Verdict
from cmfm_worker.cli.run import run_line
from cmfm_worker.errors import ExitCode, StartupError
from cmfm_worker.line.intake.ring import FilledSlot
from cmfm_worker.line.messages import Decision, fault
from cmfm_worker.line.service import serve
from cmfm_worker.line.wiring import Factories

SIDE_PX = 16
THRESHOLD = 0.5


def tiny_frame(number: int, *, defective: bool) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Return a frame whose points follow from its colours: rgb (16, 16, 3), xyz (16, 16, 3) metres."""
    rng = np.random.default_rng(number)
    rgb = rng.integers(0, 256, (SIDE_PX, SIDE_PX, 3), dtype=np.uint8)
    rgb[0, 0, 0] = 200 if defective else 20
    return rgb, points_of(rgb)


def points_of(rgb: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return the points that belong to a tiny frame's colours."""
    return rgb.astype(np.float32) / np.float32(256) + np.float32(0.25)


class StubInspector:
    """Decides by one pixel, after checking all of them."""

    def inspect(
        self, slots: Sequence[FilledSlot], rgb: Sequence[torch.Tensor], xyz: Sequence[torch.Tensor]
    ) -> list[Decision]:
        """Return one decision a slot, in order."""
        return [self._decide(*item) for item in zip(slots, rgb, xyz, strict=True)]

    def _decide(self, slot: FilledSlot, rgb: torch.Tensor, xyz: torch.Tensor) -> Decision:
        colours = rgb.numpy()
        if not np.array_equal(points_of(colours), xyz.numpy()):
            return fault(Reason.WORKER_ERROR, "these are not one part's own bytes")
        score = int(colours[0, 0, 0]) / 256
        failed = score >= THRESHOLD
        return Decision(
            verdict=Verdict.FAIL if failed else Verdict.PASS,
            reason=Reason.ABOVE_THRESHOLD if failed else Reason.BELOW_THRESHOLD,
            score=score,
            threshold=THRESHOLD,
            model_sha=slot.model.sha,
            recipe_sha=slot.model.recipe_sha,
            coverage=1.0,
        )


if __name__ == "__main__":
    factories = Factories(batch_inspector=StubInspector)
    try:
        code = run_line(Path(sys.argv[-1]), lambda settings: serve(settings, factories))
    except StartupError as error:
        sys.stderr.write(f"{error}\n")
        code = ExitCode.STARTUP
    sys.exit(code)
