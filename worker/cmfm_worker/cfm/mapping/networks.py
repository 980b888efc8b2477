"""The networks that may implement the feature mappings M_2D→3D and M_3D→2D (paper § 3.2 and suppl. B).

All of them take the features of pixels, packed as rows, and predict as many rows. Both MLPs predict a pixel from its
own feature, convolutions from the features around it as well.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Final

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from cmfm_worker.cfm.variants import Architecture

LOG_SPREAD: Final = (-4.0, 3.0)
"""The range of log σ, for features with a standard deviation of 1."""


class MappingNetwork(nn.Module):
    """A network from the features (P, `d_in`) of the P pixels inside a mask to predictions (P, `d_out`).

    `hidden` is the width that the output layer reads, by default `usual_hidden`. With `spread`, a second output layer
    of the same form predicts how far nominal features spread around the prediction (`classic`; not in the paper).
    Networks of `whole_maps` need the mask (B, 224, 224) bool whose pixels the rows belong to, in the order of
    `mask.nonzero()`. The others ignore it.
    """

    architecture: ClassVar[Architecture]
    whole_maps: ClassVar[bool] = False
    weight_axes: ClassVar[int] = 2
    """Number of axes of every layer's weight."""
    output_axis: ClassVar[int] = 0
    """The axis of the output layer's weight whose length is `d_out`."""

    input: nn.Linear | nn.Conv2d
    output: nn.Linear | nn.ConvTranspose2d
    spread: nn.Linear | nn.ConvTranspose2d | None

    def __init__(self, d_in: int, d_out: int, hidden: int | None = None, *, spread: bool = False) -> None:
        super().__init__()
        self.d_in, self.d_out = d_in, d_out
        self.hidden = self.usual_hidden(d_in, d_out) if hidden is None else hidden
        self._add_layers()
        self.output = self._head()
        self.spread = self._head() if spread else None

    @staticmethod
    def usual_hidden(d_in: int, d_out: int) -> int:
        """Return the paper's `hidden` for such widths."""
        raise NotImplementedError

    def forward(self, E: Tensor, mask: Tensor | None = None) -> Tensor:
        """Compute Ê = M(E): (P, d_in) → (P, d_out). Raises ValueError if a mask is needed and missing."""
        return self._through(E, mask, [self.output])[0]

    def with_log_spread(self, E: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Compute Ê and log σ, with σ the spread of every channel around it: (P, d_in) → twice (P, d_out).

        σ is bounded, so that no pixel counts as certain or as unpredictable. Raises ValueError without spreads.
        """
        if self.spread is None:
            raise ValueError("this mapping network was fitted without spreads")
        E_hat, log_spread = self._through(E, mask, [self.output, self.spread])
        return E_hat, log_spread.clamp(*LOG_SPREAD)

    @torch.no_grad()
    def predict_constants(self, channels: Tensor, values: Tensor) -> None:
        """Make the network predict `values` (d_out,) at `channels` (d_out,) bool for every input."""
        weight, bias = (self.get_parameter(f"output.{name}") for name in ("weight", "bias"))
        weight.movedim(self.output_axis, 0)[channels] = 0.0
        bias[channels] = values[channels]

    def _add_layers(self) -> None:
        """Add all layers before the output."""
        raise NotImplementedError

    def _head(self) -> nn.Linear | nn.ConvTranspose2d:
        """Make a layer from `hidden` to `d_out`."""
        raise NotImplementedError

    def _through(self, E: Tensor, mask: Tensor | None, heads: Sequence[nn.Module]) -> list[Tensor]:
        """Apply each head to the last hidden layer: (P, d_out) each."""
        raise NotImplementedError


class PixelwiseNetwork(MappingNetwork):
    """A network of linear layers at each pixel alone, with a GELU after each except the last. E may be (…, d_in)."""

    input: nn.Linear
    output: nn.Linear
    spread: nn.Linear | None

    @property
    def middle(self) -> tuple[nn.Linear, ...]:
        """Return the layers between the first and the last."""
        raise NotImplementedError

    def _head(self) -> nn.Linear:
        return nn.Linear(self.hidden, self.d_out)

    def _through(self, E: Tensor, mask: Tensor | None, heads: Sequence[nn.Module]) -> list[Tensor]:  # noqa: ARG002
        h = F.gelu(self.input(E))
        for layer in self.middle:
            h = F.gelu(layer(h))
        return [head(h) for head in heads]


class Mapping(PixelwiseNetwork):
    """The paper's network: Linear → GELU → Linear → GELU → Linear (docs/method.md, mapping networks)."""

    architecture = "mlp"

    @staticmethod
    def usual_hidden(d_in: int, d_out: int) -> int:
        """Return the mean of both widths: 960 for 768 and 1152."""
        return (d_in + d_out) // 2

    def _add_layers(self) -> None:
        # The attribute names are the key names of the published files.
        self.input = nn.Linear(self.d_in, self.hidden)
        self.projection = nn.Linear(self.hidden, self.hidden)

    @property
    def middle(self) -> tuple[nn.Linear, ...]:
        """Return the projection."""
        return (self.projection,)


class MlpEncoderDecoder(PixelwiseNetwork):
    """Suppl. B (i): two layers that halve the width, a bottleneck, a layer that doubles it, and the output.

    The paper lists six widths, [768, 384, 192, 192, 384, 1152] and [1152, 576, 288, 288, 576, 768]. They are read as
    the ends of five linear layers: two of the encoder, the bottleneck between equal widths, two of the decoder. Other
    widths are halved in the same way, rounded down and never below 1.
    """

    architecture = "mlp_encoder_decoder"

    @staticmethod
    def usual_hidden(d_in: int, d_out: int) -> int:  # noqa: ARG004 (both sides, as the other architectures)
        """Return half of the input width."""
        return max(1, d_in // 2)

    def _add_layers(self) -> None:
        narrow = max(1, self.hidden // 2)
        self.input = nn.Linear(self.d_in, self.hidden)
        self.encoder = nn.Linear(self.hidden, narrow)
        self.bottleneck = nn.Linear(narrow, narrow)
        self.decoder = nn.Linear(narrow, self.hidden)

    @property
    def middle(self) -> tuple[nn.Linear, ...]:
        """Return encoder, bottleneck and decoder."""
        return (self.encoder, self.bottleneck, self.decoder)
