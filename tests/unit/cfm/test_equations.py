"""The paper's equations, each against numbers worked out by hand."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from cmfm_worker.cfm import equations


def row(*values: float) -> Tensor:
    return torch.tensor([values])


def test_each_modality_is_predicted_from_the_other() -> None:
    """Eq. 1: Ê_2D comes from E_3D through M_3D→2D, Ê_3D from E_2D through M_2D→3D."""
    E_2D, E_3D = row(1.0, 2.0), row(10.0, 20.0, 30.0)
    E_2D_hat, E_3D_hat = equations.crossmodal_predictions(
        E_2D, E_3D, M_2D_to_3D=lambda e: e.sum(1), M_3D_to_2D=lambda e: 2 * e.sum(1)
    )
    assert (E_2D_hat.item(), E_3D_hat.item()) == (120.0, 3.0)


def test_loss_has_a_term_for_each_modality_in_this_order() -> None:
    """Eq. 2: the 2D term is 1 − cos 90° = 1, the 3D term 1 − cos 180° = 2."""
    terms = equations.loss_terms(row(1.0, 0.0), row(0.0, 5.0), row(1.0, 1.0), row(-3.0, -3.0))
    assert [term.item() for term in terms] == pytest.approx([1.0, 2.0])


def test_cosine_distance_ignores_length() -> None:
    """The terms of Eq. 2 are 0 for parallel features, whatever their lengths, and 2 for opposite ones."""
    E = torch.randn(1, 7, generator=torch.Generator().manual_seed(3))
    assert equations.cosine_distance(E, 3 * E).item() == pytest.approx(0.0, abs=1e-6)
    assert equations.cosine_distance(E, -E).item() == pytest.approx(2.0, abs=1e-6)


def test_distances_are_euclidean_between_normalised_features() -> None:
    """Eq. 3: features at a right angle are √2 apart, parallel ones 0, each in its own modality's map."""
    Psi_2D, Psi_3D = equations.modality_distances(row(4.0, 0.0), row(0.0, 1.0), row(1.0, 1.0), row(7.0, 7.0))
    assert Psi_2D.item() == pytest.approx(math.sqrt(2))
    assert Psi_3D.item() == pytest.approx(0.0, abs=1e-6)


def test_map_is_high_only_where_both_modalities_are() -> None:
    """§ 3.3: the aggregate is the product, pixel by pixel."""
    Psi = equations.aggregated(torch.tensor([[2.0, 2.0, 0.0]]), torch.tensor([[3.0, 0.0, 3.0]]))
    assert Psi.tolist() == [[6.0, 0.0, 0.0]]


def test_smoothing_without_a_sigma_is_the_papers() -> None:
    """§ 3.3: σ = 4 unless another is given; far from the border the sum of a map is kept."""
    Psi = torch.zeros(1, 64, 64)
    Psi[0, 32, 32] = 1.0
    assert torch.equal(equations.smoothed(Psi), equations.smoothed(Psi, 4.0))
    assert equations.smoothed(Psi).sum().item() == pytest.approx(1.0, rel=1e-5)


def test_score_is_the_maximum_of_each_map() -> None:
    """§ 3.3: one score a frame."""
    Psi = torch.tensor([[[1.0, 5.0], [2.0, 0.0]], [[0.5, 0.25], [0.0, 0.0]]])
    assert equations.maximum(Psi).tolist() == [5.0, 0.5]
