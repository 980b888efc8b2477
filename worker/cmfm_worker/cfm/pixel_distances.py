"""Ψ_2D and Ψ_3D at the pixels inside the mask: which form of the features and which distance is used.

Features come as tokens or at pixels, and pass the networks in chunks, so that hidden layers stay small. The equations
themselves are in `equations.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import accumulate, pairwise
from typing import NamedTuple

import torch
from torch import Tensor

from cmfm_worker.cfm import equations
from cmfm_worker.cfm.classic.residual_metric import ResidualMetric, root_mean_square
from cmfm_worker.cfm.extractor import PixelFeatures
from cmfm_worker.cfm.mapping.pair import MappingPair
from cmfm_worker.cfm.token_features import TokenFeatures
from cmfm_worker.cfm.variants import Distance

PIXELS_AT_ONCE = 4096
"""Rows that pass the mapping networks together. Keeps the hidden layers to about 16 MB on any frame."""


def distance_of(mapping: MappingPair) -> Distance:
    """Return the distance that a mapping was fitted for: it follows from what the mapping has learned."""
    if mapping.metric is not None:
        return "metric"
    return "standardised" if mapping.has_spreads else "angular"


def pixel_distances(
    features: PixelFeatures | TokenFeatures, mapping: MappingPair, distance: Distance = "angular"
) -> tuple[Tensor, Tensor]:
    """Compute Ψ_2D and Ψ_3D of the pixels inside the mask, (P,) each; at the tokens where the mapping allows it."""
    if isinstance(features, TokenFeatures):
        if mapping.at_tokens is not None and distance == "angular":
            chunks = (equations.modality_distances(*chunk) for chunk in mapping.at_tokens.chunks(features))
            return _joined(chunks, features.mask.device)
        features = features.at_pixels()
    return row_distances(features.e2d, features.e3d, mapping, distance, features.mask)


def row_distances(
    e2d: Tensor, e3d: Tensor, mapping: MappingPair, distance: Distance = "angular", mask: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Compute Ψ_2D and Ψ_3D, (P,) each, of features (P, D_2D) and (P, D_3D).

    `mask` (B, 224, 224) bool holds the pixels that the rows belong to. Raises ValueError if a mapping that sees whole
    maps gets no mask, and if the mapping has not learned what `distance` needs.
    """
    chunks = _chunks(e2d, e3d, mapping, mask)
    if distance == "angular":
        return _joined((_angular(chunk, mapping) for chunk in chunks), e2d.device)
    metric = mapping.metric if distance == "metric" else None
    if distance == "metric" and metric is None:
        raise ValueError("the mapping has learned no metric")
    return _joined((_standardised(chunk, mapping, metric) for chunk in chunks), e2d.device)


class _Chunk(NamedTuple):
    """Features of some pixels, standardised where the mapping has a standardiser.

    `mask` (1, 224, 224) is that of the chunk's frame, for mappings that see whole maps; None for the others.
    """

    E_2D: Tensor
    E_3D: Tensor
    mask: Tensor | None


def _angular(chunk: _Chunk, mapping: MappingPair) -> tuple[Tensor, Tensor]:
    """Eq. 1 and Eq. 3."""
    E_2D_hat, E_3D_hat = mapping.predict(*chunk)
    E_2D, E_3D = mapping.predicted(chunk.E_2D, chunk.E_3D)
    return equations.modality_distances(E_2D, E_2D_hat, E_3D, E_3D_hat)


def _standardised(
    chunk: _Chunk, mapping: MappingPair, metric: ResidualMetric | None
) -> tuple[Tensor, Tensor]:
    """Residuals over their nominal spread: about 1 or less at a nominal pixel, easy or hard to predict."""
    z_2D, z_3D = mapping.residuals(*chunk)
    if metric is not None:
        Psi_2D, Psi_3D = metric(z_2D, z_3D)
        return Psi_2D, Psi_3D
    return root_mean_square(z_2D), root_mean_square(z_3D)


def _chunks(e2d: Tensor, e3d: Tensor, mapping: MappingPair, mask: Tensor | None) -> Iterator[_Chunk]:
    """Yield chunks of pixels; one chunk a frame for networks that see whole maps."""
    standardise = mapping.standardise
    for start, end, inside in _spans(len(e2d), mask if mapping.whole_maps else None):
        E_2D, E_3D = e2d[start:end], e3d[start:end]
        if standardise is not None:
            E_2D, E_3D = standardise(E_2D, E_3D)
        yield _Chunk(E_2D, E_3D, inside)


def _spans(pixels: int, mask: Tensor | None) -> Iterator[tuple[int, int, Tensor | None]]:
    """Yield first row, end row and mask of each chunk. Waits for the device if there is a mask."""
    if mask is None:
        for start in range(0, pixels, PIXELS_AT_ONCE):
            yield start, min(start + PIXELS_AT_ONCE, pixels), None
        return
    ends = accumulate((int(count) for count in mask.flatten(1).sum(1).tolist()), initial=0)
    for (start, end), inside in zip(pairwise(ends), mask, strict=True):
        yield start, end, inside[None]


def _joined(chunks: Iterable[tuple[Tensor, Tensor]], device: torch.device) -> tuple[Tensor, Tensor]:
    """Join the chunks' Ψ_2D and Ψ_3D to (P,) each; there may be no chunk."""
    Psi_2D, Psi_3D = [torch.empty(0, device=device)], [torch.empty(0, device=device)]
    for of_2D, of_3D in chunks:
        Psi_2D.append(of_2D)
        Psi_3D.append(of_3D)
    return torch.cat(Psi_2D), torch.cat(Psi_3D)
