"""The number formats the networks' products can be computed in, and where they pay."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import torch

Precision = Literal["fp32", "bf16", "fp16"]

DTYPES: Mapping[Precision, torch.dtype] = {
    "fp32": torch.float32,
    "bf16": torch.bfloat16,
    "fp16": torch.float16,
}

_FIRST_CUDA_GENERATION = {"bf16": 8, "fp16": 7}
"""Major compute capability from which tensor cores know a format."""

_CPU_FEATURES = {"bf16": ("avx512_bf16", "amx_tile"), "fp16": ("amx_fp16",)}
"""Of these instructions a CPU needs one; without them a product takes up to a hundred times longer than in fp32."""


def why_not(precision: Precision, device: torch.device) -> str | None:
    """Why products of this precision are not offered on a device; None where they are."""
    if precision == "fp32":
        return None
    if device.type == "cuda":
        major, minor = torch.cuda.get_device_capability(device)
        if major >= _FIRST_CUDA_GENERATION[precision]:
            return None
        return f"{precision} needs compute capability {_FIRST_CUDA_GENERATION[precision]}.0, this is {major}.{minor}"
    features = _CPU_FEATURES[precision]
    if device.type == "cpu" and any(_cpu_has(feature) for feature in features):
        return None
    return f"{precision} needs a CPU with {' or '.join(features)}; use fp32"


def _cpu_has(feature: str) -> bool:
    # Not public in torch, so it may be missing: then the format is not offered.
    test = getattr(torch.cpu, f"_is_{feature}_supported", None)
    return test is not None and bool(test())
