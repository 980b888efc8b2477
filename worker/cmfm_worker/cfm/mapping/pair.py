"""Both feature mappings of a recipe, M_2D→3D and M_3D→2D (paper § 3.2, Eq. 1)."""

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
    """Per-channel mean and standard deviation of both modalities, taken on nominal parts (`classic` only)."""

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
    """Both mapping networks of a recipe, of one architecture: `to_3d` predicts 3D features, `to_2d` 2D ones,
    from the other modality or with `modality` "intra" from their own.

    A network may predict fewer channels than features have: the first ones. What follows is context (`classic`).

    Where there is a standardiser, features pass it first and the distance (Eq. 3) is taken between
    standardised features. `precision` is that of products at the pixels where features come as tokens. `metric` is
    what the distance "metric" weighs residuals with, where one was learned.
    """

    to_3d: MappingNetwork
    to_2d: MappingNetwork
    standardise: Standardiser | None = None
    precision: Precision = "fp32"
    modality: Modality = "cross"
    metric: ResidualMetric | None = None

    @property
    def architecture(self) -> Architecture:
        """What both networks are."""
        return self.to_3d.architecture

    @property
    def d2(self) -> int:
        """Width of a 2D feature."""
        return (self.to_3d if self.modality == "cross" else self.to_2d).d_in

    @property
    def d3(self) -> int:
        """Width of a 3D feature."""
        return (self.to_2d if self.modality == "cross" else self.to_3d).d_in

    @property
    def hidden(self) -> int:
        """Width that the output layer of `to_3d` reads."""
        return self.to_3d.hidden

    @property
    def has_spreads(self) -> bool:
        """Whether the networks say how far nominal features spread around their predictions."""
        return self.to_3d.spread is not None and self.to_2d.spread is not None

    @property
    def whole_maps(self) -> bool:
        """Whether a prediction needs the features around a pixel, and so the mask that they were taken at."""
        return self.to_3d.whole_maps

    def predicted(self, E_2D: Tensor, E_3D: Tensor) -> tuple[Tensor, Tensor]:
        """Features without their context: what the networks predict, and what a distance is taken of."""
        return E_2D[..., : self.to_2d.d_out], E_3D[..., : self.to_3d.d_out]

    def predict(self, E_2D: Tensor, E_3D: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Ê_2D (P, D_2D) and Ê_3D (P, D_3D), Eq. 1, of standardised features where there is a standardiser.

        `mask` (B, 224, 224) bool is the pixels that the rows belong to; only `whole_maps` need it, and raise
        ValueError without.
        """
        return self._predictions(E_2D, E_3D, partial(self.to_3d, mask=mask), partial(self.to_2d, mask=mask))

    def predict_with_log_spreads(
        self, E_2D: Tensor, E_3D: Tensor, mask: Tensor | None = None
    ) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
        """The same, each with its log σ. Raises ValueError where the networks have learned no spreads."""
        to_3d, to_2d = (partial(network.with_log_spread, mask=mask) for network in (self.to_3d, self.to_2d))
        return self._predictions(E_2D, E_3D, to_3d, to_2d)

    def residuals(self, E_2D: Tensor, E_3D: Tensor, mask: Tensor | None = None) -> Residuals:
        """What was predicted wrongly, in units of its nominal spread: (P, C_2D) and (P, C_3D).

        Of standardised features where there is a standardiser. Raises ValueError where no spreads were learned.
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
        """Ê_2D and Ê_3D: Eq. 1, or with `modality` "intra" each modality from itself."""
        if self.modality == "cross":
            return crossmodal_predictions(E_2D, E_3D, to_3d, to_2d)
        return to_2d(E_2D), to_3d(E_3D)

    @cached_property
    def at_tokens(self) -> TokenMapping | None:
        """The same networks for features that come as tokens, made on first use and kept (some 0.2 s).

        None with a standardiser, because what it subtracts is not linear in the tokens, with convolutions, which see
        pixels, and with context, which only `classic` has.
        """
        if self.standardise is not None or (self.d2, self.d3) != (self.to_2d.d_out, self.to_3d.d_out):
            return None
        if not (isinstance(self.to_3d, PixelwiseNetwork) and isinstance(self.to_2d, PixelwiseNetwork)):
            return None
        return TokenMapping(self.to_3d, self.to_2d, products(self.precision).mapping, self.modality)

    def to(self, device: torch.device | str) -> MappingPair:
        """The same pair on another device (modules move in place, as torch modules do)."""
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
    """Two untrained networks for features of widths `d2` and `d3`, their first weights from torch's generator. The
    last `context` channels of either (2D, 3D) are read and not predicted.

    "intra" changes the input layers alone (§ 5, Table 7): hidden widths are those of the crossmodal networks.
    """
    network = NETWORKS[architecture]
    widths_3d, widths_2d = (
        (other if modality == "cross" else own, own - only_read, hidden or network.usual_hidden(other, own))
        for other, own, only_read in ((d2, d3, context[1]), (d3, d2, context[0]))
    )
    to_3d = network(*widths_3d, spread=spread)
    return MappingPair(to_3d, network(*widths_2d, spread=spread), modality=modality)
