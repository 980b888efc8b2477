"""The machine's rates of matrix products and copies, measured in the same run as the method."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import torch

from cmfm_worker.cfm.fast.frozen_linear import FrozenLinear
from cmfm_worker.cfm.fast.precision import DTYPES, Precision

_SIDE = {"cpu": 1536}
_SIDE_ELSEWHERE = 8192
_COPY_BYTES = {"cpu": 1 << 27}
_COPY_BYTES_ELSEWHERE = 1 << 30
_RUNS = 5
_LEVELS = 20
"""Deviation of the numbers that are multiplied, which covers most of int8's range."""


@dataclass(frozen=True)
class Rates:
    """Operations a second of a large product in one precision, and bytes read and written a second by a copy."""

    flop_per_s: float
    bytes_per_s: float


def measure_rates(device: torch.device, precision: Precision) -> Rates:
    """Measure the best of some runs, with as many threads as the method uses.

    On a CPU, processor time is measured: with wall time, other programs on the same cores would lower the rates.
    """
    side = _SIDE.get(device.type, _SIDE_ELSEWHERE)
    dtype = DTYPES[precision]
    a, b = torch.randn(2, side, side, device=device).mul_(_LEVELS).to(dtype)
    layer = FrozenLinear(b, dtype=dtype)
    multiply = torch._int_mm if dtype == torch.int8 else torch.matmul
    fastest_s = min(_best_s(lambda: multiply(a, b), device), _best_s(lambda: layer(a), device))
    source = torch.ones(_COPY_BYTES.get(device.type, _COPY_BYTES_ELSEWHERE), dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    copy_s = _best_s(lambda: target.copy_(source), device)
    return Rates(2 * side**3 / fastest_s, 2 * source.numel() / copy_s)


def _best_s(run: Callable[[], object], device: torch.device) -> float:
    run()
    found = []
    for _ in range(_RUNS):
        synchronise(device)
        start = _now_s(device)
        run()
        synchronise(device)
        found.append(_now_s(device) - start)
    return min(found)


def _now_s(device: torch.device) -> float:
    return time.process_time() / torch.get_num_threads() if device.type == "cpu" else time.perf_counter()


def synchronise(device: torch.device) -> None:
    """Wait until the device has finished its work."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
