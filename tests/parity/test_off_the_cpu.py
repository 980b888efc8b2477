"""The code path of other devices, run on the CPU: golden vectors, and agreement with the CPU's own path.

Off the CPU, masks are read by counts that the host knows, rows are merged by sorting, neighbours are found in
chunks, all tokens of a picture are computed, and functions of fixed shape are replayed. Only the device itself is
missing here.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from tests.unit.made.graphs import ReplayedCalls
from torch import Tensor

from cmfm_worker.cfm import anomaly_maps as maps_module
from cmfm_worker.cfm import paper_extractor
from cmfm_worker.cfm.anomaly_maps import AnomalyMaps, anomaly_maps
from cmfm_worker.cfm.fast.mask_indices import indices_by_running_count
from cmfm_worker.cfm.mapping.files import load_published
from cmfm_worker.cfm.mapping.pair import MappingPair
from cmfm_worker.cfm.paper_extractor import PaperExtractor
from cmfm_worker.cfm.points import interpolation
from cmfm_worker.cfm.prepare import BackgroundOptions, prepare

from .golden import GoldenFrame, relative_l2

GOLDEN_TOLERANCE, PACKED_TOLERANCE = 1e-3, 1e-4
MAPS = ("psi_2d", "psi_3d", "psi")


def by_counts(mask: Tensor, count: int) -> Tensor:
    return indices_by_running_count(mask.flatten(), count)


@pytest.fixture
def off_the_cpu(monkeypatch: pytest.MonkeyPatch) -> Callable[[PaperExtractor], PaperExtractor]:
    """Returns a function that makes an extractor take the code path of other devices."""

    def let(extractor: PaperExtractor) -> PaperExtractor:
        for module in (maps_module, interpolation, paper_extractor):
            monkeypatch.setattr(module, "indices_of_true", by_counts)
        for name in ("scipy.sparse", "pykdtree.kdtree"):
            monkeypatch.setitem(sys.modules, name, None)
        extractor.device = torch.device("meta")  # asked only whether it is the CPU
        return extractor

    return let


def maps_of(extractor: PaperExtractor, mapping: MappingPair, *frames: GoldenFrame) -> AnomalyMaps:
    rgb, xyz = (torch.stack([getattr(frame, name) for frame in frames]) for name in ("rgb", "xyz"))
    batch = prepare(rgb, xyz, BackgroundOptions(method="none"))
    with torch.inference_mode():
        return anomaly_maps(extractor.tokens(batch), mapping)


def test_golden_vector_off_the_cpu(
    golden: Callable[[str], GoldenFrame],
    seeded_weights: Path,
    off_the_cpu: Callable[[PaperExtractor], PaperExtractor],
) -> None:
    """The maps of a golden frame are within a relative 1e-3, and within 1e-4 of the CPU's own path."""
    vector = golden("dev_l4_g128_104_both")
    extractor = PaperExtractor(seeded_weights, vector.blocks, vector.group_size)
    mapping = load_published(vector.mapping_2d3d, vector.mapping_3d2d)
    packed = maps_of(extractor, mapping, vector)
    found = maps_of(off_the_cpu(extractor), mapping, vector)
    for name in MAPS:
        psi = getattr(found, name)[0]
        assert relative_l2(psi, vector.expected[name]) <= GOLDEN_TOLERANCE, name
        assert relative_l2(psi, getattr(packed, name)[0]) <= PACKED_TOLERANCE, name
    assert torch.equal(found.psi_2d != 0, packed.psi_2d != 0)


def test_replayed_batches_get_the_maps_they_get_packed_and_alone(
    golden: Callable[[str], GoldenFrame],
    seeded_weights: Path,
    off_the_cpu: Callable[[PaperExtractor], PaperExtractor],
) -> None:
    """Batches of one shape in the same recordings, with frames of other sizes and places, have the right maps."""
    names = ("dev_l12_g128_101_good", "dev_l12_g128_102_hole", "dev_l1_g128_104_both")
    vectors, graphs = [golden(name) for name in names], ReplayedCalls()
    extractor = PaperExtractor(seeded_weights, 1, 32, graphs=graphs)
    mapping = load_published(vectors[-1].mapping_2d3d, vectors[-1].mapping_3d2d)
    graphs.on_stream = None
    alone = [maps_of(extractor, mapping, vector).psi[0] for vector in vectors]
    off_the_cpu(extractor)
    graphs.on_stream = "compute"
    for batch in ([0, 2], [2, 2], [1, 2], [2]):
        found = maps_of(extractor, mapping, *(vectors[i] for i in batch))
        for psi, i in zip(found.psi, batch, strict=True):
            assert relative_l2(psi, alone[i]) <= PACKED_TOLERANCE
    assert len(graphs.recorded) == 4, "pictures and groups of two shapes each"
    assert graphs.replays > len(graphs.recorded)
