"""Convolutions for inference, with their activation, in the fastest form that the device has."""

from __future__ import annotations

from itertools import pairwise
from typing import Any, Final

import torch
from torch import Tensor, nn
from torch.nn import functional as F

_HIGHEST: Final = 6.0
"""What ReLU6 cuts off at."""


class FrozenConvolution(nn.Module):
    """A convolution and, with `relu6`, min(max(·, 0), 6) of it: (B, C, H, W) → (B, C', H', W'), in its weights' dtype.

    On a CPU oneDNN applies the activation to a result while it is in the cache, and reads weights in its own order,
    laid out at the first call for pictures of that shape. Other shapes work as well. Differs from the separate layers
    by rounding at most.
    """

    def __init__(self, convolution: nn.Conv2d, *, relu6: bool) -> None:
        super().__init__()
        self.weight, self.bias = convolution.weight, convolution.bias
        self._shape: tuple[Any, ...] = (
            convolution.padding,
            convolution.stride,
            convolution.dilation,
            convolution.groups,
        )
        self._relu6 = relu6
        self._packed: list[Tensor] = []  # a list, because a packed weight has no `.to` and is no parameter

    def forward(self, x: Tensor) -> Tensor:
        """Apply the layer."""
        padding, stride, dilation, groups = self._shape
        if not _can_pack(self.weight):
            y = F.conv2d(x, self.weight, self.bias, stride, padding, dilation, groups)
            return y.clamp_(0.0, _HIGHEST) if self._relu6 else y
        if not self._packed:
            packed = torch.ops.mkldnn._reorder_convolution_weight(self.weight, *self._shape, x.shape)
            self._packed = [packed]
        activation = ("hardtanh", [0.0, _HIGHEST], "") if self._relu6 else ("none", [], "")
        fused: Tensor = torch.ops.mkldnn._convolution_pointwise(
            x, self._packed[0], self.bias, *self._shape, *activation
        )
        return fused


def freeze_convolutions(module: nn.Module) -> nn.Module:
    """Replace every convolution below `module` by a `FrozenConvolution`, in place, with the ReLU6 that follows it.

    A layer follows another if it is the next child of the same module. Call it when the weights are final.
    """
    children = dict(module.named_children())
    after = dict(pairwise(children))
    for name, child in children.items():
        if isinstance(child, nn.Conv2d):
            with_relu6 = name in after and isinstance(children[after[name]], nn.ReLU6)
            setattr(module, name, FrozenConvolution(child, relu6=with_relu6))
            if with_relu6:
                setattr(module, after[name], nn.Identity())
        else:
            freeze_convolutions(child)
    return module


def _can_pack(weight: Tensor) -> bool:
    if weight.device.type != "cpu" or not torch.backends.mkldnn.is_available():
        return False
    # Not public, so another torch may lack it. The plain layers are used then.
    if not hasattr(torch.ops.mkldnn, "_convolution_pointwise"):
        return False
    if weight.dtype == torch.bfloat16:
        return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
    return weight.dtype == torch.float32
