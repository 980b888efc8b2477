"""Whether a product is one piece or several, seen on good parts: what `fit` keeps of what stands above the tray.

The literature keeps the largest piece. Of a product that comes in several (fruit in a tray, a set of screws) that is a
part of the product, another one each time, and what is wrong with the rest is never seen.
"""

from collections.abc import Sequence
from statistics import median
from typing import Final

import torch

from cmfm_protocol.files.dataset import PartFiles
from cmfm_worker.cfm.prepare import prepare
from cmfm_worker.datasets.batches import read_batches
from cmfm_worker.recipes.sections import BackgroundSection

PARTS: Final = 10
"""So many good parts are looked at; their median decides, so that a stray object on a few trays does not."""

ONE_PIECE: Final = 0.95
"""Share of what stands above the tray that the largest piece of a one-piece product has at least."""


@torch.no_grad()
def pieces_on(
    parts: Sequence[PartFiles], background: BackgroundSection, batch: int, device: torch.device
) -> BackgroundSection:
    """`background` with `clusters` "all" where the parts come in several pieces, else with "largest".

    Raises DatasetError naming a torn file.
    """
    largest, every = (background.model_copy(update={"clusters": clusters}) for clusters in ("largest", "all"))
    shares: list[float] = []
    for some in read_batches(parts[:PARTS], batch, device):
        px_largest, px_every = (
            prepare(some.rgb, some.xyz, kept.options()).foreground.flatten(1).sum(1).tolist()
            for kept in (largest, every)
        )
        shares += [one / px for one, px in zip(px_largest, px_every, strict=True) if px]
    return every if shares and median(shares) < ONE_PIECE else largest
