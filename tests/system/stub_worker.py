"""`cmfm-worker` with an inspection that costs next to nothing: for runs of so many parts that the method has no time.

Everything else is the worker's own: sockets, sequence, ring, loop, desk, ledger, drain. The stub looks at the part's
own bytes: the first pixel's red says whether it fails, and a frame whose bytes are not all its own (`tiny_frame`)
is never passed.
"""

import sys
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from cmfm_protocol.wire.verdict import Reason, Verdict
from cmfm_worker import app
from cmfm_worker.line import wiring as assembly
from cmfm_worker.line.intake.ring import FilledSlot
from cmfm_worker.line.messages import Decision, fault

SIDE_PX = 16
THRESHOLD = 0.5


def tiny_frame(number: int, *, defective: bool) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """A frame whose points can be told from its colours: rgb (16, 16, 3), xyz (16, 16, 3) metres."""
    rng = np.random.default_rng(number)
    rgb = rng.integers(0, 256, (SIDE_PX, SIDE_PX, 3), dtype=np.uint8)
    rgb[0, 0, 0] = 200 if defective else 20
    return rgb, points_of(rgb)


def points_of(rgb: NDArray[np.uint8]) -> NDArray[np.float32]:
    """The points that belong to a tiny frame's colours."""
    return rgb.astype(np.float32) / np.float32(256) + np.float32(0.25)


class StubBench:
    """Decides by one pixel, after a look at all of them."""

    def inspect(
        self, slots: Sequence[FilledSlot], rgb: Sequence[torch.Tensor], xyz: Sequence[torch.Tensor]
    ) -> list[Decision]:
        """One decision a slot, in order."""
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
    vars(assembly)["LineInspector"] = StubBench
    app.main(sys.argv[1:])
