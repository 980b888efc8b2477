"""The paper's equations, one a function, in the order of the paper and with its symbols.

E_2D (P, D_2D) and E_3D (P, D_3D) are the features observed at P pixels, E_2D_hat and E_3D_hat (written Ê in comments)
the predicted ones, Psi_2D, Psi_3D and Psi the anomaly maps. All are float32 and have no unit.

What only variants do is elsewhere: which modality predicts which (`mapping/pair.py`), other distances
(`pixel_distances.py`), other aggregations (`anomaly_maps.py`), other scores (`anomaly_score.py`). The same equations
computed at the tokens, without building E, are in `mapping/at_tokens.py`. What the paper leaves open is in
docs/method.md.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import torch
from torch import Tensor
from torch.nn import functional as F

from cmfm_worker.cfm.smoothing import gaussian_along

Prediction = TypeVar("Prediction")
"""The result of a mapping network: Ê, or Ê together with its spread (`classic`)."""


# § 3.2, Eq. 1:  Ê_3D = M_2D→3D(E_2D)   Ê_2D = M_3D→2D(E_3D)
def crossmodal_predictions(
    E_2D: Tensor,
    E_3D: Tensor,
    M_2D_to_3D: Callable[[Tensor], Prediction],
    M_3D_to_2D: Callable[[Tensor], Prediction],
) -> tuple[Prediction, Prediction]:
    """Predict the features of each modality from the other one: (Ê_2D, Ê_3D)."""
    E_3D_hat = M_2D_to_3D(E_2D)
    E_2D_hat = M_3D_to_2D(E_3D)
    return E_2D_hat, E_3D_hat


# § 3.2, Eq. 2:  L = (1 − E_2D·Ê_2D / ‖E_2D‖‖Ê_2D‖) + (1 − E_3D·Ê_3D / ‖E_3D‖‖Ê_3D‖)
def loss_terms(E_2D: Tensor, E_2D_hat: Tensor, E_3D: Tensor, E_3D_hat: Tensor) -> tuple[Tensor, Tensor]:
    """Compute both terms of the loss of every pixel, (P,) each. The loss is their sum."""
    return cosine_distance(E_2D, E_2D_hat), cosine_distance(E_3D, E_3D_hat)


# § 3.2, one term of Eq. 2:  1 − E·Ê / ‖E‖‖Ê‖
def cosine_distance(E: Tensor, E_hat: Tensor) -> Tensor:
    """Compute the cosine distance of observed and predicted features: (P, D) → (P,)."""
    return 1.0 - torch.cosine_similarity(E, E_hat, dim=-1)


# § 3.3, Eq. 3:  Ψ_2D = D(E_2D, Ê_2D)   Ψ_3D = D(E_3D, Ê_3D)
def modality_distances(
    E_2D: Tensor, E_2D_hat: Tensor, E_3D: Tensor, E_3D_hat: Tensor
) -> tuple[Tensor, Tensor]:
    """Compute Ψ_2D and Ψ_3D of every pixel, (P,) each."""
    return discrepancy(E_2D, E_2D_hat), discrepancy(E_3D, E_3D_hat)


# § 3.3, D of Eq. 3:  ‖ E/‖E‖ − Ê/‖Ê‖ ‖
def discrepancy(E: Tensor, E_hat: Tensor) -> Tensor:
    """Compute the Euclidean distance of the ℓ2-normalised features: (P, D) → (P,), from 0 to 2."""
    distance: Tensor = torch.linalg.vector_norm(F.normalize(E, dim=-1) - F.normalize(E_hat, dim=-1), dim=-1)
    return distance


# § 3.3, the aggregation A:  Ψ = Ψ_2D · Ψ_3D
def aggregated(Psi_2D: Tensor, Psi_3D: Tensor) -> Tensor:
    """Multiply both maps pixel by pixel: high only where both modalities disagree with their prediction."""
    return Psi_2D * Psi_3D


# § 3.3, the Gaussian of σ = 4:  Ψ ← G_σ ∗ Ψ
def smoothed(Psi: Tensor, sigma_px: float = 4.0) -> Tensor:
    """Smooth maps (B, H, W) by a Gaussian; outside the image they are 0. Box means stand for σ = 4 (docs/method.md).

    A Gaussian is separable and linear, so it is one matrix for each axis: G_H Ψ G_Wᵀ.
    """
    H, W = Psi.shape[1:]
    G_H, G_W = (gaussian_along(length, sigma_px, Psi.device) for length in (H, W))
    return G_H @ Psi @ G_W.T


# § 3.3, the global anomaly score:  max Ψ
def maximum(Psi: Tensor) -> Tensor:
    """Take the highest value of every map: (B, H, W) → (B,)."""
    return Psi.flatten(1).amax(1)
