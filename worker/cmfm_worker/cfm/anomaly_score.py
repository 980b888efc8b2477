"""From anomaly maps to one score a frame: the paper's maximum, and its variants.

One step is not in the paper and off unless asked for: the map of a part with a clear defect is compressed. The features
of a pixel reach some pixels far, so a strong defect raises Ψ around itself, there more than a weak defect of another
part does where it is. Divided by a root of the score, the surroundings of the one no longer outshine the other.
"""

from __future__ import annotations

import torch
from torch import Tensor

from cmfm_worker.cfm import equations
from cmfm_worker.cfm.scoring import PAPER_SCORING
from cmfm_worker.cfm.variants import Normalisation


def score(psi: Tensor, normalisation: Normalisation, highest_px: int = PAPER_SCORING.highest_px) -> Tensor:
    """Compute one score a frame from Ψ (B, H, W): (B,).

    `absolute` is the mean of the `highest_px` highest pixels of Ψ; with 1 pixel it is max Ψ, the paper's score (§ 3.3).
    `published` divides it by √m, with m the mean of the frame's non-zero Ψ (docs/method.md, scores). A frame whose Ψ is
    0 everywhere scores 0.
    """
    highest = equations.maximum(psi) if highest_px == 1 else _mean_of_highest(psi, highest_px)
    if normalisation == "absolute":
        return highest
    flat = psi.flatten(1)
    m = flat.sum(1) / (flat != 0).sum(1).clamp(min=1)
    # m is 0 if Ψ is 0 everywhere: divide by 1 and let the score be 0.
    return highest / torch.where(m > 0, m, 1).sqrt()


def compressed(psi: Tensor, scores: Tensor, above: float) -> Tensor:
    """Multiply Ψ (B, H, W) of frames whose score (B,) is higher than `above` by √(above / score).

    The scores stay: what is compared with a threshold is a map on the scale of its score.
    """
    share = (above / scores).clamp(max=1.0).sqrt()  # a score of 0 gives infinity, and so 1
    return psi * share[:, None, None]


def _mean_of_highest(psi: Tensor, pixels: int) -> Tensor:
    return psi.flatten(1).topk(pixels, dim=1, sorted=False).values.mean(1)
