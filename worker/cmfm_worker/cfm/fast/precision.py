"""The number formats of the networks' products, and the devices on which they are faster."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, get_args

import torch

from cmfm_worker.cfm.image.models import DINO

Precision = Literal["fp32", "bf16", "fp16", "int8"]

DTYPES: Mapping[Precision, torch.dtype] = {
    "fp32": torch.float32,
    "bf16": torch.bfloat16,
    "fp16": torch.float16,
    "int8": torch.int8,
}


@dataclass(frozen=True)
class Products:
    """The number format of each network's products. Norms, sums and all geometry stay float32."""

    image: torch.dtype
    groups: torch.dtype
    points: torch.dtype
    mapping: torch.dtype


def products(precision: Precision) -> Products:
    """Return the format of each network for a precision.

    int8 is used for DINO only, where it changes Ψ by 1.2 %. In Point-MAE's transformer it would change Ψ by 12 %, in
    the mappings by 3 %, in the mini-PointNet by 2 %. These use bf16 if the CPU has it, else fp32.
    """
    if precision == "int8":
        rest = DTYPES["bf16" if why_not("bf16", torch.device("cpu")) is None else "fp32"]
        return Products(torch.int8, rest, rest, rest)
    dtype = DTYPES[precision]
    return Products(dtype, dtype, dtype, dtype)


def why_not_for(precision: Precision, image: str) -> str | None:
    """Return why a 2D extractor is not offered in this precision, or None if it is."""
    if precision != "int8" or image == DINO:
        return None
    return f"int8 is offered for {DINO} only, its effect on {image} is not known; use fp32 or bf16"


_FIRST_CUDA_GENERATION = {"bf16": 8, "fp16": 7}
"""The first major compute capability whose tensor cores have a format."""

_CPU_FEATURES = {
    "bf16": ("avx512_bf16", "amx_tile"),
    "fp16": ("amx_fp16",),
    "int8": ("vnni", "amx_tile"),
}
"""Instructions of which a CPU needs one. Without them a product takes up to a hundred times as long as in fp32."""


def as_precision(name: str) -> Precision:
    """Return the precision of a name. Raises ValueError for other names."""
    for precision in get_args(Precision):
        if name == precision:
            found: Precision = precision
            return found
    raise ValueError(f"precision must be one of {', '.join(get_args(Precision))}, not {name!r}")


def automatic(device: torch.device) -> Precision:
    """Return the precision that `auto` means: fp32 on a CPU, on CUDA bf16 or else fp16 if the device has it.

    bf16 is preferred because the largest fp16 number is 65504, and activations of unusual parts must not overflow.
    """
    if device.type == "cpu":
        return "fp32"
    offered: tuple[Precision, ...] = ("bf16", "fp16")
    return next((precision for precision in offered if why_not(precision, device) is None), "fp32")


def why_not(precision: Precision, device: torch.device) -> str | None:
    """Return why products of this precision are not offered on a device, or None if they are."""
    if precision == "fp32":
        return None
    if device.type == "cuda":
        return _why_not_on_cuda(precision, device)
    features = _CPU_FEATURES[precision]
    if device.type == "cpu" and any(_cpu_has(feature) for feature in features):
        return None
    return f"{precision} needs a CPU with {' or '.join(features)}; use fp32"


def _why_not_on_cuda(precision: Precision, device: torch.device) -> str | None:
    if precision not in _FIRST_CUDA_GENERATION:
        return f"{precision} is for CPUs; use bf16 or fp16"
    major, minor = torch.cuda.get_device_capability(device)
    first = _FIRST_CUDA_GENERATION[precision]
    return (
        None if major >= first else f"{precision} needs compute capability {first}.0, this is {major}.{minor}"
    )


def _cpu_has(feature: str) -> bool:
    # Not public in torch, so it may be missing. The format is not offered then.
    test = getattr(torch.cpu, f"_is_{feature}_supported", None)
    return test is not None and bool(test())
