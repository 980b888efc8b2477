"""From the features of a batch to its anomaly maps Ψ_2D, Ψ_3D and Ψ (paper § 3.3 and the aggregations of Table 6).

Two steps are not in the paper and off unless asked for: Ψ is continued beyond the pixels that have features
(`continuation.py`), and divided by the part's own level. A good part under an unusual light or in a rare pose has a
higher Ψ all over; a defect stands out from the part that it is on.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import assert_never

import torch
from torch import Tensor

from cmfm_worker.cfm import equations
from cmfm_worker.cfm.continuation import continued, repeated
from cmfm_worker.cfm.extractor import PixelFeatures
from cmfm_worker.cfm.fast.mask_indices import indices_of_true
from cmfm_worker.cfm.mapping.pair import MappingPair
from cmfm_worker.cfm.pixel_distances import pixel_distances
from cmfm_worker.cfm.scoring import PAPER_SCORING
from cmfm_worker.cfm.token_features import TokenFeatures
from cmfm_worker.cfm.variants import Aggregation, Distance


@dataclass(frozen=True)
class AnomalyMaps:
    """Ψ_2D and Ψ_3D before aggregation, and the smoothed aggregate Ψ: (B, 224, 224) float32 each, no unit.

    `level` (B,) is the mean of Ψ over the part, before Ψ was divided by it.
    """

    psi_2d: Tensor
    psi_3d: Tensor
    psi: Tensor
    level: Tensor


@torch.no_grad()
def anomaly_maps(
    features: PixelFeatures | TokenFeatures,
    mapping: MappingPair,
    distance: Distance = "angular",
    aggregation: Aggregation = "product",
    smoothing_px: float = PAPER_SCORING.smoothing_px,
    *,
    continue_map: bool = False,
    level_range: tuple[float, float] | None = None,
) -> AnomalyMaps:
    """Compute the three maps of every frame.

    Ψ_2D and Ψ_3D are 0 outside the mask. With `continue_map` Ψ is continued there before it is smoothed. With
    `level_range`, the levels of nominal parts, Ψ is divided by the part's level, held within that range: a part that is
    bad all over stays bad. All maps of a frame without masked-in pixels are 0.

    Raises ValueError if the mapping was fitted on features of other widths, or has not learned what `distance` needs.
    """
    if (features.d2, features.d3) != (mapping.d2, mapping.d3):
        raise ValueError(
            f"features of widths {features.d2} (2D) and {features.d3} (3D) do not fit a mapping between "
            f"{mapping.d2} and {mapping.d3}"
        )
    maps = scatter_to_maps(features, *pixel_distances(features, mapping, distance))
    psi = aggregate(*maps, aggregation, smoothing_px, continue_map=continue_map)
    level = level_of(psi, features.mask)
    if level_range is not None:
        psi = psi / level.clamp(*level_range)[:, None, None]
    return AnomalyMaps(*maps, psi, level)


def scatter_to_maps(
    features: PixelFeatures | TokenFeatures, of_2d: Tensor, of_3d: Tensor
) -> tuple[Tensor, Tensor]:
    """Put the values (P,) of the pixels that have features into two maps (B, 224, 224) that are 0 elsewhere.

    On a grid each value stands for the pixels up to the next one.
    """
    mask = features.mask
    psi_2d = torch.zeros(mask.shape, device=mask.device)
    psi_3d = torch.zeros_like(psi_2d)
    at = indices_of_true(mask, len(of_2d))
    psi_2d.view(-1)[at], psi_3d.view(-1)[at] = of_2d, of_3d
    return repeated(psi_2d, features.grid_px), repeated(psi_3d, features.grid_px)


def aggregate(
    psi_2d: Tensor,
    psi_3d: Tensor,
    aggregation: Aggregation = "product",
    smoothing_px: float = PAPER_SCORING.smoothing_px,
    *,
    continue_map: bool = False,
) -> Tensor:
    """Combine Ψ_2D and Ψ_3D (B, H, W) to Ψ and smooth it. The paper's choice is the product.

    With `continue_map` Ψ is continued where both are 0, before it is smoothed.
    """
    psi = _combined(psi_2d, psi_3d, aggregation)
    if continue_map:
        psi = continued(psi, (psi_2d != 0) | (psi_3d != 0))
    return equations.smoothed(psi, smoothing_px)


def level_of(psi: Tensor, mask: Tensor) -> Tensor:
    """Return the mean of each frame's Ψ (B, H, W) over its mask, (B,); 0 for a frame without pixels."""
    return (psi * mask).sum((1, 2)) / mask.sum((1, 2)).clamp(min=1)


def _combined(psi_2d: Tensor, psi_3d: Tensor, aggregation: Aggregation) -> Tensor:
    match aggregation:
        case "product":
            return equations.aggregated(psi_2d, psi_3d)
        case "sum":
            return psi_2d + psi_3d
        case "max":
            return torch.maximum(psi_2d, psi_3d)
        case "2d":
            return psi_2d
        case "3d":
            return psi_3d
        case _:
            assert_never(aggregation)
