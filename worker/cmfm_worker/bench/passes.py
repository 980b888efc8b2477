"""Latency and throughput: batches are sent as the line sends them, with several in flight on CUDA."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from statistics import median
from typing import Any, TypeVar

import torch
from torch import Tensor

from cmfm_worker.bench.memory import device_peaks, reset_device_peaks
from cmfm_worker.bench.stages import Setup, begin, run
from cmfm_worker.cfm.fast.read_back import ReadBack
from cmfm_worker.line.compute.device import DeviceSeam, seam_for

IN_FLIGHT = 2
"""Batches in flight: one is computed while the other is copied back, as in the line's loop."""

T = TypeVar("T")

_LEAST_RUNS, _MOST_RUNS = 3, 1000
_FIRST_RUNS = 3


class Passes:
    """Sends batches to a device. Sending one returns the oldest of `in_flight` batches."""

    def __init__(self, setup: Setup, seam: DeviceSeam, in_flight: int) -> None:
        self._setup = setup
        self._seam = seam
        self._in_flight = in_flight
        self._flying: deque[ReadBack] = deque()

    def send(self, rgb: Tensor, xyz: Tensor) -> tuple[Tensor, ...] | None:
        """Send B page-locked frames. Returns Ψ and scores of the oldest batch, None if fewer are in flight."""
        uploaded = self._seam.upload(list(rgb), list(xyz))
        with torch.inference_mode(), self._seam.computing(uploaded):
            self._flying.append(begin(self._setup, torch.stack(uploaded.rgb), torch.stack(uploaded.xyz)))
        return self.receive() if len(self._flying) >= self._in_flight else None

    def receive(self) -> tuple[Tensor, ...]:
        """Wait for the oldest batch in flight and return its Ψ and scores on the host."""
        return self._flying.popleft().wait()


def latency(setup: Setup, seconds: float, batch: tuple[Tensor, Tensor]) -> dict[str, Any]:
    """Measure the time from frames on the host to maps and scores on the host, one batch at a time, and its memory."""
    reset_device_peaks(setup.extractor.device)
    wall_s, cpu_s = _timed(setup, seconds, batch, in_flight=1)
    at = torch.tensor(wall_s)
    return {
        "samples": len(wall_s),
        "p50_s": float(at.quantile(0.5)),
        "p99_s": float(at.quantile(0.99)),
        "max_s": max(wall_s),
        "cpu_s": median(cpu_s),
        **device_peaks(setup.extractor.device),
    }


def throughput(setup: Setup, seconds: float, batch: tuple[Tensor, Tensor]) -> dict[str, Any]:
    """Measure frames a second in batches of one size; on CUDA with `IN_FLIGHT` batches in flight."""
    device, size = setup.extractor.device, len(batch[0])
    in_flight = IN_FLIGHT if device.type == "cuda" else 1
    reset_device_peaks(device)
    wall_s, cpu_s = _timed(setup, seconds, batch, in_flight)
    return {
        "batch": size,
        "in_flight": in_flight,
        "frames_per_s": size / median(wall_s),
        "cpu_s_per_frame": median(cpu_s) / size,
        "samples": len(wall_s),
        **device_peaks(device),
    }


def repeat(once: Callable[[], T], seconds: float) -> T:
    """Call `once` until the seconds are over, at least three times, and return the last result."""
    end = time.perf_counter() + seconds
    for number in range(1, _MOST_RUNS + 1):
        result = once()
        if number >= _LEAST_RUNS and time.perf_counter() >= end:
            break
    return result


def _timed(
    setup: Setup, seconds: float, batch: tuple[Tensor, Tensor], in_flight: int
) -> tuple[list[float], list[float]]:
    """Return wall and CPU seconds between the results of successive batches, after the first runs."""
    wall_s: list[float] = []
    cpu_s: list[float] = []
    send = _sender(setup, batch, in_flight)

    def once() -> None:
        wall, cpu = time.perf_counter(), time.process_time()
        send()
        wall_s.append(time.perf_counter() - wall)
        cpu_s.append(time.process_time() - cpu)

    for _ in range(_FIRST_RUNS if in_flight > 1 or setup.extractor.device.type == "cuda" else 1):
        send()
    repeat(once, seconds)
    return wall_s, cpu_s


def _sender(setup: Setup, batch: tuple[Tensor, Tensor], in_flight: int) -> Callable[[], object]:
    """Return a function that sends the batch once. On the CPU, frames are used without a copy."""
    device = setup.extractor.device
    if device.type != "cuda":
        return lambda: run(setup, *batch)
    passes, (rgb, xyz) = Passes(setup, seam_for(device), in_flight), (t.pin_memory() for t in batch)
    return lambda: passes.send(rgb, xyz)
