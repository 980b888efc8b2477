"""Measures frames/s and memory of a model as in the paper's Table 5: from raw frames to scores."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Final

from cmfm_protocol.files.dataset import DatasetError, PartFiles
from cmfm_worker.bench.memory import device_peak_bytes, host_peak_bytes, reset_peaks
from cmfm_worker.datasets.batches import PartBatch, read_batches
from cmfm_worker.inspection.inspector import Inspector
from cmfm_worker.recipes.loaded_model import LoadedModel

TIMED_BATCHES: Final = 3
"""Number of timed batches; one batch before them warms up."""

_MB: Final = 1e6


@dataclass(frozen=True, slots=True)
class Speed:
    """`fps` counts from frames on the device to maps and scores on the host, with preparation; `memory_mb` is the peak.

    Memory is that of the tensors on CUDA, and of the whole process on a CPU.
    """

    fps: float
    memory_mb: float


def measure_speed(
    inspector: Inspector, model: LoadedModel, parts: Sequence[PartFiles], batch: int
) -> Speed | None:
    """Measure on the first readable parts of a test split; None if they make fewer than two batches."""
    device = inspector.extractor.device
    some = parts[: (TIMED_BATCHES + 1) * batch]
    batches = list(islice(read_batches(some, batch, device, _ignore), TIMED_BATCHES + 1))
    if len(batches) < 2:
        return None
    _inspect(inspector, model, batches[0])
    reset_peaks(device)
    seconds = sum(_inspect(inspector, model, one) for one in batches[1:])
    frames = sum(len(one.files) for one in batches[1:])
    memory = device_peak_bytes(device) or host_peak_bytes()
    return Speed(frames / seconds, memory / _MB)


def _inspect(inspector: Inspector, model: LoadedModel, batch: PartBatch) -> float:
    """Inspect a batch; return the seconds until its results are on the host."""
    start = time.perf_counter()
    inspector.inspect(batch.rgb, batch.xyz, [model] * len(batch.files)).start_read_back().copies.wait()
    return time.perf_counter() - start


def _ignore(_part: PartFiles, _error: DatasetError) -> None:
    """Skip an unreadable part; the inspection of the test split names it."""
