"""The benchmark of every mapping: its counts are those of the work, and its report names the variants."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from cmfm_worker.bench import twin
from cmfm_worker.bench.benchmark import run_benchmark
from cmfm_worker.bench.made_up_frames import load_frames, made_up_frame
from cmfm_worker.bench.mapping_work import mapping_of_pixels, mapping_of_tokens
from cmfm_worker.bench.options import BenchError, BenchOptions, Variant
from cmfm_worker.bench.seeded import seeded_mapping
from cmfm_worker.bench.sizes import Sizes
from cmfm_worker.bench.stages import Setup, Stopwatch, run_watched
from cmfm_worker.cfm.classic.extractor import ClassicExtractor
from cmfm_worker.cfm.fast import frozen_linear
from cmfm_worker.cfm.mapping import at_tokens
from cmfm_worker.cfm.mapping.token_sampling import TokenSampling
from cmfm_worker.cfm.pixel_distances import pixel_distances
from cmfm_worker.cfm.points.grouping import CENTRES
from cmfm_worker.cfm.prepare import BackgroundOptions
from cmfm_worker.cfm.token_features import SampledTokens, TokenFeatures
from cmfm_worker.cfm.variants import Architecture, Modality

QUICK = BenchOptions(extractors=("classic",), side_px=96, seconds=0, devices=("cpu",))
D2, D3 = 26, 40
TOKENS_2D = 300
MAPPINGS: list[tuple[Architecture, Modality]] = [
    ("mlp", "cross"),
    ("mlp", "intra"),
    ("mlp_encoder_decoder", "cross"),
    ("conv_encoder_decoder", "cross"),
]


def a_part() -> tuple[TokenFeatures, Sizes]:
    """One frame's made-up tokens in a rectangle of the image, and the sizes of everything."""
    torch.manual_seed(1)
    mask = torch.zeros(1, 224, 224, dtype=torch.bool)
    mask[0, 60:120, 84:150] = torch.rand(60, 66) < 0.8
    pixels = int(mask.sum())

    def sampled(tokens: Tensor) -> SampledTokens:
        weight, starts = torch.rand(3 * pixels), torch.arange(0, 3 * pixels, 3)
        return SampledTokens(tokens, TokenSampling(torch.randint(len(tokens), (3 * pixels,)), weight, starts))

    features = TokenFeatures(sampled(torch.randn(TOKENS_2D, D2)), sampled(torch.randn(CENTRES, D3)), mask)
    return features, Sizes(1, 0, pixels, pixels, TOKENS_2D, 6 * pixels, map_pixels=68 * 74)


@pytest.mark.parametrize(("architecture", "modality"), MAPPINGS)
def test_counted_operations_are_those_that_are_done(
    architecture: Architecture, modality: Modality, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The counted operations of each mapping are torch's: from tokens, and at pixels with spreads."""
    monkeypatch.setattr(frozen_linear, "_can_pack", lambda *_: False)  # torch does not know oneDNN's layers
    monkeypatch.setattr(at_tokens, "_BLOCK_ROWS", 2)  # so that small triangles have several blocks, too
    features, sizes = a_part()
    plain = seeded_mapping(D2, D3, architecture, modality)
    with FlopCounterMode(display=False) as counter:
        pixel_distances(features, plain)
    assert counter.get_total_flops() == pytest.approx(mapping_of_tokens(sizes, plain, 4).flop, rel=0.12)
    spreading = seeded_mapping(D2, D3, architecture, modality, spread=True)
    with FlopCounterMode(display=False) as counter:
        pixel_distances(features.at_pixels(), spreading, "standardised")
    assert counter.get_total_flops() == pytest.approx(mapping_of_pixels(sizes, spreading).flop, rel=0.12)


def test_rectangle_of_a_part_is_measured() -> None:
    """The sizes of a batch have the area that convolutions see: more than the part's pixels, less than the image."""
    extractor = ClassicExtractor(device=torch.device("cpu"))
    mapping = seeded_mapping(extractor.d2, extractor.d3, hidden=8, spread=True)
    setup = Setup(extractor, mapping, BackgroundOptions())
    _, sizes = run_watched(setup, *load_frames(QUICK).batch(2), Stopwatch(torch.device("cpu")))
    assert sizes.pixels < sizes.map_pixels < 2 * 224 * 224


def test_mappings_multiply_and_are_told_apart() -> None:
    """Every combination runs once, also for `classic`. Those of the main paper are not named."""
    options = replace(
        QUICK, mappings=("mlp", "conv_encoder_decoder"), modalities=("cross", "intra"), blocks=(12, 8)
    )
    assert [str(variant) for variant in options.variants()] == [
        "classic fp32 cpu",
        "classic fp32 cpu mlp intra",
        "classic fp32 cpu conv_encoder_decoder cross",
        "classic fp32 cpu conv_encoder_decoder intra",
    ]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (replace(QUICK, mappings=("cnn",)), "--mappings: expected some of mlp, .* found cnn"),  # type: ignore[arg-type]
        (replace(QUICK, modalities=()), "--modalities: expected some of cross, intra, found nothing"),
    ],
)
def test_unknown_mappings_are_refused(wrong: BenchOptions, message: str) -> None:
    """An unknown mapping or modality is refused with the option's name and its values."""
    with pytest.raises(BenchError, match=message):
        wrong.variants()


def test_convolutions_cost_more_than_the_mlp() -> None:
    """Convolutions need more operations and more time than the MLP, as in the paper (Table 8)."""
    report = run_benchmark(replace(QUICK, mappings=("mlp", "conv_encoder_decoder")), lambda _: None)
    stages = [
        {stage["stage"]: stage for stage in variant["stages"]}["mapping"] for variant in report["variants"]
    ]
    assert stages[1]["flop"] > 3 * stages[0]["flop"]
    assert stages[1]["cpu_s"] > 2 * stages[0]["cpu_s"]
    assert [variant["mapping"] for variant in report["variants"]] == ["mlp", "conv_encoder_decoder"]


def test_literal_program_knows_the_papers_mapping_alone() -> None:
    """For other mappings the report says why there is no comparison."""
    extractor = ClassicExtractor(device=torch.device("cpu"))
    setup = Setup(extractor, seeded_mapping(extractor.d2, extractor.d3), BackgroundOptions())
    variant = Variant("paper", 1, 32, "fp32", "cpu", modality="intra")
    found = twin.compare(setup, variant, Path("nowhere"), *made_up_frame(96, seed=3))
    assert "main paper's mapping" in found["skipped"]
