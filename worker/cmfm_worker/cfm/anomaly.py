"""From features and mappings to anomaly maps and a score (paper Eq. 1, 3 and § 3.3)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from itertools import accumulate, pairwise
from typing import Literal, NamedTuple, assert_never

import torch
from torch import Tensor
from torch.nn import functional as F

from cmfm_worker.cfm.classic.filters import gaussian_matrix
from cmfm_worker.cfm.classic.residual_metric import ResidualMetric, root_mean_square
from cmfm_worker.cfm.extractor import PixelFeatures
from cmfm_worker.cfm.fast.places import places_of_true
from cmfm_worker.cfm.mapping.pair import MappingPair
from cmfm_worker.cfm.scoring import PAPER_SCORING
from cmfm_worker.cfm.tokens import TokenFeatures
from cmfm_worker.cfm.variants import Aggregation

Normalisation = Literal["absolute", "published"]
Distance = Literal["angular", "standardised", "metric"]
"""How Ψ_2D and Ψ_3D are measured: the paper's Eq. 3, residuals in units of their nominal spread, or such residuals in
the metric that was learned for them (`residual_metric`).
"""

PIXELS_AT_ONCE = 4096
"""Rows that pass the mapping networks together: keeps the hidden layers to about 16 MB on any frame."""

_BOX_SIDES_PX = (5,) * 5 + (7,) * 3
"""The paper's Gaussian of σ = 4 as box means (docs/method.md, smoothing)."""


@dataclass(frozen=True)
class AnomalyMaps:
    """Ψ_2D, Ψ_3D before aggregation and Ψ, their aggregate, smoothed: each (B, 224, 224) float32, no unit."""

    psi_2d: Tensor
    psi_3d: Tensor
    psi: Tensor


@torch.no_grad()
def crossmodal_maps(
    features: PixelFeatures | TokenFeatures,
    mapping: MappingPair,
    distance: Distance = "angular",
    aggregation: Aggregation = "product",
    smoothing_px: float = PAPER_SCORING.smoothing_px,
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
    of_pixels = distances(features, mapping, distance)
    at = places_of_true(features.mask, len(of_pixels[0]))
    psi_2d.view(-1)[at], psi_3d.view(-1)[at] = of_pixels
    return AnomalyMaps(psi_2d, psi_3d, aggregate(psi_2d, psi_3d, aggregation, smoothing_px))


def distance_of(mapping: MappingPair) -> Distance:
    """What a mapping was fitted to be measured by, told by what it has learned."""
    if mapping.metric is not None:
        return "metric"
    return "standardised" if mapping.has_spreads else "angular"


def distances(
    features: PixelFeatures | TokenFeatures, mapping: MappingPair, distance: Distance = "angular"
) -> tuple[Tensor, Tensor]:
    """Ψ_2D and Ψ_3D of the pixels inside the mask, each (P,); from tokens where the mapping can take them."""
    if isinstance(features, TokenFeatures):
        if mapping.at_tokens is not None and distance == "angular":
            return _distances(mapping.at_tokens.chunks(features), features.mask.device)
        features = features.at_pixels()
    return pixel_distances(features.e2d, features.e3d, mapping, distance, features.mask)


def pixel_distances(
    e2d: Tensor, e3d: Tensor, mapping: MappingPair, distance: Distance = "angular", mask: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Ψ_2D and Ψ_3D, each (P,), of packed features (P, D_2D) and (P, D_3D).

    `mask` (B, 224, 224) bool is the pixels that they belong to; a mapping of whole maps raises ValueError without.
    """
    pieces = _pieces(e2d, e3d, mapping, mask)
    if distance != "angular":
        metric = mapping.metric if distance == "metric" else None
        if distance == "metric" and metric is None:
            raise ValueError("the mapping has learned no metric")
        return _standardised_distances(pieces, mapping, metric, e2d.device)
    chunks = (_predicted(piece, mapping) for piece in pieces)
    return _distances(chunks, e2d.device)


class _Piece(NamedTuple):
    """Standardised features of some pixels, with the mask of the one frame they are from where it is needed."""

    E_2D: Tensor
    E_3D: Tensor
    mask: Tensor | None


def _pieces(e2d: Tensor, e3d: Tensor, mapping: MappingPair, mask: Tensor | None) -> Iterator[_Piece]:
    """Some pixels after the other; one frame after the other for networks that see whole maps."""
    standardise = mapping.standardise
    for start, end, inside in _spans(len(e2d), mask if mapping.whole_maps else None):
        E_2D, E_3D = e2d[start:end], e3d[start:end]
        if standardise is not None:
            E_2D, E_3D = standardise(E_2D, E_3D)
        yield _Piece(E_2D, E_3D, inside)


def _spans(pixels: int, mask: Tensor | None) -> Iterator[tuple[int, int, Tensor | None]]:
    if mask is None:
        for start in range(0, pixels, PIXELS_AT_ONCE):
            yield start, min(start + PIXELS_AT_ONCE, pixels), None
        return
    ends = accumulate((int(count) for count in mask.flatten(1).sum(1).tolist()), initial=0)
    for (start, end), inside in zip(pairwise(ends), mask, strict=True):
        yield start, end, inside[None]


def _predicted(piece: _Piece, mapping: MappingPair) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """E_2D, Ê_2D, E_3D, Ê_3D (Eq. 1)."""
    E_2D_hat, E_3D_hat = mapping.predict(*piece)
    E_2D, E_3D = mapping.predicted(piece.E_2D, piece.E_3D)
    return E_2D, E_2D_hat, E_3D, E_3D_hat


def _standardised_distances(
    pieces: Iterable[_Piece], mapping: MappingPair, metric: ResidualMetric | None, device: torch.device
) -> tuple[Tensor, Tensor]:
    """Residuals over their nominal spread: at most about 1 at a nominal pixel, be it easy to predict or hard."""
    psi_2d, psi_3d = [torch.empty(0, device=device)], [torch.empty(0, device=device)]
    for piece in pieces:
        z_2d, z_3d = mapping.residuals(*piece)
        on_2d, on_3d = (
            (root_mean_square(z_2d), root_mean_square(z_3d)) if metric is None else metric(z_2d, z_3d)
        )
        psi_2d.append(on_2d)
        psi_3d.append(on_3d)
    return torch.cat(psi_2d), torch.cat(psi_3d)


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


def aggregate(
    psi_2d: Tensor,
    psi_3d: Tensor,
    aggregation: Aggregation = "product",
    smoothing_px: float = PAPER_SCORING.smoothing_px,
) -> Tensor:
    """Ψ (B, H, W), smoothed. The paper's product is an anomaly only where both modalities disagree (§ 3.3); the
    others are those of Tables 6 and 9.
    """
    return smooth(_combined(psi_2d, psi_3d, aggregation), smoothing_px)


def _combined(psi_2d: Tensor, psi_3d: Tensor, aggregation: Aggregation) -> Tensor:
    match aggregation:
        case "product":
            return psi_2d * psi_3d
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


def smooth(psi: Tensor, sigma_px: float = PAPER_SCORING.smoothing_px) -> Tensor:
    """A Gaussian, zero outside the image: (B, H, W) → (B, H, W). σ = 4 is the paper's: five 5×5 box means, then three
    7×7.

    A mean over a window is one along the columns and one along the rows, and all of them are linear: M_H Ψ M_Wᵀ, with
    all that is done along an axis in one matrix.
    """
    height, width = psi.shape[1:]
    return _means(height, sigma_px, psi.device) @ psi @ _means(width, sigma_px, psi.device).T


@cache
def _means(length: int, sigma_px: float, device: torch.device) -> Tensor:
    """The means along one axis of so many pixels: (length, length) float32, made in float64."""
    with torch.inference_mode(mode=False):  # the line asks first, but others use it too
        paper = sigma_px == PAPER_SCORING.smoothing_px
        means = _box_means(length) if paper else gaussian_matrix(length, sigma_px, beyond="nothing")
        return means.to(device, torch.float32)


def _box_means(length: int) -> Tensor:
    """The paper's Gaussian along so many pixels: all box means, one after the other."""
    at = torch.arange(length)
    apart = (at[:, None] - at).abs()
    composed = torch.eye(length, dtype=torch.float64)
    for side in _BOX_SIDES_PX:
        composed = (apart <= side // 2).double() / side @ composed
    return composed


def score(psi: Tensor, normalisation: Normalisation, highest_px: int = PAPER_SCORING.highest_px) -> Tensor:
    """One score a frame from Ψ (B, H, W): (B,).

    `absolute` is max Ψ (§ 3.3), or the mean of its `highest_px` highest pixels; `published` is the same of Ψ / √m with
    m the mean of that frame's non-zero Ψ, as in the published numbers (docs/method.md, scores). A frame whose Ψ is 0
    everywhere scores 0.
    """
    flat = psi.flatten(1)
    highest = flat.amax(1) if highest_px == 1 else flat.topk(highest_px, dim=1, sorted=False).values.mean(1)
    if normalisation == "absolute":
        return highest
    m = flat.sum(1) / (flat != 0).sum(1).clamp(min=1)
    # Where Ψ is 0 everywhere m is 0 as well: divide by 1 and let the score be 0.
    return highest / torch.where(m > 0, m, 1).sqrt()
