"""Measures camera → ZeroMQ → verdict with a worker process, a camera process and a subscriber. Open loop."""

from __future__ import annotations

import select
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import tomli_w
import torch

from cmfm_client.events import Received
from cmfm_client.subscriber import ResultSubscriber, SubscriberOptions
from cmfm_protocol.wire.result import Result
from cmfm_protocol.wire.state import WorkerState
from cmfm_worker.bench.camera import Order, Sent
from cmfm_worker.bench.line_folder import LINE, RECIPE, STATION, CameraProcess, write_frames, write_recipe
from cmfm_worker.bench.made_up_frames import Frames
from cmfm_worker.bench.options import BenchError, Variant
from cmfm_worker.bench.stages import Setup

_READY_S, _VERDICT_S, _STOP_S = 300.0, 90.0, 90.0
_POLL_S = 0.2
_NS_PER_S = 1e9
_RUN = "from cmfm_worker.app import main; main()"

Heard = list[tuple[Result, int]]
"""Results and when they arrived, CLOCK_REALTIME nanoseconds."""


def measure_end_to_end(
    setup: Setup,
    variant: Variant,
    frames: Frames,
    folder: Path,
    *,
    weights: Path,
    seconds: float,
    rate_hz: float,
    threads: int,
) -> dict[str, Any]:
    """Latencies from the scheduled trigger to the verdict at a subscriber, at `rate_hz` frames a second.

    The worker computes with `threads` threads (`[device] threads`). Raises BenchError if the worker or the camera
    fails, or a verdict is missing.
    """
    folder.mkdir()
    write_frames(folder / "frames.npz", frames)
    write_recipe(folder / "recipes", setup)
    order = Order(str(folder / "frames.npz"), seconds, rate_hz, RECIPE, LINE, STATION)
    with CameraProcess(order) as camera:
        config = _write_settings(
            folder, camera.endpoint, variant, weights, threads, tuple(frames.rgb.shape[1:3])
        )
        options = SubscriberOptions(results=f"ipc://{folder}/results")
        with _worker(config, folder) as worker, ResultSubscriber(options) as results:
            _wait_until_ready(results, worker, folder)
            camera.go()
            heard = _listen(results, worker, folder, camera)
    return {"threads": threads, **_figures(*heard, rate_hz)}


def _write_settings(
    folder: Path, endpoint: str, variant: Variant, weights: Path, threads: int, size_px: tuple[int, ...]
) -> Path:
    """Write the settings of a line with its files and sockets in `folder`."""
    ipc = {name: f"ipc://{folder}/{name}" for name in ("results", "maps", "recovery", "control")}
    table = {
        "line": {"name": LINE, "station": STATION},
        "intake": {"repeated": "warn"},  # the camera repeats its pictures
        "sockets": {"frames": [endpoint], **ipc},
        "recipes": {"folder": str(folder / "recipes"), "default": RECIPE},
        "weights": {"folder": str(weights)},
        "device": {
            "name": variant.device,
            "precision": variant.precision,
            "threads": threads,
            "warmup_px": [list(size_px)],
        },
        "results": {"state_ms": 200.0},
        "ledger": {"path": str(folder / "ledger.sqlite")},
        "kept": {"folder": str(folder / "kept")},
    }
    config = folder / "line.toml"
    config.write_text(tomli_w.dumps(table), encoding="utf-8")
    return config


@contextmanager
def _worker(config: Path, folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run the line's worker; it must drain and end with 0."""
    with (folder / "worker.log").open("wb") as log:
        command = [sys.executable, "-c", _RUN, "--config", str(config)]
        worker = subprocess.Popen(command, stdout=log, stderr=log)
        try:
            yield worker
            worker.terminate()
            if worker.wait(_STOP_S) != 0:
                raise BenchError(f"the worker ended with {worker.returncode}: {_log_tail(folder)}")
        finally:
            if worker.poll() is None:
                worker.kill()
                worker.wait()


def _wait_until_ready(results: ResultSubscriber, worker: subprocess.Popen[bytes], folder: Path) -> None:
    until_s = time.monotonic() + _READY_S
    while not any(
        isinstance(event, WorkerState) and event.phase == "ready" for event in results.poll(_POLL_S)
    ):
        _require_alive(worker, folder, until_s, "ready")


def _listen(
    results: ResultSubscriber, worker: subprocess.Popen[bytes], folder: Path, camera: CameraProcess
) -> tuple[Heard, Sent]:
    """Receive the worker's results until each frame that was sent has its verdict."""
    heard: Heard = []
    sent: Sent | None = None
    until_s = time.monotonic() + camera.order.seconds + _VERDICT_S
    while sent is None or len(heard) < sent.frames:
        _require_alive(worker, folder, until_s, "done")
        events = results.poll(_POLL_S)
        heard += [(event.result, event.received_ns or 0) for event in events if isinstance(event, Received)]
        if sent is None and select.select([camera.output], [], [], 0)[0]:
            sent = camera.sent()
    return heard, sent


def _require_alive(worker: subprocess.Popen[bytes], folder: Path, until_s: float, what: str) -> None:
    if worker.poll() is not None:
        raise BenchError(f"the worker has ended with {worker.returncode}: {_log_tail(folder)}")
    if time.monotonic() > until_s:
        raise BenchError(f"the line was not {what} in time: {_log_tail(folder)}")


def _log_tail(folder: Path) -> str:
    return (folder / "worker.log").read_text(errors="replace").strip()[-800:]


def _figures(heard: Heard, sent: Sent, rate_hz: float) -> dict[str, Any]:
    latency_s = torch.tensor(
        [(now_ns - (sent.start_ns + result.seq * sent.period_ns)) / _NS_PER_S for result, now_ns in heard],
        dtype=torch.float64,
    )
    return {
        "rate_hz": rate_hz,
        "frames": sent.frames,
        "verdicts": dict(Counter(str(result.verdict) for result, _ in heard)),
        "reasons": dict(Counter(str(result.reason) for result, _ in heard)),
        **{f"{name}_s": float(latency_s.quantile(q)) for name, q in _QUANTILES.items()},
        "max_s": float(latency_s.max()),
        "camera": asdict(sent),
    }


_QUANTILES = {"p50": 0.5, "p99": 0.99, "p999": 0.999}
