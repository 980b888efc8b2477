"""From the features of a batch to its anomaly maps Ψ_2D, Ψ_3D and Ψ (paper § 3.3 and the aggregations of Table 6)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import assert_never

import torch
from torch import Tensor

from cmfm_worker.cfm import equations
from cmfm_worker.cfm.extractor import PixelFeatures
from cmfm_worker.cfm.fast.mask_indices import indices_of_true
from cmfm_worker.cfm.mapping.pair import MappingPair
from cmfm_worker.cfm.pixel_distances import pixel_distances
from cmfm_worker.cfm.scoring import PAPER_SCORING
from cmfm_worker.cfm.token_features import TokenFeatures
from cmfm_worker.cfm.variants import Aggregation, Distance


@dataclass(frozen=True)
class AnomalyMaps:
    """Ψ_2D and Ψ_3D before aggregation, and the smoothed aggregate Ψ: (B, 224, 224) float32 each, no unit."""

    psi_2d: Tensor
    psi_3d: Tensor
    psi: Tensor


@torch.no_grad()
def anomaly_maps(
    features: PixelFeatures | TokenFeatures,
    mapping: MappingPair,
    distance: Distance = "angular",
    aggregation: Aggregation = "product",
    smoothing_px: float = PAPER_SCORING.smoothing_px,
) -> AnomalyMaps:
    """Compute the three maps of every frame.

    Ψ_2D and Ψ_3D are 0 outside the mask. All maps of a frame without masked-in pixels are 0. Raises ValueError if the
    mapping was fitted on features of other widths, or has not learned what `distance` needs.
    """
    if (features.d2, features.d3) != (mapping.d2, mapping.d3):
        raise ValueError(
            f"features of widths {features.d2} (2D) and {features.d3} (3D) do not fit a mapping between "
            f"{mapping.d2} and {mapping.d3}"
        )
    psi_2d, psi_3d = scatter_to_maps(features.mask, *pixel_distances(features, mapping, distance))
    return AnomalyMaps(psi_2d, psi_3d, aggregate(psi_2d, psi_3d, aggregation, smoothing_px))


def scatter_to_maps(mask: Tensor, of_2d: Tensor, of_3d: Tensor) -> tuple[Tensor, Tensor]:
    """Put the values (P,) of the pixels inside `mask` (B, 224, 224) into two maps that are 0 elsewhere."""
    psi_2d = torch.zeros(mask.shape, device=mask.device)
    psi_3d = torch.zeros_like(psi_2d)
    at = indices_of_true(mask, len(of_2d))
    psi_2d.view(-1)[at], psi_3d.view(-1)[at] = of_2d, of_3d
    return psi_2d, psi_3d


def aggregate(
    psi_2d: Tensor,
    psi_3d: Tensor,
    aggregation: Aggregation = "product",
    smoothing_px: float = PAPER_SCORING.smoothing_px,
) -> Tensor:
    """Combine Ψ_2D and Ψ_3D (B, H, W) to Ψ and smooth it. The paper's choice is the product."""
    return equations.smoothed(_combined(psi_2d, psi_3d, aggregation), smoothing_px)


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
