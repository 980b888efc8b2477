"""All measurements of one variant, and of all of them."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, replace
from math import isnan
from pathlib import Path
from statistics import median
from typing import Any, TypeVar

import torch
from torch import Tensor

from cmfm_worker.bench import line
from cmfm_worker.bench.made_up_frames import Frames, load_frames
from cmfm_worker.bench.memory import device_peak_bytes, host_peak_bytes, reset_peaks
from cmfm_worker.bench.options import BenchError, BenchOptions, Variant
from cmfm_worker.bench.picture_work import Picture
from cmfm_worker.bench.provenance import provenance
from cmfm_worker.bench.rates import Rates, measure_rates, synchronise
from cmfm_worker.bench.seeded import seeded_mapping, write_seeded_weights
from cmfm_worker.bench.sizes import Sizes, Work
from cmfm_worker.bench.stages import Setup, Stopwatch, run, run_watched
from cmfm_worker.bench.twin import compare
from cmfm_worker.bench.work import classic_work, paper_work
from cmfm_worker.cfm.extractor import Extractor, TooFewPointsError
from cmfm_worker.cfm.fit import FitOptions
from cmfm_worker.cfm.mapping import MappingPair
from cmfm_worker.cfm.paper_extractor import PaperExtractor
from cmfm_worker.cfm.precision import DTYPES, why_not, why_not_for
from cmfm_worker.cfm.prepare import BackgroundOptions, prepare
from cmfm_worker.cfm.variants import Architecture, Modality
from cmfm_worker.cfm.weights import WeightsError

SCHEMA = 1

T = TypeVar("T")
Say = Callable[[str], None]

_LEAST_RUNS, _MOST_RUNS = 3, 1000


def measure(options: BenchOptions, say: Say) -> dict[str, Any]:
    """Everything asked for, as one JSON object; `say` is told what is being measured.

    Raises BenchError where the options do not fit together, the frames or the machine.
    """
    variants, frames = options.variants(), load_frames(options)
    if options.threads is not None:
        torch.set_num_threads(options.threads)
    devices = list(dict.fromkeys(variant.device for variant in variants))
    origin = provenance(devices)  # first: a checkout may change while it is measured
    background = _background(options, frames)
    with _weights(options, variants, say) as weights:
        results = [_measured(variant, options, background, frames, weights, say) for variant in variants]
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
    """How the tray is removed; a fixed one is taken from the first frame. Raises BenchError where it shows none."""
    if options.background != "fixed":
        return BackgroundOptions(method=options.background)
    a, b, c, d = prepare(frames.rgb[:1], frames.xyz[:1], BackgroundOptions()).plane[0].tolist()
    if isnan(d):
        raise BenchError(f"{frames.source}: the first frame shows no tray to fix")
    return BackgroundOptions(method="fixed", plane=(a, b, c, d))


def _wire(options: BenchOptions, say: Say) -> list[dict[str, Any]]:
    say("wire: TCP loopback into the ring")
    extractor = _classic(torch.device("cpu"))
    mapping = _classic_mapping(extractor)
    return line.wire(Setup(extractor, mapping, BackgroundOptions()), options.seconds)


@contextmanager
def _weights(options: BenchOptions, variants: list[Variant], say: Say) -> Iterator[Path]:
    """The folder of weights; a seeded one is written for the run and deleted after it."""
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


def _measured(
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
    setup = _set_up(variant, background, weights)
    memory: dict[str, Any] = {"host_loading_bytes": host_peak_bytes()}
    # Where peaks cannot be forgotten, what ran before counts as well.
    memory["host_peaks_are_of_each"] = reset_peaks(device)
    try:
        result |= _run_all(setup, variant, options, frames, rates, say)
    except TooFewPointsError as error:
        raise BenchError(f"{frames.source}: {error}") from error
    result["memory"] = memory | {
        "host_running_bytes": host_peak_bytes(),
        "device_bytes": device_peak_bytes(device),
    }
    if options.twin and variant.extractor == "paper":
        say(f"{variant}: the literal program")
        result["twin"] = compare(setup, variant, weights, frames.rgb[0], frames.xyz[0])
    if options.end_to_end:
        say(f"{variant}: camera to verdict")
        how = {"seconds": options.seconds, "rate_hz": options.rate_hz}
        result["end_to_end"] = line.end_to_end(setup, variant, frames, weights.resolve(), **how)
    return result


def _set_up(variant: Variant, background: BackgroundOptions, weights: Path) -> Setup:
    """Extractor and an untrained mapping. Raises BenchError naming what is wrong with the weights."""
    device = torch.device(variant.device)
    networks = variant.mapping, variant.modality
    extractor: Extractor
    if variant.extractor == "classic":
        extractor = _classic(device)
        mapping = _classic_mapping(extractor, *networks)
    else:
        precision = variant.precision
        try:
            extractor = PaperExtractor(
                weights, variant.blocks, variant.group_size, device, precision, variant.image
            )
        except (WeightsError, ValueError) as error:
            raise BenchError(str(error)) from error
        mapping = replace(seeded_mapping(extractor.d2, extractor.d3, *networks), precision=precision)
    return Setup(extractor, mapping.to(device), background)


def _classic(device: torch.device) -> Extractor:
    from cmfm_worker.cfm.classic import ClassicExtractor

    extractor: Extractor = ClassicExtractor(device=device)
    return extractor


def _classic_mapping(
    extractor: Extractor, architecture: Architecture = "mlp", modality: Modality = "cross"
) -> MappingPair:
    """As wide as a fit makes it."""
    from cmfm_worker.cfm.classic import CONTEXT_2D, CONTEXT_3D

    hidden = FitOptions.for_preset("classic", architecture).hidden
    return seeded_mapping(
        extractor.d2,
        extractor.d3,
        architecture,
        modality,
        hidden=hidden,
        spread=True,
        context=(CONTEXT_2D, CONTEXT_3D),
    )


def _run_all(
    setup: Setup, variant: Variant, options: BenchOptions, frames: Frames, rates: Rates, say: Say
) -> dict[str, Any]:
    say(f"{variant}: stages")
    found: dict[str, Any] = {"stages": _stages(setup, variant, options, frames.batch(1), rates)}
    say(f"{variant}: latency")
    found["latency"] = _latency(setup, options, frames.batch(1))
    found["batches"] = []
    for size in options.batches:
        say(f"{variant}: batches of {size}")
        found["batches"].append(_throughput(setup, options, frames.batch(size)))
    return found | {"rates": asdict(rates)}


def _stages(
    setup: Setup, variant: Variant, options: BenchOptions, batch: tuple[Tensor, Tensor], rates: Rates
) -> list[dict[str, Any]]:
    """Medians of every stage of a batch of one, beside its floor."""
    run_watched(setup, *batch, Stopwatch(setup.extractor.device))  # first-time costs stay out
    watch = Stopwatch(setup.extractor.device)
    sizes = _repeat(lambda: run_watched(setup, *batch, watch)[1], options.seconds)
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
        return classic_work(sizes, setup.mapping)
    dtype_bytes = DTYPES[variant.precision].itemsize
    picture = Picture.of(setup.extractor.image_encoder)
    return paper_work(sizes, variant.blocks, variant.group_size, setup.mapping, dtype_bytes, picture)


def _latency(setup: Setup, options: BenchOptions, batch: tuple[Tensor, Tensor]) -> dict[str, Any]:
    """Host frame to map and score on the host, one at a time."""
    wall_s, cpu_s = _timed(setup, options.seconds, batch)
    at = torch.tensor(wall_s)
    return {
        "samples": len(wall_s),
        "p50_s": float(at.quantile(0.5)),
        "p99_s": float(at.quantile(0.99)),
        "max_s": max(wall_s),
        "cpu_s": median(cpu_s),
    }


def _throughput(setup: Setup, options: BenchOptions, batch: tuple[Tensor, Tensor]) -> dict[str, Any]:
    wall_s, cpu_s = _timed(setup, options.seconds, batch)
    size = len(batch[0])
    return {
        "batch": size,
        "frames_per_s": size / median(wall_s),
        "cpu_s_per_frame": median(cpu_s) / size,
        "samples": len(wall_s),
    }


def _timed(setup: Setup, seconds: float, batch: tuple[Tensor, Tensor]) -> tuple[list[float], list[float]]:
    """Wall and CPU seconds of passes over one batch, in pinned memory where there is CUDA."""
    device = setup.extractor.device
    rgb, xyz = (t.pin_memory() if device.type == "cuda" else t for t in batch)
    wall_s: list[float] = []
    cpu_s: list[float] = []

    def once() -> None:
        wall, cpu = time.perf_counter(), time.process_time()
        run(setup, rgb, xyz)
        wall_s.append(time.perf_counter() - wall)
        cpu_s.append(time.process_time() - cpu)

    run(setup, rgb, xyz)
    synchronise(device)
    _repeat(once, seconds)
    return wall_s, cpu_s


def _repeat(once: Callable[[], T], seconds: float) -> T:
    """Call until the seconds are over, at least three times; the last result."""
    end = time.perf_counter() + seconds
    for number in range(1, _MOST_RUNS + 1):
        result = once()
        if number >= _LEAST_RUNS and time.perf_counter() >= end:
            break
    return result
