"""Determines from good parts whether a product is one piece or several, so that `fit` keeps all of it.

The literature keeps only the largest piece above the tray. For a product of several pieces (fruit in a tray, a set of
screws) that would be a different piece each time, and defects on the others would never be seen.
"""

from collections.abc import Sequence
from statistics import median
from typing import Final

import torch

from cmfm_protocol.files.dataset import PartFiles
from cmfm_worker.cfm.prepare import prepare
from cmfm_worker.cfm.progress import ReportProgress
from cmfm_worker.datasets.batches import read_batches
from cmfm_worker.recipes.sections import BackgroundSection

PARTS: Final = 10
"""Number of good parts to look at. Their median decides, so a stray object on a few trays has no effect."""

ONE_PIECE: Final = 0.95
"""Least share of the pixels above the tray that the largest piece of a one-piece product has."""


@torch.no_grad()
def pieces_on(
    parts: Sequence[PartFiles],
    background: BackgroundSection,
    batch: int,
    device: torch.device,
    progress: ReportProgress,
) -> BackgroundSection:
    """Return `background` with `clusters` "all" if the parts come in several pieces, else with "largest".

    Reports the stage "pieces". Raises DatasetError naming an unreadable file.
    """
    largest, every = (background.model_copy(update={"clusters": clusters}) for clusters in ("largest", "all"))
    shares: list[float] = []
    looked_at, chosen = 0, parts[:PARTS]
    progress("pieces", looked_at, len(chosen))
    for some in read_batches(chosen, batch, device):
        px_largest, px_every = (
            prepare(some.rgb, some.xyz, kept.options()).foreground.flatten(1).sum(1).tolist()
            for kept in (largest, every)
        )
        shares += [one / px for one, px in zip(px_largest, px_every, strict=True) if px]
        looked_at += len(some.files)
        progress("pieces", looked_at, len(chosen))
    return every if shares and median(shares) < ONE_PIECE else largest
