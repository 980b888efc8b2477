"""The convolutional mapping network of suppl. B (iii), which runs on one frame's dense map at a time."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from cmfm_worker.cfm.mapping.networks import MappingNetwork

MARGIN_PX = 4
"""Width of the margin around the mask in which predictions on a cut-out may differ from those on the whole map."""

Rectangle = tuple[slice, slice]


class ConvEncoderDecoder(MappingNetwork):
    """The network: conv 3×3 → ReLU → conv 3×3 → ReLU → max-pool 2×2 → conv 3×3 → ReLU → transpose conv 2×2.

    It receives the whole feature map with zeros outside the mask. Of its predictions, the pixels inside the mask are
    kept. All layers have as many channels as the input, except the last, which has `d_out`.

    Suppl. B leaves the following open. Chosen here:

    - There is one encoder and one decoder stage, as it mentions one of each.
    - 3×3 convolutions are padded with zeros, so that the map keeps its size.
    - The transpose convolution has stride 2 and restores the size. It is the last layer, so it has no ReLU.
    - Both modalities are 0 outside the mask, although the picture has features there. Zeros are inserted after
      standardisation.
    """

    architecture = "conv_encoder_decoder"
    whole_maps = True
    weight_axes = 4
    output_axis = 1

    input: nn.Conv2d
    output: nn.ConvTranspose2d
    spread: nn.ConvTranspose2d | None

    @staticmethod
    def usual_hidden(d_in: int, d_out: int) -> int:  # noqa: ARG004 (both sides, as the other architectures)
        """Return as many channels as the input has."""
        return d_in

    def _add_layers(self) -> None:
        self.input = nn.Conv2d(self.d_in, self.hidden, 3, padding=1)
        self.encoder = nn.Conv2d(self.hidden, self.hidden, 3, padding=1)
        self.decoder = nn.Conv2d(self.hidden, self.hidden, 3, padding=1)

    def _head(self) -> nn.ConvTranspose2d:
        return nn.ConvTranspose2d(self.hidden, self.d_out, 2, stride=2)

    def _through(self, E: Tensor, mask: Tensor | None, heads: Sequence[nn.Module]) -> list[Tensor]:
        if mask is None:
            raise ValueError("a convolutional mapping needs the mask that its features were taken at")
        counts = [int(count) for count in mask.flatten(1).sum(1).tolist()]  # waits for the device
        found = [
            self._of_frame(E_frame, inside, heads)
            for E_frame, inside in zip(E.split(counts), mask, strict=True)
            if len(E_frame)
        ]
        if not found:
            return [E.new_empty((0, self.d_out)) for _ in heads]
        return [torch.cat(rows) for rows in zip(*found, strict=True)]

    def _of_frame(self, E: Tensor, inside: Tensor, heads: Sequence[nn.Module]) -> list[Tensor]:
        """Predict from one frame's features (P, d_in) at its pixels `inside` (H, W)."""
        inside = inside[cut_out(inside)]
        dense = E.new_zeros((*inside.shape, self.d_in))
        dense[inside] = E
        x = dense.permute(2, 0, 1)[None]  # H W C -> 1 C H W, the channels still lie together
        del dense
        for layer in (self.input, self.encoder):
            x = F.relu(layer(x), inplace=True)
        x = F.relu(self.decoder(F.max_pool2d(x, 2)), inplace=True)
        return [head(x)[0].permute(1, 2, 0)[inside] for head in heads]  # C H W -> H W C -> P C


def cut_out(inside: Tensor) -> Rectangle:
    """Return the rectangle of a map (H, W) that decides the predictions `inside` (not all False; H and W even).

    This is exact. Predictions on a cut-out differ from those on the whole map where padding replaces what lies beyond
    its border. That is nowhere after the first convolution, which sees zeros there anyway; one pixel deep after the
    second; and two pixels of half the size deep after the third, which is MARGIN_PX. The cut-out starts at even
    pixels, so that the same pixels are pooled together. Where it ends at the image's border, nothing differs.
    """
    rows, columns = (inside.any(axis).nonzero()[:, 0] for axis in (1, 0))
    return _span(rows, inside.shape[0]), _span(columns, inside.shape[1])


def _span(at: Tensor, length: int) -> slice:
    first, last = at[[0, -1]].tolist()
    start, end = first - MARGIN_PX, last + 1 + MARGIN_PX
    return slice(max(0, start - start % 2), min(length, end + end % 2))
