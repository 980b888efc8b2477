"""The number formats the networks' products can be computed in, and where they pay."""

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
    """The format of each network's products; norms, sums and everything geometric stay float32."""

    image: torch.dtype
    groups: torch.dtype
    points: torch.dtype
    mapping: torch.dtype


def products(precision: Precision) -> Products:
    """Which network computes in what.

    int8 is for DINO alone: its tokens take it (Ψ then differs by 1.2 % from float32), while with int8 Point-MAE's
    transformer alone costs 12 %, the mappings 3 % and the mini-PointNet 2 %. The others take the CPU's bf16 where
    it has one.
    """
    if precision == "int8":
        rest = DTYPES["bf16" if why_not("bf16", torch.device("cpu")) is None else "fp32"]
        return Products(torch.int8, rest, rest, rest)
    dtype = DTYPES[precision]
    return Products(dtype, dtype, dtype, dtype)


def why_not_for(precision: Precision, image: str) -> str | None:
    """Why a 2D extractor is not offered in this precision; None where it is."""
    if precision != "int8" or image == DINO:
        return None
    return f"int8 is offered for {DINO}, what it costs {image} is not known; use fp32 or bf16"


_FIRST_CUDA_GENERATION = {"bf16": 8, "fp16": 7}
"""Major compute capability from which tensor cores know a format."""

_CPU_FEATURES = {
    "bf16": ("avx512_bf16", "amx_tile"),
    "fp16": ("amx_fp16",),
    "int8": ("vnni", "amx_tile"),
}
"""Of these instructions a CPU needs one; without them a product takes up to a hundred times longer than in fp32."""


def as_precision(name: str) -> Precision:
    """A precision by its name. Raises ValueError for a name that is none."""
    for precision in get_args(Precision):
        if name == precision:
            found: Precision = precision
            return found
    raise ValueError(f"precision must be one of {', '.join(get_args(Precision))}, not {name!r}")


def automatic(device: torch.device) -> Precision:
    """What `auto` means: exact on a CPU, on CUDA the widest range that the tensor cores have.

    bf16 comes before fp16, whose largest number is 65504: activations of unusual parts must not overflow.
    """
    if device.type == "cpu":
        return "fp32"
    offered: tuple[Precision, ...] = ("bf16", "fp16")
    return next((precision for precision in offered if why_not(precision, device) is None), "fp32")


def why_not(precision: Precision, device: torch.device) -> str | None:
    """Why products of this precision are not offered on a device; None where they are."""
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
    # Not public in torch, so it may be missing: then the format is not offered.
    test = getattr(torch.cpu, f"_is_{feature}_supported", None)
    return test is not None and bool(test())
