"""Measurements that need the whole worker installed; they import it when they are called."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from cmfm_worker.bench.made_up_frames import Frames, made_up_frame
from cmfm_worker.bench.options import BenchError, Variant
from cmfm_worker.bench.stages import Setup

WIRE_SIDE_PX = 800
"""9.6 MB a frame: 8-bit RGB and float32 XYZ."""

_WIRE_FRAMES = 2


def wire(setup: Setup, seconds: float) -> list[dict[str, Any]]:
    """TCP loopback into the ring, with checksums and without. Raises BenchError."""
    with _folder() as folder:
        from cmfm_worker.bench.wire import measure_wire

        pairs = [made_up_frame(WIRE_SIDE_PX, seed) for seed in range(_WIRE_FRAMES)]
        frames = Frames(torch.stack([p[0] for p in pairs]), torch.stack([p[1] for p in pairs]), "made up")
        return [
            measure_wire(setup, frames, folder / str(checksums), seconds=seconds, checksums=checksums)
            for checksums in (True, False)
        ]


def end_to_end(
    setup: Setup,
    variant: Variant,
    frames: Frames,
    weights: Path,
    *,
    seconds: float,
    rate_hz: float,
    threads: int | None,
) -> dict[str, Any]:
    """Camera to verdict through a worker process; `threads` None takes a line's default. Raises BenchError."""
    with _folder() as folder:
        from cmfm_worker.bench.end_to_end import measure_end_to_end
        from cmfm_worker.line.health.threads import computing_threads

        return measure_end_to_end(
            setup,
            variant,
            frames,
            folder / "line",
            weights=weights,
            seconds=seconds,
            rate_hz=rate_hz,
            threads=computing_threads(threads or 0),
        )


@contextmanager
def _folder() -> Iterator[Path]:
    """A temporary folder. Raises BenchError naming a package that is not installed."""
    with tempfile.TemporaryDirectory(prefix="cmfm-") as folder:
        try:
            with _quiet_log():
                yield Path(folder)
        except ImportError as error:
            raise BenchError(f"this measurement needs the whole worker installed: {error}") from error


@contextmanager
def _quiet_log() -> Iterator[None]:
    """Log warnings alone, to stderr."""
    import structlog

    from cmfm_service.log import configure_logging

    before = structlog.get_config()
    configure_logging("console", "warning", sys.stderr)
    try:
        yield
    finally:
        structlog.configure(**before)
