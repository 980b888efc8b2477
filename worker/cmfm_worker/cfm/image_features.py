"""F_2D: DINO ViT-B/8 cut after a chosen block, 28×28 tokens an image (paper § 3.1, § 3.4)."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from cmfm_worker.cfm.torchvision_stub import make_torchvision_importable
from cmfm_worker.cfm.weights import read_state_dict, require_shapes

GRID = 28
"""Tokens along one side of the 224-pixel picture: patches of 8 pixels."""

WIDTH = 768
"""D_2D."""

_ARCHITECTURE = "vit_base_patch8_224.dino"
_IMAGENET_MEAN = (0.485, 0.456, 0.406)
_IMAGENET_STD = (0.229, 0.224, 0.225)


class ImageEncoder(nn.Module):
    """RGB pictures (B, 3, 224, 224) float32 in [0, 1] become tokens (B, 784, 768), row after row of the grid.

    The final LayerNorm is applied to the last kept block's tokens, the class token is dropped (DESIGN § 5).
    """

    mean: Tensor
    std: Tensor

    def __init__(self, vit: nn.Module) -> None:
        super().__init__()
        self.vit = vit
        self.register_buffer("mean", torch.tensor(_IMAGENET_MEAN).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(_IMAGENET_STD).view(1, 3, 1, 1))

    def forward(self, rgb: Tensor) -> Tensor:
        """Tokens of the last kept block."""
        tokens: Tensor = self.vit.forward_features((rgb - self.mean) / self.std)  # type: ignore[operator]  # timm's own
        return tokens[:, 1:]


def load_image_encoder(path: Path, blocks: int) -> ImageEncoder:
    """Build the encoder with its first `blocks` blocks, from the published DINO file or its safetensors twin.

    Blocks after the last kept one are neither built nor read. Nothing is downloaded. Raises `WeightsError`.
    """
    make_torchvision_importable()
    import timm

    state = read_state_dict(path)
    with torch.device("meta"):  # shapes only; the numbers come from the file
        vit = timm.create_model(_ARCHITECTURE, pretrained=False, num_classes=0, depth=blocks)
    own = vit.state_dict()
    require_shapes(path, state, {key: tuple(value.shape) for key, value in own.items()})
    vit.load_state_dict({key: state[key].float().clone() for key in own}, assign=True)
    return ImageEncoder(vit).eval().requires_grad_(False)
