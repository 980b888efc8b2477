"""The benchmark of the running line: every frame is accounted for, and latencies start at the scheduled trigger."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from cmfm_worker.bench import line
from cmfm_worker.bench.benchmark import run_benchmark
from cmfm_worker.bench.made_up_frames import load_frames
from cmfm_worker.bench.options import BenchError, BenchOptions, Variant
from cmfm_worker.bench.seeded import seeded_mapping
from cmfm_worker.bench.stages import Setup
from cmfm_worker.bench.tables import as_text, tables
from cmfm_worker.bench.wire import measure_wire
from cmfm_worker.cfm.classic.extractor import ClassicExtractor
from cmfm_worker.cfm.prepare import BackgroundOptions

SMALL = BenchOptions(extractors=("classic",), side_px=96, seconds=0, devices=("cpu",), threads=1)


@pytest.fixture(scope="module")
def setup() -> Setup:
    extractor = ClassicExtractor(device=torch.device("cpu"))
    return Setup(
        extractor, seeded_mapping(extractor.d2, extractor.d3, hidden=16, spread=True), BackgroundOptions()
    )


@pytest.mark.parametrize("checksums", [True, False])
def test_every_frame_of_the_wire_reaches_the_ring(setup: Setup, tmp_path: Path, checksums: bool) -> None:
    """Every frame that the camera process sent is in the ring or found it full; the rate counts the former."""
    found = measure_wire(setup, load_frames(SMALL), tmp_path / "wire", seconds=0.5, checksums=checksums)
    assert found["frames"] + found["ring_full"] == found["camera"]["frames"] > 10
    assert found["frames"] > 1
    assert found["frame_bytes"] == 96 * 96 * 15
    assert found["bytes_per_s"] == pytest.approx(found["frames_per_s"] * found["frame_bytes"])


def test_refused_frames_fail_the_benchmark(
    setup: Setup, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If the intake answers frames with FAULTs, the benchmark fails with their reason."""
    monkeypatch.setattr("cmfm_worker.bench.wire._SLOTS", 0)
    with pytest.raises(BenchError, match=r"refused: .*ring_full"):
        measure_wire(setup, load_frames(SMALL), tmp_path / "wire", seconds=0.2, checksums=True)


@pytest.mark.timeout(300)
def test_line_is_measured_from_the_scheduled_trigger(tmp_path: Path) -> None:
    """A worker process answers every frame of a camera process; the report has quantiles, counts and tables."""
    options = replace(SMALL, end_to_end=True, rate_hz=4.0, seconds=1.0, background="fixed")
    report = run_benchmark(options, lambda _: None)
    found = report["variants"][0]["end_to_end"]
    assert (found["frames"], sum(found["verdicts"].values())) == (4, 4)
    assert found["verdicts"] == {"PASS": 4}
    assert found["threads"] == 1
    assert 0 < found["p50_s"] <= found["p99_s"] <= found["p999_s"] <= found["max_s"]
    assert found["camera"]["period_ns"] == 250_000_000
    shown = "\n".join(as_text(table) for table in tables(json.loads(json.dumps(report))))
    assert "Camera to verdict" in shown


def test_worker_that_cannot_start_is_an_error_with_its_message(setup: Setup, tmp_path: Path) -> None:
    """A device that does not exist ends the worker, and the error has the worker's message."""
    frames = load_frames(SMALL)
    variant = Variant("classic", 0, 0, "fp32", "cuda:99")
    with pytest.raises(BenchError, match="cuda:99"):
        line.end_to_end(setup, variant, frames, tmp_path, seconds=1.0, rate_hz=1.0, threads=None)


def test_options_of_the_line_are_checked() -> None:
    """A rate of 0 and a line without any time are refused."""
    for wrong in (replace(SMALL, rate_hz=0.0), replace(SMALL, wire=True, seconds=0.0)):
        with pytest.raises(BenchError, match="rate above 0"):
            wrong.variants()
