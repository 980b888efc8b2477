"""Runs the whole benchmark: every variant of the method that the options ask for."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, replace
from math import isnan
from pathlib import Path
from statistics import median
from typing import Any

import torch
from torch import Tensor

from cmfm_worker.bench import line
from cmfm_worker.bench.made_up_frames import Frames, load_frames
from cmfm_worker.bench.memory import host_peak_bytes, reset_peaks
from cmfm_worker.bench.options import BenchError, BenchOptions, Variant
from cmfm_worker.bench.passes import latency, repeat, throughput
from cmfm_worker.bench.picture_work import Picture
from cmfm_worker.bench.provenance import provenance
from cmfm_worker.bench.rates import Rates, measure_rates
from cmfm_worker.bench.seeded import seeded_mapping, write_seeded_weights
from cmfm_worker.bench.sizes import Sizes, Work
from cmfm_worker.bench.stages import Setup, Stopwatch, run_watched
from cmfm_worker.bench.twin import compare
from cmfm_worker.bench.work import classic_work, lite_work, paper_work
from cmfm_worker.cfm.classic.extractor import ClassicExtractor
from cmfm_worker.cfm.extractor import Extractor, Preset, TooFewPointsError
from cmfm_worker.cfm.fast.graphed_prepare import GraphedPrepare
from cmfm_worker.cfm.fast.graphs import GraphRecorder, graph_recorder_for
from cmfm_worker.cfm.fast.precision import DTYPES, why_not, why_not_for
from cmfm_worker.cfm.fit.fit import FitOptions
from cmfm_worker.cfm.lite.extractor import LiteExtractor
from cmfm_worker.cfm.mapping.pair import MappingPair
from cmfm_worker.cfm.paper_extractor import PaperExtractor
from cmfm_worker.cfm.prepare import BackgroundOptions, prepare
from cmfm_worker.cfm.variants import Architecture, Modality
from cmfm_worker.cfm.weights import WeightsError

SCHEMA = 1

Say = Callable[[str], None]


def run_benchmark(options: BenchOptions, say: Say) -> dict[str, Any]:
    """Run the benchmark and return its report, one JSON object. `say` gets the name of each step.

    Raises BenchError if the options do not fit together, the frames or the machine.
    """
    variants, frames = options.variants(), load_frames(options)
    if options.threads is not None:
        torch.set_num_threads(options.threads)
    devices = list(dict.fromkeys(variant.device for variant in variants))
    origin = provenance(devices)  # first: a checkout may change during a run
    background = _background(options, frames)
    with _weights(options, variants, say) as weights:
        results = [_run_variant(variant, options, background, frames, weights, say) for variant in variants]
    return {
        "schema": SCHEMA,
        "provenance": origin,
        "frames": {
            "source": frames.source,
            "height_px": frames.rgb.shape[1],
            "width_px": frames.rgb.shape[2],
        },
        "background": options.background,
        "seeded": options.seeded,
        "variants": results,
        "wire": _wire(options, say) if options.wire else [],
    }


def _background(options: BenchOptions, frames: Frames) -> BackgroundOptions:
    """Return how the tray is removed. A fixed plane is the first frame's. Raises BenchError if that shows no tray."""
    if options.background != "fixed":
        return BackgroundOptions(method=options.background)
    a, b, c, d = prepare(frames.rgb[:1], frames.xyz[:1], BackgroundOptions()).plane[0].tolist()
    if isnan(d):
        raise BenchError(f"{frames.source}: the first frame shows no tray to fix")
    return BackgroundOptions(method="fixed", plane=(a, b, c, d))


def _wire(options: BenchOptions, say: Say) -> list[dict[str, Any]]:
    say("wire: TCP loopback into the ring")
    extractor = ClassicExtractor()
    mapping = _mapping_of(extractor)
    return line.wire(Setup(extractor, mapping, BackgroundOptions()), options.seconds)


@contextmanager
def _weights(options: BenchOptions, variants: list[Variant], say: Say) -> Iterator[Path]:
    """Yield the folder of weights. Seeded weights are written for the run and deleted after it."""
    blocks = max(variant.blocks for variant in variants)
    images = dict.fromkeys(variant.image for variant in variants if variant.extractor == "paper")
    if options.weights is not None and not options.seeded:
        yield options.weights
        return
    with tempfile.TemporaryDirectory(prefix="cmfm-bench-") as folder:
        if blocks:
            say("writing seeded weights")
            try:
                write_seeded_weights(Path(folder), blocks, images)
            except ValueError as error:
                raise BenchError(str(error)) from error
        yield Path(folder)


def _run_variant(
    variant: Variant,
    options: BenchOptions,
    background: BackgroundOptions,
    frames: Frames,
    weights: Path,
    say: Say,
) -> dict[str, Any]:
    device = torch.device(variant.device)
    result: dict[str, Any] = {**asdict(variant), "name": str(variant), "skipped": None}
    reason = why_not(variant.precision, device) or why_not_for(variant.precision, variant.image)
    if reason is not None:
        say(f"{variant}: skipped, {reason}")
        return result | {"skipped": reason}
    say(f"{variant}: rates of the machine")
    rates = measure_rates(device, variant.precision)
    reset_peaks(device)
    graphs = None if options.plain_launches else graph_recorder_for(device)
    setup = _set_up(variant, background, weights, graphs)
    memory: dict[str, Any] = {"host_loading_bytes": host_peak_bytes()}
    # If peaks cannot be reset, they include everything that ran before.
    memory["host_peaks_are_of_each"] = reset_peaks(device)
    result["cuda_graphs"] = graphs is not None
    try:
        result |= _run_all(setup, variant, options, frames, rates, say)
    except TooFewPointsError as error:
        raise BenchError(f"{frames.source}: {error}") from error
    on_device = [run["device_bytes"] for run in (result["latency"], *result["batches"])]
    result["memory"] = memory | {
        "host_running_bytes": host_peak_bytes(),
        "device_bytes": None if None in on_device else max(on_device),
    }
    if options.twin and variant.extractor == "paper":
        say(f"{variant}: the literal program")
        result["twin"] = compare(setup, variant, weights, frames.rgb[0], frames.xyz[0])
    if options.end_to_end:
        say(f"{variant}: camera to verdict")
        result["end_to_end"] = line.end_to_end(
            setup,
            variant,
            frames,
            weights.resolve(),
            seconds=options.seconds,
            rate_hz=options.rate_hz,
            threads=options.threads,
        )
    return result


def _set_up(
    variant: Variant, background: BackgroundOptions, weights: Path, graphs: GraphRecorder | None
) -> Setup:
    """Build the extractor and an untrained mapping. Raises BenchError naming the problem with the weights."""
    device = torch.device(variant.device)
    networks = variant.mapping, variant.modality
    extractor: Extractor
    if variant.extractor != "paper":
        extractor = real_time = _in_real_time(variant.extractor, device)
        mapping = _mapping_of(real_time, *networks)
    else:
        precision = variant.precision
        try:
            extractor = PaperExtractor(
                weights, variant.blocks, variant.group_size, device, precision, variant.image, graphs
            )
        except (WeightsError, ValueError) as error:
            raise BenchError(str(error)) from error
        mapping = replace(seeded_mapping(extractor.d2, extractor.d3, *networks), precision=precision)
    return Setup(extractor, mapping.to(device), background, GraphedPrepare(graphs))


def _in_real_time(preset: Preset, device: torch.device) -> ClassicExtractor | LiteExtractor:
    """Build the extractor of `classic` or `lite`. Raises BenchError if the weights of `lite` are not installed."""
    if preset == "classic":
        return ClassicExtractor(device=device)
    try:
        return LiteExtractor(device=device)
    except WeightsError as error:
        raise BenchError(str(error)) from error


def _mapping_of(
    extractor: ClassicExtractor | LiteExtractor,
    architecture: Architecture = "mlp",
    modality: Modality = "cross",
) -> MappingPair:
    """Make an untrained mapping of the width that a fit uses."""
    hidden = FitOptions.for_preset("classic", architecture).hidden
    return seeded_mapping(
        extractor.d2,
        extractor.d3,
        architecture,
        modality,
        hidden=hidden,
        spread=True,
        context=extractor.context,
    )


def _run_all(
    setup: Setup, variant: Variant, options: BenchOptions, frames: Frames, rates: Rates, say: Say
) -> dict[str, Any]:
    say(f"{variant}: stages")
    found: dict[str, Any] = {"stages": _stages(setup, variant, options, frames.batch(1), rates)}
    say(f"{variant}: latency")
    found["latency"] = latency(setup, options.seconds, frames.batch(1))
    found["batches"] = []
    for size in options.batches:
        say(f"{variant}: batches of {size}")
        found["batches"].append(throughput(setup, options.seconds, frames.batch(size)))
    return found | {"rates": asdict(rates)}


def _stages(
    setup: Setup, variant: Variant, options: BenchOptions, batch: tuple[Tensor, Tensor], rates: Rates
) -> list[dict[str, Any]]:
    """Return the median of each stage of a batch of one, beside its floor. CUDA graphs are not used."""
    run_watched(
        setup, *batch, Stopwatch(setup.extractor.device)
    )  # first-time costs are not part of the result
    watch = Stopwatch(setup.extractor.device)
    sizes = repeat(lambda: run_watched(setup, *batch, watch)[1], options.seconds)
    return [
        {
            "stage": stage,
            "wall_s": median(watch.wall_s[stage]),
            "cpu_s": median(watch.cpu_s[stage]),
            "floor_s": work.floor_s(rates.flop_per_s, rates.bytes_per_s),
            **asdict(work),
        }
        for stage, work in _work(setup, variant, sizes).items()
        if stage in watch.wall_s
    ]


def _work(setup: Setup, variant: Variant, sizes: Sizes) -> Mapping[str, Work]:
    if not isinstance(setup.extractor, PaperExtractor):
        lite = setup.extractor.identity.preset == "lite"
        return (lite_work if lite else classic_work)(sizes, setup.mapping)
    dtype_bytes = DTYPES[variant.precision].itemsize
    picture = Picture.of(setup.extractor.image_encoder)
    return paper_work(sizes, variant.blocks, variant.group_size, setup.mapping, dtype_bytes, picture)
