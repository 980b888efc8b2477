"""A learned metric on residuals: which disagreements of both modalities are unusual on a good part.

Residuals in units of their nominal spread are not independent. Those of neighbouring scales are correlated, as are some
of one modality with some of the other. Some channels have long tails (a grain under the skin is not a defect). A mean
over all channels hides a defect that shows in a few. Therefore the residuals of both modalities, z = (z_2D, z_3D), are
multiplied by a matrix before the root mean square is taken, which is a Mahalanobis distance for each modality:

    Ψ_2D = ‖z A_2D‖ / √C_2D,   Ψ_3D = ‖z A_3D‖ / √C_3D

The matrices are learned from good parts alone. They are those that best separate the residuals of good parts from the
residuals in simulated defects (`fit/simulated_defects.py`), by logistic regression on log Ψ_2D² + log Ψ_3D². They start
as unit matrices on their own modality, which is the distance without a metric. At the end they are scaled so that the
mean of Ψ² over nominal pixels is 1.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional as F

SMALLEST_SPREAD: Final = 0.15
"""The least spread, in units of a channel's standard deviation. Its square is added to σ². A network that learned from
few parts can be too sure, and then a small novelty of the next good part exceeds a defect.
"""

HIGHEST_RESIDUAL: Final = 30.0
"""Standard deviations at which a residual is cut off."""

PIXELS: Final = 512
"""Defective pixels, and as many good ones, that a step of the fit sees."""

HARD_OF: Final = 4
"""Half of a step's good pixels are the highest of this many times as many: defects compete with a part's highest."""

LEARNING_RATE: Final = 2e-3

SMALLEST_SQUARE: Final = 0.05
"""Added to Ψ² before the logarithm. Differences below this do not matter."""

Residuals = tuple[Tensor, Tensor]
"""z_2D (P, C_2D) and z_3D (P, C_3D): residuals in units of their nominal spread."""


class ResidualMetric(nn.Module):
    """The matrices A_2D (C_2D + C_3D, C_2D) and A_3D (C_2D + C_3D, C_3D), as `on_2d` and `on_3d`."""

    on_2d: Tensor
    on_3d: Tensor

    def __init__(self, on_2d: Tensor, on_3d: Tensor) -> None:
        super().__init__()
        self.register_buffer("on_2d", on_2d)
        self.register_buffer("on_3d", on_3d)

    @classmethod
    def unlearned(cls, c2: int, c3: int) -> ResidualMetric:
        """Return the metric that changes nothing: each modality's own residuals, all channels alike."""
        on_2d, on_3d = torch.eye(c2 + c3).split([c2, c3], dim=1)
        return cls(on_2d.contiguous(), on_3d.contiguous())

    def forward(self, z_2d: Tensor, z_3d: Tensor) -> tuple[Tensor, Tensor]:
        """Compute Ψ_2D and Ψ_3D, (P,) each, of residuals (P, C_2D) and (P, C_3D)."""
        z = torch.cat([z_2d, z_3d], dim=1)
        return root_mean_square(z @ self.on_2d), root_mean_square(z @ self.on_3d)


def residuals(E: Tensor, E_hat: Tensor, log_spread: Tensor) -> Tensor:
    """Compute z = (E − Ê) / √(σ² + floor²), cut off: (P, C) → (P, C). Its deviation is about 1 on nominal pixels."""
    z = (E - E_hat) * torch.rsqrt(torch.exp(2 * log_spread) + SMALLEST_SPREAD**2)
    return z.clamp(-HIGHEST_RESIDUAL, HIGHEST_RESIDUAL)


def root_mean_square(z: Tensor) -> Tensor:
    """Take the root mean square over the channels: (P, C) → (P,)."""
    return z.square().mean(-1).sqrt()


def fit_metric(
    nominal: Residuals, defective: Residuals, beside: Residuals, *, steps: int, seed: int
) -> ResidualMetric:
    """Learn both matrices from residuals at nominal pixels, in simulated defects, and at good pixels beside them.

    Runs on the device of the residuals. The same residuals and seed give the same metric on one CPU with one number of
    threads.
    """
    z_nominal, z_defective = torch.cat(nominal, dim=1), torch.cat(defective, dim=1)
    z_good = torch.cat([z_nominal, torch.cat(beside, dim=1)])
    begin = ResidualMetric.unlearned(nominal[0].shape[1], nominal[1].shape[1]).to(z_good.device)
    matrices = [nn.Parameter(begin.on_2d), nn.Parameter(begin.on_3d)]
    slope, offset = (nn.Parameter(torch.tensor(value, device=z_good.device)) for value in (1.0, -1.0))
    optimiser = torch.optim.Adam([*matrices, slope, offset], lr=LEARNING_RATE, fused=True)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimiser, lambda step: 0.5 * (1.0 + math.cos(math.pi * step / steps))
    )
    generator = torch.Generator().manual_seed(seed)
    for _ in range(steps):
        of_defects = _log_evidence(_drawn(z_defective, PIXELS, generator), matrices)
        of_good = _log_evidence(_hard(_drawn(z_good, HARD_OF * PIXELS, generator), matrices), matrices)
        loss = F.softplus(-(slope * of_defects + offset)).mean() + F.softplus(slope * of_good + offset).mean()
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
        schedule.step()
    with torch.no_grad():
        return ResidualMetric(*(A / (z_nominal @ A).square().mean().sqrt() for A in matrices))


def _log_evidence(z: Tensor, matrices: Sequence[Tensor]) -> Tensor:
    """Compute log Ψ_2D² + log Ψ_3D²: (P,)."""
    on_2d, on_3d = (torch.log((z @ A).square().mean(-1) + SMALLEST_SQUARE) for A in matrices)
    return on_2d + on_3d


@torch.no_grad()
def _hard(z: Tensor, matrices: Sequence[Tensor]) -> Tensor:
    """Return the good pixels of a step: one half the highest, the other half as they were drawn."""
    highest = _log_evidence(z, matrices).topk(PIXELS // 2).indices
    return torch.cat([z[highest], z[: PIXELS // 2]])


def _drawn(z: Tensor, pixels: int, generator: torch.Generator) -> Tensor:
    return z[torch.randint(len(z), (pixels,), generator=generator).to(z.device)]
