"""EfficientNet-Lite0 up to a sixteenth of its input, frozen, with its batch normalisations folded into convolutions."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from cmfm_worker.cfm.fast.frozen_convolution import freeze_convolutions
from cmfm_worker.cfm.image.torchvision_stub import make_torchvision_importable
from cmfm_worker.cfm.weights import WeightsError

ARCHITECTURE: Final = "tf_efficientnet_lite0"

STAGES: Final = {1: 24, 2: 40, 4: 112}
"""The blocks of timm's model whose outputs are features, and their channels: at 1/4, 1/8 and 1/16 of the input."""

_LEVELS: Final = 255.0
_MIDDLE: Final = 127.0
_SPAN: Final = 128.0
"""The network was trained on (level − 127) / 128 of levels from 0 to 255."""


class LiteNetwork(nn.Module):
    """Pictures (B, 3, H, W) float32 in [0, 1] → the maps of `STAGES`, float32, at 1/4, 1/8 and 1/16 of H and W.

    H and W must be multiples of 16.
    `state` holds the published tensors in their order; `path` names them in errors. `dtype` is that of the
    convolutions. Raises WeightsError for tensors of another architecture.
    """

    def __init__(
        self, state: Mapping[str, Tensor], path: Path | str, dtype: torch.dtype = torch.float32
    ) -> None:
        super().__init__()
        model = _published(state, path)
        blocks = list(model.blocks)[: max(STAGES) + 1]
        stem = nn.Sequential(model.conv_stem, model.bn1)
        self._stem = _frozen(stem)
        self._blocks = nn.ModuleList(_frozen(block) for block in blocks)
        self._dtype = dtype
        for parameter in self.parameters():
            layout = torch.channels_last if parameter.ndim == 4 else torch.contiguous_format
            parameter.data = parameter.data.to(dtype, memory_format=layout)
        self.eval().requires_grad_(False)

    def forward(self, pictures: Tensor) -> list[Tensor]:
        """Compute the maps, finest first. Raises ValueError for pictures of other sizes than multiples of 16."""
        if any(side % 16 for side in pictures.shape[2:]):
            raise ValueError(f"sides must be multiples of 16, not {tuple(pictures.shape[2:])}")
        levels = (pictures * _LEVELS - _MIDDLE) / _SPAN
        x = self._stem(levels.to(self._dtype).contiguous(memory_format=torch.channels_last))
        found = []
        for number, block in enumerate(self._blocks):
            x = block(x)
            if number in STAGES:
                found.append(x.float())
        return found


def _published(state: Mapping[str, Tensor], path: Path | str) -> Any:
    """Build timm's model with the published tensors, which have other names in the same order."""
    make_torchvision_importable()
    import timm

    model = timm.create_model(ARCHITECTURE, pretrained=False)
    own = model.state_dict()
    if [value.shape for value in state.values()] != [value.shape for value in own.values()]:
        raise WeightsError(f"{path}: its tensors are not those of {ARCHITECTURE}")
    model.load_state_dict(dict(zip(own, state.values(), strict=True)))
    return model.eval()


def _frozen(module: nn.Module) -> nn.Module:
    """Prepare a module for inference, in place."""
    return freeze_convolutions(_padded_alike(_folded(module)))


def _folded(module: nn.Module) -> nn.Module:
    """Multiply every batch normalisation into the convolution before it, in place; its activation stays."""
    names = list(module._modules)
    for before, after in pairwise(names):
        convolution, normalisation = module._modules[before], module._modules[after]
        if isinstance(convolution, nn.Conv2d) and isinstance(normalisation, nn.BatchNorm2d):
            _fold(convolution, normalisation)
            module._modules[after] = getattr(normalisation, "act", nn.Identity())
    for child in module.children():
        _folded(child)
    return module


def _padded_alike(module: nn.Module) -> nn.Module:
    """Replace convolutions that pad one side more than the other, in place; results on even sizes stay the same.

    TensorFlow pads a convolution of stride 2 at the end, for which a map is copied: a third of the network's time. A
    kernel with zeros in a new first row and column is padded alike on all sides, without a copy.
    """
    for name, child in module.named_children():
        if isinstance(child, nn.Conv2d) and child.stride == (2, 2):
            module._modules[name] = _with_leading_zeros(child)
        else:
            _padded_alike(child)
    return module


def _with_leading_zeros(convolution: nn.Conv2d) -> nn.Conv2d:
    side = convolution.kernel_size[0]
    alike = nn.Conv2d(
        convolution.in_channels,
        convolution.out_channels,
        side + 1,
        stride=2,
        padding=(side - 1) // 2,
        groups=convolution.groups,
    )
    alike.weight = nn.Parameter(F.pad(convolution.weight, (1, 0, 1, 0)), requires_grad=False)
    alike.bias = convolution.bias
    return alike


def _fold(convolution: nn.Conv2d, normalisation: nn.BatchNorm2d) -> None:
    mean, variance = normalisation.running_mean, normalisation.running_var
    if mean is None or variance is None:
        raise ValueError("a batch normalisation without statistics cannot be folded")
    scale = normalisation.weight / torch.sqrt(variance + normalisation.eps)
    bias = torch.zeros_like(mean) if convolution.bias is None else convolution.bias
    convolution.weight = nn.Parameter(convolution.weight * scale[:, None, None, None], requires_grad=False)
    convolution.bias = nn.Parameter((bias - mean) * scale + normalisation.bias, requires_grad=False)
