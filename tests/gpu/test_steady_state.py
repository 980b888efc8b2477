"""Batch after batch on CUDA: only events are waited for, nothing is allocated, and graphs give the plain calls'
results.

torch's sync-debug mode fails at every wait for a stream and every copy that waits. It allows waits for events. It
does not see `torch.cuda.synchronize` or copies from pageable memory: `tests/unit/inspection/test_device_path.py`
finds those on any machine. Needs torch, timm, numpy and pytest alone.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from cmfm_worker.bench.made_up_frames import made_up_frame
from cmfm_worker.bench.passes import Passes
from cmfm_worker.bench.seeded import seeded_mapping, write_seeded_weights
from cmfm_worker.bench.stages import Setup, run
from cmfm_worker.cfm.fast.graphed_prepare import GraphedPrepare
from cmfm_worker.cfm.fast.graphs import CudaGraphRecorder, Recording, Tensors
from cmfm_worker.cfm.fast.precision import Precision, why_not
from cmfm_worker.cfm.paper_extractor import PaperExtractor
from cmfm_worker.cfm.prepare import BackgroundOptions
from cmfm_worker.line.compute.device import seam_for

BLOCKS, GROUP_SIZE = 4, 32
CUDA = torch.device("cuda")
SIZES = (4, 3, 4, 1)

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device, torch sees none"),
]


class CountingRecorder(CudaGraphRecorder):
    """A recorder that counts its recordings."""

    recorded = 0

    def record(self, function: Callable[..., Tensors], inputs: Sequence[Tensor]) -> Recording:
        recording = super().record(function, inputs)
        self.recorded += 1
        return recording


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four blocks of seeded weights."""
    folder = tmp_path_factory.mktemp("seeded")
    write_seeded_weights(folder, BLOCKS)
    return folder


def setup_on_cuda(weights: Path, graphs: CudaGraphRecorder | None, precision: Precision = "fp32") -> Setup:
    extractor = PaperExtractor(weights, BLOCKS, GROUP_SIZE, CUDA, precision, graphs=graphs)
    mapping = replace(seeded_mapping(extractor.d2, extractor.d3), precision=precision).to(CUDA)
    return Setup(extractor, mapping, BackgroundOptions(), GraphedPrepare(graphs))


def batch_of(size: int, seed: int) -> tuple[Tensor, Tensor]:
    """Different parts in page-locked memory. Each one has one more stripe of missing points than the one before."""
    pairs = [made_up_frame(400, seed + i) for i in range(size)]
    for i, (_, xyz) in enumerate(pairs):
        xyz[180 : 180 + 10 * (i + seed)] = torch.nan
    return torch.stack([p[0] for p in pairs]).pin_memory(), torch.stack([p[1] for p in pairs]).pin_memory()


def relative_l2(found: Tensor, expected: Tensor) -> float:
    return float((found.double() - expected.double()).norm() / expected.double().norm())


@contextmanager
def no_waiting() -> Iterator[None]:
    """Inside, everything that torch knows to wait for the device fails."""
    torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode("default")


def allocations() -> dict[str, int]:
    """Return how often the driver was asked for device memory and page-locked memory."""
    asked = {"device": int(torch.cuda.memory_stats()["num_device_alloc"])}
    host: dict[str, int] = getattr(torch.cuda, "host_memory_stats", dict)()  # of newer torch
    return asked | {"host": int(host.get("num_host_alloc", 0))}


def test_steady_state_neither_waits_nor_allocates(weights: Path) -> None:
    """After each batch size was seen once, batches with two in flight neither wait nor allocate."""
    passes = Passes(setup_on_cuda(weights, CudaGraphRecorder(CUDA)), seam_for(CUDA), in_flight=2)
    batches = [batch_of(size, seed) for seed, size in enumerate(SIZES)]
    for _ in range(5):
        for batch in batches:
            passes.send(*batch)
    before = allocations()
    with no_waiting():
        for _ in range(5):
            for batch in batches:
                assert passes.send(*batch) is not None
    after = allocations()
    assert after["device"] == before["device"]
    # A page-locked block is free when the device has passed where it was let go: one more may be met now and then.
    assert after["host"] - before["host"] <= len(batches)


def test_sync_debug_mode_detects_a_wait() -> None:
    """The debug mode that the test above uses detects an ordinary read-back."""
    x = torch.ones(3, device=CUDA)
    with pytest.raises(RuntimeError, match="synchronizing"), no_waiting():
        x.sum().item()


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_graphs_give_the_maps_of_plain_calls(precision: Precision, weights: Path) -> None:
    """Prepared frames, pictures and groups are recorded for each size without a warning, and maps do not change."""
    if reason := why_not(precision, CUDA):
        pytest.skip(reason)
    graphs = CountingRecorder(CUDA)
    plain = setup_on_cuda(weights, None, precision)
    passes = Passes(setup_on_cuda(weights, graphs, precision), seam_for(CUDA), in_flight=1)
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)  # of a part that could not be recorded
        for seed, size in enumerate((2, 1, 2, 2)):
            batch = batch_of(size, seed)
            found, expected = passes.send(*batch), run(plain, *batch)
            assert found is not None
            for value, wanted in zip(found, expected, strict=True):
                assert relative_l2(value, wanted) < 1e-3
    assert graphs.recorded == 3 * 2


def test_batches_in_flight_keep_their_own_maps(weights: Path) -> None:
    """If the next batch runs through the same graphs before the last one is read, each has its own maps."""
    setup = setup_on_cuda(weights, CudaGraphRecorder(CUDA))
    passes = Passes(setup, seam_for(CUDA), in_flight=2)
    batches = [batch_of(2, seed) for seed in range(4)]
    alone = [run(setup, *batch)[0] for batch in batches]
    found = [passes.send(*batch) for batch in batches]
    together = [*found[1:], passes.receive()]
    assert found[0] is None
    for maps, expected in zip(together, alone, strict=True):
        assert maps is not None
        assert relative_l2(maps[0], expected) < 1e-4
