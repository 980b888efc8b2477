"""The whole method on CUDA: the maps of the CPU, and batches that mix frames.

Needs torch, timm, numpy and pytest alone.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from cmfm_worker.bench.made_up_frames import made_up_frame
from cmfm_worker.bench.seeded import seeded_mapping, write_seeded_weights
from cmfm_worker.bench.stages import Setup, run
from cmfm_worker.cfm.fast.precision import Precision, why_not
from cmfm_worker.cfm.image.features import load_image_encoder
from cmfm_worker.cfm.image.models import timm_name
from cmfm_worker.cfm.paper_extractor import PaperExtractor
from cmfm_worker.cfm.prepare import BackgroundOptions

BLOCKS, GROUP_SIZE = 4, 32
RANSAC = BackgroundOptions()

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device, torch sees none"),
]


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four blocks of seeded weights."""
    folder = tmp_path_factory.mktemp("seeded")
    write_seeded_weights(folder, BLOCKS)
    return folder


def setup_on(device: str, weights: Path, precision: Precision = "fp32") -> Setup:
    extractor = PaperExtractor(weights, BLOCKS, GROUP_SIZE, device, precision)
    mapping = replace(seeded_mapping(extractor.d2, extractor.d3), precision=precision)
    return Setup(extractor, mapping.to(device), RANSAC)


def frames(count: int) -> tuple[Tensor, Tensor]:
    """Different parts. Each one has one more stripe of missing points than the one before."""
    pairs = [made_up_frame(224, seed) for seed in range(count)]
    for i, (_, xyz) in enumerate(pairs):
        xyz[100 : 100 + 8 * i] = torch.nan
    return torch.stack([p[0] for p in pairs]), torch.stack([p[1] for p in pairs])


def relative_l2(found: Tensor, expected: Tensor) -> float:
    return float((found.double() - expected.double()).norm() / expected.double().norm())


def test_maps_are_those_of_the_cpu(weights: Path) -> None:
    """Maps and scores of a mixed batch in float32 are within a relative 1e-3 of the CPU's."""
    batch = frames(3)
    expected_maps, expected_scores = run(setup_on("cpu", weights), *batch)
    maps, scores = run(setup_on("cuda", weights), *batch)
    assert relative_l2(maps, expected_maps) < 1e-3
    torch.testing.assert_close(scores, expected_scores, rtol=1e-3, atol=0)


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_half_precision_stays_within_its_tolerance(precision: Precision, weights: Path) -> None:
    """Maps are within 3 % if the card has the format."""
    reason = why_not(precision, torch.device("cuda"))
    if reason is not None:
        pytest.skip(reason)
    batch = frames(2)
    expected, _ = run(setup_on("cuda", weights), *batch)
    found, _ = run(setup_on("cuda", weights, precision), *batch)
    assert 1e-5 < relative_l2(found, expected) < 3e-2


@pytest.mark.parametrize("image", ["dinov2", "sam", "clip"])
def test_tokens_of_other_2d_extractors_are_those_of_the_cpu(image: str, tmp_path: Path) -> None:
    """Tokens in float32 are within a relative 1e-4 of the CPU's; SAM's third block is its first global one."""
    write_seeded_weights(tmp_path, BLOCKS, [timm_name(image)])
    file = tmp_path / f"{timm_name(image)}.pth"
    rgb = torch.rand(2, 3, 224, 224, generator=torch.Generator().manual_seed(1))
    expected = load_image_encoder(file, BLOCKS, model=image)(rgb)
    found = load_image_encoder(file, BLOCKS, "cuda", model=image)(rgb.cuda())
    assert relative_l2(found.cpu(), expected) < 1e-4


def test_frames_of_a_batch_get_the_maps_they_get_alone(weights: Path) -> None:
    """A frame's maps do not depend on the numbers of points of its neighbours."""
    setup, (rgb, xyz) = setup_on("cuda", weights), frames(4)
    together, _ = run(setup, rgb, xyz)
    for i in range(4):
        alone, _ = run(setup, rgb[i : i + 1], xyz[i : i + 1])
        assert relative_l2(together[i], alone[0]) < 1e-4
