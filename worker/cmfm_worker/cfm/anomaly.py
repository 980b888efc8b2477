"""From features and mappings to anomaly maps and a score (paper Eq. 1, 3 and § 3.3)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from cmfm_worker.cfm.extractor import PixelFeatures
from cmfm_worker.cfm.mapping import MappingPair
from cmfm_worker.cfm.tokens import TokenFeatures

Normalisation = Literal["absolute", "published"]
Distance = Literal["angular", "standardised"]
"""How Ψ_2D and Ψ_3D are measured: the paper's Eq. 3, or residuals in units of their nominal spread."""

HIGHEST_RESIDUAL = 30.0
"""Standard deviations at which a residual is cut off: nothing is more of an anomaly than that."""

PIXELS_AT_ONCE = 4096
"""Rows that pass the mapping networks together: keeps the hidden layers to about 16 MB on any frame."""

_BOX_SIDES_PX = (5,) * 5 + (7,) * 3
"""The Gaussian of σ = 4 as box means, DESIGN § 5."""


@dataclass(frozen=True)
class AnomalyMaps:
    """Ψ_2D, Ψ_3D before aggregation and Ψ, their smoothed product: each (B, 224, 224) float32, no unit."""

    psi_2d: Tensor
    psi_3d: Tensor
    psi: Tensor


@torch.no_grad()
def crossmodal_maps(
    features: PixelFeatures | TokenFeatures, mapping: MappingPair, distance: Distance = "angular"
) -> AnomalyMaps:
    """The three maps of every frame. Ψ_2D and Ψ_3D are 0 outside the mask; a frame without pixels is all 0.

    Raises `ValueError` where the mapping was taught on features of other widths, or lacks what `distance` needs.
    """
    if (features.d2, features.d3) != (mapping.d2, mapping.d3):
        raise ValueError(
            f"features of widths {features.d2} (2D) and {features.d3} (3D) do not fit a mapping between "
            f"{mapping.d2} and {mapping.d3}"
        )
    psi_2d = torch.zeros(features.mask.shape, device=features.mask.device)
    psi_3d = torch.zeros_like(psi_2d)
    psi_2d[features.mask], psi_3d[features.mask] = distances(features, mapping, distance)
    return AnomalyMaps(psi_2d, psi_3d, aggregate(psi_2d, psi_3d))


def distances(
    features: PixelFeatures | TokenFeatures, mapping: MappingPair, distance: Distance = "angular"
) -> tuple[Tensor, Tensor]:
    """Ψ_2D and Ψ_3D of the pixels inside the mask, each (P,); from tokens where the mapping can take them."""
    if not isinstance(features, TokenFeatures):
        return pixel_distances(features.e2d, features.e3d, mapping, distance)
    if mapping.at_tokens is None or distance != "angular":
        pixels = features.at_pixels()
        return pixel_distances(pixels.e2d, pixels.e3d, mapping, distance)
    return _distances(mapping.at_tokens.chunks(features), features.mask.device)


def pixel_distances(
    e2d: Tensor, e3d: Tensor, mapping: MappingPair, distance: Distance = "angular"
) -> tuple[Tensor, Tensor]:
    """Ψ_2D and Ψ_3D, each (P,), of packed features (P, D_2D) and (P, D_3D)."""
    if distance == "standardised":
        return _standardised_distances(e2d, e3d, mapping)
    chunks = (
        (E_2D, mapping.to_2d(E_3D), E_3D, mapping.to_3d(E_2D))  # Eq. 1
        for E_2D, E_3D in _standardised_chunks(e2d, e3d, mapping)
    )
    return _distances(chunks, e2d.device)


def _standardised_chunks(e2d: Tensor, e3d: Tensor, mapping: MappingPair) -> Iterator[tuple[Tensor, Tensor]]:
    for start in range(0, len(e2d), PIXELS_AT_ONCE):
        E_2D, E_3D = (e[start : start + PIXELS_AT_ONCE] for e in (e2d, e3d))
        yield (E_2D, E_3D) if mapping.standardise is None else mapping.standardise(E_2D, E_3D)


def _standardised_distances(e2d: Tensor, e3d: Tensor, mapping: MappingPair) -> tuple[Tensor, Tensor]:
    """Residuals over their nominal spread: about 1 at a nominal pixel, whether it is easy to predict or hard."""
    psi_2d, psi_3d = e2d.new_empty(len(e2d)), e3d.new_empty(len(e3d))
    start = 0
    for E_2D, E_3D in _standardised_chunks(e2d, e3d, mapping):
        place = slice(start, start := start + len(E_2D))
        psi_2d[place] = _residual(E_2D, *mapping.to_2d.with_log_spread(E_3D))
        psi_3d[place] = _residual(E_3D, *mapping.to_3d.with_log_spread(E_2D))
    return psi_2d, psi_3d


def _residual(E: Tensor, E_hat: Tensor, log_spread: Tensor) -> Tensor:
    """The root mean square of (E − Ê) / σ over the channels, (P, C) → (P,)."""
    z = (E - E_hat) * torch.exp(-log_spread)
    return z.clamp(-HIGHEST_RESIDUAL, HIGHEST_RESIDUAL).square().mean(-1).sqrt()


def _distances(
    chunks: Iterable[tuple[Tensor, Tensor, Tensor, Tensor]], device: torch.device
) -> tuple[Tensor, Tensor]:
    """Eq. 3 of E_2D, Ê_2D, E_3D and Ê_3D, for some pixels after the other."""
    psi_2d, psi_3d = [torch.empty(0, device=device)], [torch.empty(0, device=device)]
    for E_2D, E_2D_hat, E_3D, E_3D_hat in chunks:
        psi_2d.append(_discrepancy(E_2D, E_2D_hat))
        psi_3d.append(_discrepancy(E_3D, E_3D_hat))
    return torch.cat(psi_2d), torch.cat(psi_3d)


def _discrepancy(E: Tensor, E_hat: Tensor) -> Tensor:
    """D(E, Ê): Euclidean distance of the ℓ2-normalised vectors, (P, C) → (P,)."""
    distance: Tensor = torch.linalg.vector_norm(F.normalize(E, dim=-1) - F.normalize(E_hat, dim=-1), dim=-1)
    return distance


def aggregate(psi_2d: Tensor, psi_3d: Tensor) -> Tensor:
    """Ψ = smooth(Ψ_2D · Ψ_3D), (B, H, W): an anomaly only where both modalities disagree (§ 3.3)."""
    return smooth(psi_2d * psi_3d)


def smooth(psi: Tensor) -> Tensor:
    """Five 5×5 box means, then three 7×7, zero outside the image: (B, H, W) → (B, H, W).

    A box mean is a mean along the columns and one along the rows, and all of them are linear: M_H Ψ M_Wᵀ, with
    each axis' eight means in one matrix.
    """
    height, width = psi.shape[1:]
    return _box_means(height, psi.device) @ psi @ _box_means(width, psi.device).T


@cache
def _box_means(length: int, device: torch.device) -> Tensor:
    """All box means along one axis of so many pixels: (length, length) float32, composed in float64."""
    at = torch.arange(length)
    apart = (at[:, None] - at).abs()
    composed = torch.eye(length, dtype=torch.float64)
    for side in _BOX_SIDES_PX:
        composed = (apart <= side // 2).double() / side @ composed
    with torch.inference_mode(mode=False):  # the line asks first, but others use it too
        return composed.to(device, torch.float32)


def score(psi: Tensor, normalisation: Normalisation) -> Tensor:
    """One score a frame from Ψ (B, H, W): (B,).

    `absolute` is max Ψ (§ 3.3); `published` is max(Ψ / √m) with m the mean of that frame's non-zero Ψ, as in
    the published numbers (DESIGN § 5). A frame whose Ψ is 0 everywhere scores 0.
    """
    flat = psi.flatten(1)
    highest = flat.amax(1)
    if normalisation == "absolute":
        return highest
    m = flat.sum(1) / (flat != 0).sum(1).clamp(min=1)
    # Where Ψ is 0 everywhere m is 0 as well: divide by 1 and let the score be 0.
    return highest / torch.where(m > 0, m, 1).sqrt()
