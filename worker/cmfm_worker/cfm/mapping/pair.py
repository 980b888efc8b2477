"""The two feature mappings of a recipe, M_2D→3D and M_3D→2D (paper § 3.2, Eq. 1)."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Mapping as ReadOnly
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Final

import torch
from torch import Tensor, nn

from cmfm_worker.cfm.classic.residual_metric import ResidualMetric, Residuals, residuals
from cmfm_worker.cfm.equations import Prediction, crossmodal_predictions
from cmfm_worker.cfm.fast.precision import Precision, products
from cmfm_worker.cfm.mapping.at_tokens import TokenMapping
from cmfm_worker.cfm.mapping.conv_encoder_decoder import ConvEncoderDecoder
from cmfm_worker.cfm.mapping.networks import Mapping, MappingNetwork, MlpEncoderDecoder, PixelwiseNetwork
from cmfm_worker.cfm.variants import Architecture, Modality

__all__ = ["NETWORKS", "Mapping", "MappingPair", "Standardiser", "new_pair"]

NETWORKS: Final[ReadOnly[Architecture, type[MappingNetwork]]] = {
    network.architecture: network for network in (Mapping, MlpEncoderDecoder, ConvEncoderDecoder)
}


class Standardiser(nn.Module):
    """Mean and standard deviation of every channel of both modalities on nominal parts (`classic` only)."""

    mean_2d: Tensor
    std_2d: Tensor
    mean_3d: Tensor
    std_3d: Tensor

    def __init__(self, mean_2d: Tensor, std_2d: Tensor, mean_3d: Tensor, std_3d: Tensor) -> None:
        super().__init__()
        self.register_buffer("mean_2d", mean_2d)
        self.register_buffer("std_2d", std_2d)
        self.register_buffer("mean_3d", mean_3d)
        self.register_buffer("std_3d", std_3d)

    def forward(self, e2d: Tensor, e3d: Tensor) -> tuple[Tensor, Tensor]:
        """Standardise features (P, D_2D) and (P, D_3D)."""
        return (e2d - self.mean_2d) / self.std_2d, (e3d - self.mean_3d) / self.std_3d


@dataclass(frozen=True, eq=False)
class MappingPair:
    """Both mapping networks of a recipe, of one architecture.

    `to_3d` predicts 3D features and `to_2d` 2D features: from the other modality, or with `modality` "intra" from their
    own. A network may predict only the first channels of a feature. The others are context, which `classic` has.

    If there is a standardiser, features pass it first, and the distance (Eq. 3) is between standardised features.
    `precision` is that of products at the pixels if features come as tokens. `metric` is the learned metric of the
    distance "metric", if there is one.
    """

    to_3d: MappingNetwork
    to_2d: MappingNetwork
    standardise: Standardiser | None = None
    precision: Precision = "fp32"
    modality: Modality = "cross"
    metric: ResidualMetric | None = None

    @property
    def architecture(self) -> Architecture:
        """Return the architecture of both networks."""
        return self.to_3d.architecture

    @property
    def d2(self) -> int:
        """Return the width of a 2D feature, context included."""
        return (self.to_3d if self.modality == "cross" else self.to_2d).d_in

    @property
    def d3(self) -> int:
        """Return the width of a 3D feature, context included."""
        return (self.to_2d if self.modality == "cross" else self.to_3d).d_in

    @property
    def hidden(self) -> int:
        """Return the width that the output layer of `to_3d` reads."""
        return self.to_3d.hidden

    @property
    def has_spreads(self) -> bool:
        """Return True if the networks have learned how far nominal features spread around their predictions."""
        return self.to_3d.spread is not None and self.to_2d.spread is not None

    @property
    def whole_maps(self) -> bool:
        """Return True if a prediction depends on the features around its pixel, and so needs their mask."""
        return self.to_3d.whole_maps

    def predicted(self, E_2D: Tensor, E_3D: Tensor) -> tuple[Tensor, Tensor]:
        """Return features without their context: the channels that are predicted and compared."""
        return E_2D[..., : self.to_2d.d_out], E_3D[..., : self.to_3d.d_out]

    def predict(self, E_2D: Tensor, E_3D: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Compute Ê_2D (P, D_2D) and Ê_3D (P, D_3D), Eq. 1. Features must be standardised if there is a standardiser.

        `mask` (B, 224, 224) bool holds the pixels that the rows belong to. Only networks of `whole_maps` need it, and
        raise ValueError without it.
        """
        return self._predictions(E_2D, E_3D, partial(self.to_3d, mask=mask), partial(self.to_2d, mask=mask))

    def predict_with_log_spreads(
        self, E_2D: Tensor, E_3D: Tensor, mask: Tensor | None = None
    ) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
        """Compute the same, each with its log σ. Raises ValueError if the networks have learned no spreads."""
        to_3d, to_2d = (partial(network.with_log_spread, mask=mask) for network in (self.to_3d, self.to_2d))
        return self._predictions(E_2D, E_3D, to_3d, to_2d)

    def residuals(self, E_2D: Tensor, E_3D: Tensor, mask: Tensor | None = None) -> Residuals:
        """Compute the residuals in units of their nominal spread: (P, C_2D) and (P, C_3D).

        Features must be standardised if there is a standardiser. Raises ValueError if no spreads were learned.
        """
        on_2d, on_3d = self.predict_with_log_spreads(E_2D, E_3D, mask)
        E_2D, E_3D = self.predicted(E_2D, E_3D)
        return residuals(E_2D, *on_2d), residuals(E_3D, *on_3d)

    def _predictions(
        self,
        E_2D: Tensor,
        E_3D: Tensor,
        to_3d: Callable[[Tensor], Prediction],
        to_2d: Callable[[Tensor], Prediction],
    ) -> tuple[Prediction, Prediction]:
        """Compute Ê_2D and Ê_3D: by Eq. 1, or with `modality` "intra" each modality from itself."""
        if self.modality == "cross":
            return crossmodal_predictions(E_2D, E_3D, to_3d, to_2d)
        return to_2d(E_2D), to_3d(E_3D)

    @cached_property
    def at_tokens(self) -> TokenMapping | None:
        """Return the same networks for features that come as tokens. Made on first use (about 0.2 s) and kept.

        None for convolutions, which see pixels, and for a standardiser or context, which only `classic` has: what a
        standardiser subtracts is not linear in the tokens.
        """
        if self.standardise is not None or (self.d2, self.d3) != (self.to_2d.d_out, self.to_3d.d_out):
            return None
        if not (isinstance(self.to_3d, PixelwiseNetwork) and isinstance(self.to_2d, PixelwiseNetwork)):
            return None
        return TokenMapping(self.to_3d, self.to_2d, products(self.precision).mapping, self.modality)

    def to(self, device: torch.device | str) -> MappingPair:
        """Return the pair on another device. Its modules move in place, as torch modules do."""
        standardise = None if self.standardise is None else self.standardise.to(device)
        metric = None if self.metric is None else self.metric.to(device)
        to_3d, to_2d = self.to_3d.to(device), self.to_2d.to(device)
        return replace(self, to_3d=to_3d, to_2d=to_2d, standardise=standardise, metric=metric)


def new_pair(
    d2: int,
    d3: int,
    architecture: Architecture = "mlp",
    modality: Modality = "cross",
    hidden: int | None = None,
    *,
    spread: bool = False,
    context: tuple[int, int] = (0, 0),
) -> MappingPair:
    """Make two untrained networks for features of widths `d2` and `d3`, with weights from torch's global generator.

    The last `context` channels of either (2D, 3D) are read and not predicted. "intra" changes only the input layers
    (§ 5, Table 7): hidden widths are those of the crossmodal networks.
    """
    network = NETWORKS[architecture]
    widths_3d, widths_2d = (
        (other if modality == "cross" else own, own - only_read, hidden or network.usual_hidden(other, own))
        for other, own, only_read in ((d2, d3, context[1]), (d3, d2, context[0]))
    )
    to_3d = network(*widths_3d, spread=spread)
    return MappingPair(to_3d, network(*widths_2d, spread=spread), modality=modality)
