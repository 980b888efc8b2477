"""Linear layers for inference, in the fastest form that the device has."""

from __future__ import annotations

from typing import Literal, TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

Activation = Literal["none", "relu", "gelu"]
M = TypeVar("M", bound=nn.Module)

_LEVELS = 127
_LEAST_SCALE = 1e-30
"""The least scale of a row, so that a row of zeros stays zero."""

_TYPICAL_ROWS = 1024
"""The number of rows that oneDNN lays out the weights for. Other numbers work as well."""


class FrozenLinear(nn.Module):
    """The layer activation(x Wᵀ + b): (…, in) → (…, out), computed and returned in `dtype`.

    `weight` (out, in) and `bias` (out,) are copied on their device in `dtype`. On a CPU the copy is in oneDNN's own
    order: its kernels read it directly and apply bias and activation to the result, which is 10 to 20 % faster than
    BLAS.

    `dtype` int8 (on a CPU) quantises weights once, to 255 levels an output, and input rows at each call, to 255
    levels a row, so that one bright token does not reduce the precision of the others. Products are summed in whole
    numbers and returned in float32.
    """

    def __init__(
        self,
        weight: Tensor,
        bias: Tensor | None = None,
        activation: Activation = "none",
        dtype: torch.dtype = torch.float32,
    ) -> None:
        super().__init__()
        self.out_features = len(weight)
        self.activation = activation
        self.dtype = dtype
        self._packed = _can_pack(weight.device, dtype)
        # Plain attributes: a packed weight has no `.to`, so the layer is made on its final device.
        if dtype == torch.int8:
            self._weight, scale = _quantise(weight.detach().float())
            self._scale = scale[:, 0].contiguous()
            self._bias = None if bias is None else bias.detach().float().clone()
            return
        own = weight.detach().to(dtype)
        self._weight = _pack(own) if self._packed else own.clone()
        self._bias = None if bias is None else bias.detach().to(dtype).clone()

    def forward(self, x: Tensor) -> Tensor:
        """Apply the layer to rows."""
        if x.numel() == 0:
            return x.new_empty((*x.shape[:-1], self.out_features))
        if self.dtype == torch.int8:
            return self._activated(self._of_levels(x.flatten(0, -2))).view(*x.shape[:-1], self.out_features)
        x = x.to(self.dtype)
        if self._packed:
            return _packed_linear(x, self._weight, self._bias, self.activation)
        return self._activated(F.linear(x, self._weight, self._bias))

    def _of_levels(self, x: Tensor) -> Tensor:
        """Multiply quantised rows (P, in): (P, out) float32."""
        levels, scale = _quantise(x.float())
        y = torch._int_mm(levels, self._weight.T).float().mul_(scale).mul_(self._scale)
        return y if self._bias is None else y.add_(self._bias)

    def _activated(self, y: Tensor) -> Tensor:
        return F.gelu(y) if self.activation == "gelu" else y.relu_() if self.activation == "relu" else y


def freeze(module: M, dtype: torch.dtype = torch.float32) -> M:
    """Prepare a module on its device for inference: its linear layers become `FrozenLinear` of `dtype`.

    A GELU named `act` after a linear layer `fc1` is merged into it. Other parameters do not change, but no longer share
    memory with the file that they were read from.
    """
    _freeze_linears(module, dtype)
    for parameter in module.parameters():
        parameter.data = parameter.data.clone()
    return module.eval().requires_grad_(False)


def _freeze_linears(module: nn.Module, dtype: torch.dtype) -> None:
    for name, child in module.named_children():
        if isinstance(child, nn.Linear):
            with_gelu = name == "fc1" and _is_gelu(getattr(module, "act", None))
            setattr(
                module, name, FrozenLinear(child.weight, child.bias, "gelu" if with_gelu else "none", dtype)
            )
            if with_gelu:
                module.act = nn.Identity()
        else:
            _freeze_linears(child, dtype)


def _is_gelu(activation: object) -> bool:
    """Return True for the GELU of `FrozenLinear`, which is computed by erf."""
    return isinstance(activation, nn.GELU) and activation.approximate == "none"


def _quantise(rows: Tensor) -> tuple[Tensor, Tensor]:
    """Round rows (P, C) to whole numbers from -127 to 127, and return the value of one level of each row (P, 1)."""
    scale = rows.abs().amax(1, keepdim=True).div_(_LEVELS).clamp_(min=_LEAST_SCALE)
    return (rows / scale).round_().to(torch.int8), scale


def _can_pack(device: torch.device, dtype: torch.dtype) -> bool:
    if device.type != "cpu" or not torch.backends.mkldnn.is_available():
        return False
    # Not public, so another torch may lack it. The plain layer is used then.
    if not hasattr(torch.ops.mkldnn, "_linear_pointwise"):
        return False
    if dtype == torch.bfloat16:
        return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
    return dtype == torch.float32


def _pack(weight: Tensor) -> Tensor:
    packed: Tensor = torch.ops.mkldnn._reorder_linear_weight(weight.contiguous(), _TYPICAL_ROWS)
    return packed


def _packed_linear(x: Tensor, weight: Tensor, bias: Tensor | None, activation: Activation) -> Tensor:
    algorithm = "none" if activation == "gelu" else ""  # GELU by erf, as in the method
    y: Tensor = torch.ops.mkldnn._linear_pointwise(x, weight, bias, activation, [], algorithm)
    return y
