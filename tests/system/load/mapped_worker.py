"""`stub_worker` with maps: every inspected part has a picture, depth and Ψ of full size, for the load of the page.

Run as `python -m tests.system.load.mapped_worker --config line.toml`.
"""

import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from scipy import ndimage
from tests.system.stub_worker import THRESHOLD, StubInspector

from cmfm_worker.cli.run import run_line
from cmfm_worker.line.intake.ring import FilledSlot
from cmfm_worker.line.messages import Decision, PartMaps
from cmfm_worker.line.service import serve
from cmfm_worker.line.wiring import Factories

SIDE = 224
VARIANTS = 16


def made_maps(number: int, score: float) -> PartMaps:
    """Return maps of a round part on a tray, with a spot of Ψ that reaches the score."""
    rng = np.random.default_rng(number)
    rows, columns = np.mgrid[:SIDE, :SIDE]
    from_centre = np.hypot(rows - SIDE / 2, columns - SIDE / 2)
    foreground = from_centre < 90
    texture = ndimage.gaussian_filter(rng.normal(0, 1, (SIDE, SIDE)), 3) * 60
    colours = [np.where(foreground, level + texture, 90) for level in (190, 150, 100)]
    rgb = np.stack(colours, axis=-1).clip(0, 255).astype(np.uint8)
    depth = np.where(foreground, 0.48, 0.5).astype(np.float32)
    psi = np.abs(ndimage.gaussian_filter(rng.normal(0, 1, (SIDE, SIDE)), 4))
    row, column = rng.integers(70, 150, 2)
    psi += 4 * psi.max() * np.exp(-((rows - row) ** 2 + (columns - column) ** 2) / 200)
    psi = (psi * (score / psi.max())).astype(np.float32)
    return PartMaps(psi, psi, psi, rgb, depth, foreground)


class MappedInspector:
    """Decides as the stub does, and adds one of a few made maps."""

    def __init__(self) -> None:
        self._stub = StubInspector()
        self._maps = [made_maps(number, 1.0) for number in range(VARIANTS)]
        self._count = 0

    def inspect(
        self, slots: Sequence[FilledSlot], rgb: Sequence[torch.Tensor], xyz: Sequence[torch.Tensor]
    ) -> list[Decision]:
        """Return one decision a slot, in order."""
        return [self._with_maps(decision) for decision in self._stub.inspect(slots, rgb, xyz)]

    def _with_maps(self, decision: Decision) -> Decision:
        if decision.score is None:
            return decision
        self._count += 1
        maps = self._maps[self._count % VARIANTS]
        psi = maps.psi * np.float32(decision.score if decision.score >= THRESHOLD else 0.4)
        return replace(decision, maps=replace(maps, psi=psi))


if __name__ == "__main__":
    factories = Factories(batch_inspector=MappedInspector)
    sys.exit(run_line(Path(sys.argv[-1]), lambda settings: serve(settings, factories)))
