"""The benchmark: its counts are those of the work, its times are those of the method, and it runs on a bare
machine.
"""

from __future__ import annotations

import json
import mmap
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from cmfm_worker.bench import twin
from cmfm_worker.bench.__main__ import main
from cmfm_worker.bench.benchmark import run_benchmark
from cmfm_worker.bench.made_up_frames import load_frames, made_up_frame
from cmfm_worker.bench.memory import host_peak_bytes, reset_peaks
from cmfm_worker.bench.options import BenchOptions, Variant
from cmfm_worker.bench.passes import Passes
from cmfm_worker.bench.picture_work import Picture
from cmfm_worker.bench.seeded import seeded_mapping, write_seeded_weights
from cmfm_worker.bench.sizes import Work
from cmfm_worker.bench.stages import Setup, Stopwatch, run, run_watched
from cmfm_worker.bench.tables import as_text, remarks, tables
from cmfm_worker.bench.work import paper_work
from cmfm_worker.cfm.anomaly_maps import anomaly_maps
from cmfm_worker.cfm.fast import frozen_linear
from cmfm_worker.cfm.paper_extractor import PaperExtractor
from cmfm_worker.cfm.prepare import BackgroundOptions, prepare
from cmfm_worker.line.compute.device import CpuSeam

PAPER_STAGES = [
    "resize",
    "background",
    "image",
    "fps",
    "knn",
    "pointnet",
    "transformer",
    "sampling",
    "mapping",
    "aggregate",
]
CPU = torch.device("cpu")
QUICK = BenchOptions(extractors=("classic",), side_px=96, seconds=0, devices=("cpu",))


@pytest.fixture(scope="module")
def seeded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One block of seeded weights."""
    folder = tmp_path_factory.mktemp("seeded")
    write_seeded_weights(folder, blocks=1)
    return folder


@pytest.fixture(scope="module")
def small_part(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A frame with 1600 points, without its tray."""
    rgb, xyz = made_up_frame(224, seed=2)
    part = xyz.new_full(xyz.shape, torch.nan)
    part[90:130, 90:130] = xyz[90:130, 90:130].nan_to_num(0.5)
    file = tmp_path_factory.mktemp("frames") / "small.npz"
    np.savez(file, rgb=rgb.numpy(), xyz=part.numpy())
    return file


def paper_setup(seeded: Path) -> Setup:
    extractor = PaperExtractor(seeded, 1, 32)
    return Setup(extractor, seeded_mapping(extractor.d2, extractor.d3), BackgroundOptions())


def test_made_up_frame_has_a_part() -> None:
    """The part covers about a quarter of the image; the same seed makes the same frame."""
    rgb, xyz = made_up_frame(224, seed=1)
    assert torch.equal(rgb, made_up_frame(224, seed=1)[0])
    frames = prepare(rgb[None], xyz[None], BackgroundOptions())
    assert 0.18 < frames.foreground.float().mean() < 0.35


def test_watched_stages_are_the_method(seeded: Path) -> None:
    """A batch gets the same maps stage by stage as in one call, and every stage has its time."""
    setup, (rgb, xyz) = paper_setup(seeded), load_frames(QUICK).batch(2)
    watch = Stopwatch(CPU)
    maps, sizes = run_watched(setup, rgb, xyz, watch)
    frames = prepare(rgb, xyz, setup.background)
    extractor = setup.extractor
    assert isinstance(extractor, PaperExtractor)
    features = extractor.tokens(frames)
    expected = anomaly_maps(features, setup.mapping)
    for name in ("psi_2d", "psi_3d", "psi"):
        torch.testing.assert_close(getattr(maps, name), getattr(expected, name))
    torch.testing.assert_close(run(setup, rgb, xyz)[0], expected.psi)
    assert list(watch.wall_s) == list(watch.cpu_s) == PAPER_STAGES
    assert all(len(seconds) == 1 and seconds[0] > 0 for seconds in watch.wall_s.values())
    assert (sizes.frames, sizes.pixels) == (2, int(features.mask.sum()))


def test_batches_in_flight_come_back_in_order(seeded: Path) -> None:
    """With two in flight, sending the second batch returns the first, and each has its own maps and scores."""
    setup, frames = paper_setup(seeded), load_frames(QUICK)
    batches = [(frames.rgb[i : i + 1], frames.xyz[i : i + 1]) for i in range(2)]
    passes = Passes(setup, CpuSeam(), in_flight=2)
    assert passes.send(*batches[0]) is None
    found = [passes.send(*batches[1]), passes.receive()]
    for results, batch in zip(found, batches, strict=True):
        assert results is not None
        for value, expected in zip(results, run(setup, *batch), strict=True):
            assert torch.equal(value, expected)


def test_counted_operations_are_those_that_are_done(seeded: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The counted operations of each stage are those that torch counts, within 12 %."""
    monkeypatch.setattr(frozen_linear, "_can_pack", lambda *_: False)  # torch does not know oneDNN's layers
    setup, batch = paper_setup(seeded), load_frames(QUICK).batch(2)
    counted: dict[str, float] = {}

    @contextmanager
    def counting(stage: str) -> Iterator[None]:
        with FlopCounterMode(display=False) as counter:
            yield
        counted[stage] = counter.get_total_flops()

    with sdpa_kernel(SDPBackend.MATH):  # nor the CPU's own attention
        _, sizes = run_watched(setup, *batch, counting)
    work = paper_work(sizes, 1, 32, setup.mapping, 4)
    for stage in ("image", "pointnet", "transformer", "mapping"):
        assert counted[stage] == pytest.approx(work[stage].flop, rel=0.12), stage


def test_floor_is_the_slower_of_operations_and_bytes() -> None:
    """A floor is the longer of the times for operations and for bytes."""
    assert Work(flop=10, bytes=1).floor_s(flop_per_s=5, bytes_per_s=100) == 2
    assert Work(flop=1, bytes=300).floor_s(flop_per_s=5, bytes_per_s=100) == 3


def test_peak_is_of_what_ran_since_the_reset() -> None:
    """100 MB held for a moment are in the peak, and not after a reset.

    The memory comes from the system, because the C library may have as much in its pool, which the process holds
    already.
    """
    if not reset_peaks(CPU):
        pytest.skip("this system cannot forget a peak")
    before = host_peak_bytes()
    with mmap.mmap(-1, 100_000_000) as block:
        for _ in range(100):
            block.write(bytes(1_000_000))
    assert host_peak_bytes() - before > 90e6
    reset_peaks(CPU)
    assert host_peak_bytes() - before < 50e6


def test_options_multiply_and_idle_ones_do_not() -> None:
    """All combinations of the paper's variants are run; `classic`, which has no blocks, groups or precisions, once."""
    options = BenchOptions(
        ("classic", "paper"), (12, 1), (128, 32), ("fp32", "bf16"), devices=("cpu",), seeded=True
    )
    variants = options.variants()
    assert len(variants) == 1 + 2 * 2 * 2
    assert str(variants[0]) == "classic fp32 cpu"
    assert Variant("paper", 1, 32, "bf16", "cpu") in variants


def test_report_holds_everything(
    seeded: Path, small_part: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The JSON has provenance, each batch size, latency, stages with floors, and memory; the tables show the same."""
    file = tmp_path / "report.json"
    arguments = ["--extractors", "paper", "--blocks", "1", "--group-sizes", "32", "--batches", "2"]
    arguments += ["--weights", str(seeded), "--frames", str(small_part), "--seconds", "0", "--devices", "cpu"]
    assert main([*arguments, "--json", str(file)]) == 0
    report = json.loads(file.read_text())
    assert report["provenance"]["packages"]["torch"] == torch.__version__
    assert report["provenance"]["devices"] == {"cpu": report["provenance"]["cpu"]}
    variant = report["variants"][0]
    assert [b["batch"] for b in variant["batches"]] == [2]
    assert all(b["frames_per_s"] > 0 for b in variant["batches"])
    assert [stage["stage"] for stage in variant["stages"]] == PAPER_STAGES
    assert all(min(stage["floor_s"], stage["wall_s"]) > 0 for stage in variant["stages"])
    assert variant["latency"]["p50_s"] <= variant["latency"]["p99_s"] <= variant["latency"]["max_s"]
    assert variant["memory"]["host_running_bytes"] > 100e6
    shown = capsys.readouterr()
    for word in ("paper L1 G32 fp32 cpu", "transformer", "× floor"):
        assert word in shown.out
    assert "floors at" in shown.err


def test_slow_precision_is_skipped_with_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    """A precision that the CPU does not have is skipped with a reason; the rest of the report is made."""
    monkeypatch.setattr(torch.cpu, "_is_amx_fp16_supported", lambda: False, raising=False)
    options = replace(QUICK, extractors=("paper",), blocks=(1,), precisions=("fp16",), seeded=True)
    report = run_benchmark(options, lambda _: None)
    assert report["variants"][0]["skipped"] == "fp16 needs a CPU with amx_fp16; use fp32"
    assert "skipped, fp16 needs" in next(remarks(report))
    assert all(as_text(table) for table in tables(report))


def test_twin_is_compared_on_the_same_frame(seeded: Path) -> None:
    """The literal program takes longer and gives the same maps."""
    rgb, xyz = made_up_frame(224, seed=3)
    found = twin.compare(paper_setup(seeded), Variant("paper", 1, 32, "fp32", "cpu"), seeded, rgb, xyz)
    assert max(found["relative_l2"].values()) < 1e-4
    assert found["ratio_cpu_s"] > 2


def test_missing_twin_is_reported(seeded: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the source tree the report says why there is no comparison."""
    monkeypatch.setattr(twin, "twin_file", lambda: None)
    rgb, xyz = made_up_frame(96, seed=3)
    found: Any = twin.compare(paper_setup(seeded), Variant("paper", 1, 32, "fp32", "cpu"), seeded, rgb, xyz)
    assert "source tree only" in found["skipped"]


BLOCKER = """
import sys
blocked = {blocked!r}
class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in blocked:
            raise ImportError(name)
sys.meta_path.insert(0, Blocker())
"""
BARE = (
    BLOCKER
    + """
from cmfm_worker.bench.__main__ import main
sys.exit(main({arguments!r}))
"""
)
IMPORTS = (
    BLOCKER
    + """
import runpy
for file in {arguments!r}:
    runpy.run_path(file)
"""
)
NOT_ON_A_GPU_MACHINE = [
    "zmq",
    "structlog",
    "pydantic",
    "pydantic_settings",
    "typer",
    "rich",
    "scipy",
    "pykdtree",
    "msgpack",
    "tifffile",
    "imagecodecs",
    "prometheus_client",
    "tomli_w",
    "cmfm_protocol",
    "cmfm_client",
    "cmfm_sim",
]


def test_cuda_tests_can_be_imported_on_a_bare_machine() -> None:
    """The CUDA tests can be imported with torch, timm, numpy and pytest only, as on a GPU machine."""
    files = [str(file) for file in sorted((Path(__file__).parents[2] / "gpu").glob("test_*.py"))]
    assert len(files) >= 2
    code = IMPORTS.format(blocked=NOT_ON_A_GPU_MACHINE, arguments=files)
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=280, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.timeout(600)
def test_bare_machine_can_run_it(seeded: Path, small_part: Path) -> None:
    """The benchmark runs with torch, timm, numpy and what they need, as on a GPU machine."""
    arguments = ["--extractors", "paper", "--blocks", "1", "--group-sizes", "32", "--weights", str(seeded)]
    arguments += ["--seconds", "0", "--frames", str(small_part), "--background", "none", "--devices", "cpu"]
    code = BARE.format(blocked=NOT_ON_A_GPU_MACHINE, arguments=arguments)
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=600, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "transformer" in done.stdout


def test_other_2d_extractors_are_variants() -> None:
    """2D extractors multiply with other options, by timm's names or short ones. The default, DINO, is not named."""
    options = BenchOptions(
        ("classic", "paper"),
        (1,),
        devices=("cpu",),
        seeded=True,
        image_extractor=("dino", "sam", "vit_small_patch16_224.dino"),
    )
    names = [str(variant) for variant in options.variants()]
    assert names == [
        "classic fp32 cpu",
        "paper L1 G128 fp32 cpu",
        "paper sam L1 G128 fp32 cpu",
        "paper vit_small_patch16_224.dino L1 G128 fp32 cpu",
    ]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            ["--image-extractor", "a/b"],
            "--image-extractor: 'a/b' is not an image extractor: expected dino, dinov2",
        ),
        (["--image-extractor", ","], "--image-extractor: expected at least one"),
        (
            ["--extractors", "paper", "--image-extractor", "resnet50", "--seeded"],
            "'resnet50' is not an image extractor",
        ),
    ],
)
def test_bad_2d_extractors_are_explained(
    given: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 2 and one message that names the option or the model."""
    assert main([*given, "--seconds", "0"]) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("image", ["vit_base_patch14_dinov2.lvd142m", "samvit_base_patch16.sa1b"])
def test_counted_operations_of_other_2d_extractors(
    image: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their floors agree with torch's counts, too, within 12 %; `--twin` says that it has only DINO."""
    monkeypatch.setattr(frozen_linear, "_can_pack", lambda *_: False)  # torch does not know oneDNN's layers
    write_seeded_weights(tmp_path, 1, [image])
    extractor = PaperExtractor(tmp_path, 1, 32, image=image)
    setup = Setup(extractor, seeded_mapping(extractor.d2, extractor.d3), BackgroundOptions())
    counted: dict[str, float] = {}

    @contextmanager
    def counting(stage: str) -> Iterator[None]:
        with FlopCounterMode(display=False) as counter:
            yield
        counted[stage] = counter.get_total_flops()

    frame = load_frames(QUICK).batch(1)
    with sdpa_kernel(SDPBackend.MATH):  # nor the CPU's own attention
        _, sizes = run_watched(setup, *frame, counting)
    work = paper_work(sizes, 1, 32, setup.mapping, 4, Picture.of(extractor.image_encoder))
    assert counted["image"] == pytest.approx(work["image"].flop, rel=0.12)
    variant = Variant("paper", 1, 32, "fp32", "cpu", image=image)
    found = twin.compare(setup, variant, tmp_path, frame[0][0], frame[1][0])
    assert "has only the 2D extractor" in found["skipped"]
