"""F_2D from SAM's picture encoder: windows and relative positions, with a neck in place of the final norm."""

from __future__ import annotations

from typing import Any, ClassVar

from torch import Tensor, nn
from torch.nn import functional as F

from cmfm_worker.cfm.fast.frozen_linear import FrozenLinear
from cmfm_worker.cfm.image.encoder import ImageEncoder
from cmfm_worker.cfm.prepare import SIZE_PX


class SamEncoder(ImageEncoder):
    """timm's `VisionTransformerSAM`, published for 1024×1024, on 224×224 pictures: 14×14 tokens, which are one window.

    SAM has no final norm. Its last block is followed by a neck of two convolutions, each with a norm (768 → 256).
    Like the final norm of other models, the neck is applied to the tokens of the last kept block, and its output has
    a width of 256 (timm's `forward_features`). The position embedding is resampled once by timm's function, the
    relative positions in each pass by timm's attention.
    """

    recordable: ClassVar[bool] = False  # relative positions are looked up by indices from the host

    def __init__(self, vit: Any) -> None:
        from timm.layers import resample_abs_pos_embed_nhwc

        super().__init__(vit, int(vit.num_features))
        if vit.pos_embed is not None:
            vit.pos_embed = nn.Parameter(
                resample_abs_pos_embed_nhwc(vit.pos_embed.detach(), [self.grid, self.grid])
            )
        vit.patch_embed.set_input_size((SIZE_PX, SIZE_PX))
        for block in vit.blocks:  # the relative positions are float32, whatever the products are
            block.attn.qkv = _Float32Output(block.attn.qkv)
        if isinstance(vit.neck, nn.Sequential):
            vit.neck = nn.Sequential(*(_AsLinear(m) if isinstance(m, nn.Conv2d) else m for m in vit.neck))

    def forward(self, rgb: Tensor, needed: Tensor | None = None) -> Tensor:
        """Compute the neck's tokens (T, width). It reads neighbours, so all are computed even with `needed`."""
        x = self.vit.forward_features(self.normalised(rgb))  # B C g g
        tokens: Tensor = x.permute(0, 2, 3, 1).flatten(0, 2)  # B g g C -> T C
        return tokens if needed is None else tokens[needed.flatten()]


class _Float32Output(nn.Module):
    """A layer whose result is cast to float32."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor) -> Tensor:
        """Apply the layer."""
        y: Tensor = self.layer(x)
        return y.float()


class _AsLinear(nn.Module):
    """A convolution that keeps the size, as a linear layer on each neighbourhood: in float32, never in TF32."""

    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__()
        self.kernel_px, self.padding_px = conv.kernel_size, tuple(int(px) for px in conv.padding)
        self.linear = FrozenLinear(conv.weight.flatten(1), conv.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Apply the convolution: (B, C, h, w) → (B, C', h, w)."""
        neighbourhoods = F.unfold(x, self.kernel_px, padding=self.padding_px)  # B C·k·k hw
        y: Tensor = self.linear(neighbourhoods.transpose(1, 2))  # B hw C'
        placed: Tensor = y.transpose(1, 2).unflatten(2, tuple(x.shape[2:]))
        return placed
